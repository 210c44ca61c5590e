/**
 * What this process has settled, as far as it remembers. The ack of a message may be lost with its connection; the broker
 * hands the message out again then, and it is not to be delivered again.
 */

/** A memory of the latest messages that were settled. */
export class SettledMemory {
	readonly #keys = new Map<string, boolean>(); // true: acked when it had come again
	readonly #most: number;

	/** @param most - How many it remembers. */
	constructor(most: number = MOST) {
		this.#most = most;
	}

	/** Remembers a message. */
	add(key: string): void {
		this.#keys.delete(key); // it is the latest now
		this.#keys.set(key, false);
		if (this.#keys.size <= this.#most) return;
		const [oldest] = this.#keys.keys();
		this.#keys.delete(oldest as string);
	}

	/** Whether it was settled. */
	has(key: string): boolean {
		return this.#keys.has(key);
	}

	/** Notes that one has come again and was acked. */
	cameAgain(key: string): void {
		if (this.#keys.has(key)) this.#keys.set(key, true);
	}

	/** Whether it has come again and was acked, so that it does not come once more. */
	isGone(key: string): boolean {
		return this.#keys.get(key) === true;
	}
}

const MOST = 10_000;
