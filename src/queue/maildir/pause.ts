/** The pauses of a loop: each ends early when something happens. */

/** Lets one loop wait. */
export class Pause {
	readonly #signals: readonly AbortSignal[];
	readonly #onAbort = () => this.wake();
	#wake: (() => void) | null = null;

	/** @param signals - Each of them ends all pauses. */
	constructor(signals: readonly AbortSignal[]) {
		this.#signals = signals;
		for (const signal of signals) signal.addEventListener("abort", this.#onAbort);
	}

	/** True if one of the signals is aborted. */
	get ended(): boolean {
		return this.#signals.some(({ aborted }) => aborted);
	}

	/** Ends the pause, if there is one. */
	wake(): void {
		this.#wake?.();
	}

	/** Resolves after `ms`, or when it is woken. */
	async for(ms: number): Promise<void> {
		let timer: NodeJS.Timeout | undefined;
		await this.#until((done) => {
			timer = setTimeout(done, ms);
		});
		clearTimeout(timer);
	}

	/** Resolves with `work`, or when it is woken. It rejects if the work does before. */
	during(work: Promise<void>): Promise<void> {
		return this.#until((done, fail) => void work.then(done, fail));
	}

	/** Lets go of the signals. */
	end(): void {
		for (const signal of this.#signals) signal.removeEventListener("abort", this.#onAbort);
	}

	async #until(start: (done: () => void, fail: (error: unknown) => void) => void): Promise<void> {
		if (this.ended) return;
		try {
			await new Promise<void>((resolve, reject) => {
				this.#wake = resolve;
				start(resolve, reject);
			});
		} finally {
			this.#wake = null;
		}
	}
}
