/** The time, which tests have in their hands. */

/** Tells the time, and waits. */
export interface Clock {
	/** ms since 1970. */
	now(): number;
	/** Resolves after `ms`, or when the signal is aborted. It never rejects. */
	sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The system's. A sleep that is long ends early, after 24 days. */
export const systemClock: Clock = {
	now: Date.now,
	sleep: (ms, signal) =>
		new Promise((resolve) => {
			if (signal.aborted) return resolve();
			const done = () => {
				clearTimeout(timer);
				signal.removeEventListener("abort", done);
				resolve();
			};
			const timer = setTimeout(done, Math.min(Math.max(ms, 0), LONGEST_TIMER));
			signal.addEventListener("abort", done, { once: true });
		}),
};

const LONGEST_TIMER = 2 ** 31 - 1; // what is longer Node makes 1 ms
