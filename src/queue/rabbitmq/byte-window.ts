/**
 * How many messages the broker may hand to us at a time. It counts messages and not bytes, and pushes as many as it was
 * allowed however large they are; so the number follows the size of the messages that came, and what still comes in when
 * there is far too much is not taken in.
 */

/** The bytes that are held, and how many messages may come. */
export class ByteWindow {
	readonly #most: number;
	#held = 0;
	#careful = 0; // for so many messages
	#mean = FIRST_MEAN; // of the sizes, the latest counting most

	/** @param most - The bytes from which on nothing more is asked for. */
	constructor(most: number = MOST_BYTES) {
		this.#most = most;
	}

	/** A message came in. */
	take(bytes: number): void {
		this.#held += bytes;
		// After some were left out, small ones do not soon make forget how large they were: they come again among them.
		const isCareful = this.#careful > 0 && bytes < this.#mean;
		if (this.#careful > 0) this.#careful--;
		this.#mean += (bytes - this.#mean) / (isCareful ? 100 : 10);
	}

	/** One that came was not taken in. */
	leaveOut(bytes: number): void {
		this.#careful = CAREFUL;
		this.#mean += (bytes - this.#mean) / 10;
	}

	/** A message is held no longer. */
	release(bytes: number): void {
		this.#held -= bytes;
	}

	/** How many messages may be under way: a power of two, so that it does not change with each of them; or none. */
	get messages(): number {
		if (this.#held >= this.#most) return 0;
		return 2 ** Math.floor(Math.log2(Math.max(1, this.#most / Math.max(this.#mean, 1))));
	}

	/** How many messages there is room for now. When nothing is held there is room for one, however large. */
	get room(): number {
		const room = Math.floor((this.#most - this.#held) / Math.max(this.#mean, 1));
		return Math.max(this.#held === 0 ? 1 : 0, room);
	}

	/** True when what comes is not to be taken in. */
	get isFull(): boolean {
		return this.#held >= this.#most * 2;
	}
}

const MOST_BYTES = 128 * 1024 ** 2;
const CAREFUL = 500;
const FIRST_MEAN = 1024 ** 2; // so 128 of them
