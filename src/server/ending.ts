/** Whether a session is to end, how urgently, and why; and waits that this cuts short. */

/** How urgently a session is to end. */
export type Urgency = typeof RUNNING | typeof AFTER_PACKAGE | typeof NOW | typeof DESTROYED;
/** Not at all. */
export const RUNNING = 0;
/** When the package being read is complete. */
export const AFTER_PACKAGE = 1;
/** When what is owed is answered. */
export const NOW = 2;
/** At once: nothing is answered. */
export const DESTROYED = 3;

/** The end of one session. */
export class Ending {
	urgency: Urgency = RUNNING;
	/** What ended it, if it was not the client. */
	error: Error | null = null;
	readonly #interrupt: () => void;
	#wake: (() => void) | null = null; // ends the wait under way

	/** @param interrupt - Ends the wait for input. */
	constructor(interrupt: () => void) {
		this.#interrupt = interrupt;
	}

	/** Asks for an end, unless a more urgent one was asked for before. The first error stays. */
	ask(urgency: Urgency, error: Error | null): void {
		if (urgency <= this.urgency) return;
		this.urgency = urgency;
		this.error ??= error;
		this.#wake?.();
		this.#interrupt();
	}

	/**
	 * What `wait` comes to, or undefined if the session is to end before: `from` tells how urgently it must be.
	 * @param wait - If it rejects after that, nobody is told.
	 */
	before<T>(wait: Promise<T>, from: Urgency = this.urgency < NOW ? NOW : DESTROYED): Promise<T | undefined> {
		return new Promise((resolve, reject) => {
			this.#wake = () => {
				if (this.urgency >= from) resolve(undefined);
			};
			this.#wake(); // it may be too late already
			wait.then(resolve, reject);
		});
	}
}
