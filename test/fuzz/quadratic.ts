/**
 * Two readers of netstrings as many people write them first, to show that the measure of work finds them out: one joins
 * all that came so far at each chunk, the other looks through it anew.
 */

/** Joins what came so far with each chunk. */
export class Joining {
	#rest: Uint8Array = new Uint8Array(0);

	/** @returns The netstrings that are whole with this chunk. */
	receive(chunk: Uint8Array): Uint8Array[] {
		const joined = new Uint8Array(this.#rest.length + chunk.length);
		joined.set(this.#rest);
		joined.set(chunk, this.#rest.length);
		this.#rest = joined;
		const found: Uint8Array[] = [];
		for (;;) {
			const colon = this.#rest.indexOf(0x3a);
			if (colon === -1) return found;
			const end = colon + 1 + Number(Buffer.from(this.#rest.subarray(0, colon)).toString());
			if (!(this.#rest.length > end)) return found;
			found.push(this.#rest.subarray(colon + 1, end));
			this.#rest = this.#rest.subarray(end + 1);
		}
	}
}

/** Keeps the bytes as they come, and reads them from the first on at each chunk. */
export class Rereading {
	readonly #bytes: number[] = [];

	/** @returns How many netstrings are whole with this chunk. */
	receive(chunk: Uint8Array): number {
		for (const byte of chunk) this.#bytes.push(byte);
		let [count, length, left] = [0, 0, -1];
		for (const byte of this.#bytes) {
			if (left > 0) left--;
			else if (left === 0) [count, length, left] = [count + 1, 0, -1];
			else if (byte === 0x3a) left = length;
			else length = 10 * length + byte - 0x30;
		}
		return count;
	}
}
