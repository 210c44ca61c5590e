/** Waits for a time or for work, or to be woken. What rings while nobody waits is not lost. */

/** An alarm clock for one sleeper: the loop that hands out the jobs of a source. */
export class Alarm {
	readonly #signals: readonly AbortSignal[];
	readonly #onAbort = () => this.#wake();
	#rung = false;
	#wake: () => void = () => {};

	/** @param signals - Each of them wakes the sleeper for good. */
	constructor(signals: readonly AbortSignal[]) {
		this.#signals = signals;
		for (const signal of signals) signal.addEventListener("abort", this.#onAbort);
	}

	/** True if one of the signals is aborted. */
	get ended(): boolean {
		return this.#signals.some(({ aborted }) => aborted);
	}

	/** Forgets what has rung. */
	reset(): void {
		this.#rung = false;
	}

	/** Wakes the sleeper, or keeps it from falling asleep. */
	ring(): void {
		this.#rung = true;
		this.#wake();
	}

	/** Resolves after `ms`, or when it rings, or rang since `reset()`. */
	async wait(ms: number): Promise<void> {
		let timer: NodeJS.Timeout | undefined;
		await this.#until((done) => {
			timer = setTimeout(done, ms);
		});
		clearTimeout(timer);
	}

	/** Resolves with `work`, or as `wait` does. It rejects if the work does before. */
	during(work: Promise<void>): Promise<void> {
		return this.#until((done, fail) => void work.then(done, fail));
	}

	/** Lets go of the signals. */
	end(): void {
		for (const signal of this.#signals) signal.removeEventListener("abort", this.#onAbort);
	}

	async #until(start: (done: () => void, fail: (error: unknown) => void) => void): Promise<void> {
		if (this.#rung || this.ended) return;
		try {
			await new Promise<void>((resolve, reject) => {
				this.#wake = resolve;
				start(resolve, reject);
			});
		} finally {
			this.#wake = () => {};
		}
	}
}
