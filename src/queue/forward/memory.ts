/** Bytes of memory that messages may hold together. They are only counted here. */
export class Memory {
	#free: number;

	/** @param bytes - How many there are. */
	constructor(bytes: number) {
		this.#free = bytes;
	}

	/** Takes bytes. @returns False if so many are not free: nobody waits for them, since they may never be. */
	take(bytes: number): boolean {
		if (bytes > this.#free) return false;
		this.#free -= bytes;
		return true;
	}

	/** Gives bytes back. */
	give(bytes: number): void {
		this.#free += bytes;
	}
}
