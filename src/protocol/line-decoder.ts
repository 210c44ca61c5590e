/**
 * Decodes CR LF line ends to LF, piece by piece.
 *
 * Only CR LF is a line end; a CR before any other byte, and an LF on its own, are data and stay. Nothing else is
 * changed: nothing is folded, dropped, or added at the end.
 *
 * Source: D. J. Bernstein, "Quick Mail Transfer Protocol (QMTP)", section 3.
 */

/** Turns CR LF into LF, also where the two are cut apart by the end of a piece. */
export class LineDecoder {
	#heldCr = false; // the last byte of the pieces so far was a CR that may be half of a line end

	/**
	 * Decodes the next piece.
	 *
	 * @returns A view of `bytes` if nothing had to be changed, else a new array. Either may be empty.
	 */
	decode(bytes: Uint8Array): Uint8Array {
		if (bytes.length === 0) return bytes;
		const firstCr = bytes.indexOf(CR);
		if (firstCr === -1 && !this.#heldCr) return bytes;
		const decoded = new Uint8Array(bytes.length + 1);
		let filled = 0;
		if (this.#heldCr && bytes[0] !== LF) decoded[filled++] = CR;
		const last = bytes.length - 1;
		for (let index = 0; index < last; index++) {
			const byte = bytes[index] as number;
			if (byte === CR && bytes[index + 1] === LF) continue;
			decoded[filled++] = byte;
		}
		this.#heldCr = bytes[last] === CR;
		if (!this.#heldCr) decoded[filled++] = bytes[last] as number;
		return decoded.subarray(0, filled);
	}

	/** Says that no more comes. @returns What was held back: a CR or nothing. */
	end(): Uint8Array {
		const rest = this.#heldCr ? Uint8Array.of(CR) : new Uint8Array(0);
		this.#heldCr = false;
		return rest;
	}
}

const LF = 0x0a;
const CR = 0x0d;
