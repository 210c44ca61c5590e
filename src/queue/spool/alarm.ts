/** Waits for a time, or to be woken. What rings while nobody waits is not lost. */

/** An alarm clock for one sleeper. */
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
		if (this.#rung || this.ended) return;
		await new Promise<void>((resolve) => {
			const timer = setTimeout(resolve, ms);
			this.#wake = () => {
				clearTimeout(timer);
				resolve();
			};
		});
		this.#wake = () => {};
	}

	/** Lets go of the signals. */
	end(): void {
		for (const signal of this.#signals) signal.removeEventListener("abort", this.#onAbort);
	}
}
