/** A bounded number of bytes, taken and given back; who finds too few waits, first come first served. */

/** Bytes of memory that messages may hold together. They are only counted here. */
export class Memory {
	#free: number;
	readonly #waiting: { readonly bytes: number; readonly resolve: () => void }[] = [];

	/** @param bytes - How many there are. */
	constructor(bytes: number) {
		this.#free = bytes;
	}

	/** Takes bytes, no more than there are in all. @returns Nothing if they were free, else a promise. */
	take(bytes: number): void | Promise<void> {
		if (this.#waiting.length === 0 && bytes <= this.#free) {
			this.#free -= bytes;
			return;
		}
		return new Promise((resolve) => {
			this.#waiting.push({ bytes, resolve });
		});
	}

	/** Gives bytes back. */
	give(bytes: number): void {
		this.#free += bytes;
		for (
			let next = this.#waiting[0];
			next !== undefined && next.bytes <= this.#free;
			next = this.#waiting[0]
		) {
			this.#waiting.shift();
			this.#free -= next.bytes;
			next.resolve();
		}
	}
}
