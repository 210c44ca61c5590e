/** A commit under way: a queue's promise with a deadline. */
import type { QmtpResponse } from "../protocol/response.js";

/** Takes the responses of a commit once: the queue's, or those for a queue that is too slow. */
export class Commit {
	/** When it is too late, in milliseconds on the clock of the timers. */
	readonly deadline: number;
	readonly #late: () => readonly QmtpResponse[];
	#settle: ((responses: readonly QmtpResponse[]) => void) | null;

	/**
	 * @param outcome - Never rejects.
	 * @param late - Makes the responses if the deadline passes; a later outcome is dropped.
	 * @param settle - Called once, with whichever came first.
	 */
	constructor(
		outcome: Promise<readonly QmtpResponse[]>,
		deadline: number,
		late: () => readonly QmtpResponse[],
		settle: (responses: readonly QmtpResponse[]) => void,
	) {
		this.deadline = deadline;
		this.#late = late;
		this.#settle = settle;
		outcome.then((responses) => this.#finish(responses));
	}

	/** The deadline has passed. */
	timeOut(): void {
		if (this.#settle !== null) this.#finish(this.#late());
	}

	#finish(responses: readonly QmtpResponse[]): void {
		const settle = this.#settle;
		this.#settle = null;
		settle?.(responses);
	}
}
