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
		if (!this.#heldCr && bytes.indexOf(CR) === -1) return bytes;
		const decoded = new Uint8Array(bytes.length + 1);
		const shift = this.#heldCr && bytes[0] !== LF ? 1 : 0;
		if (shift === 1) decoded[0] = CR;
		decoded.set(bytes, shift);
		this.#heldCr = bytes[bytes.length - 1] === CR;
		const length = this.#heldCr ? bytes.length - 1 : bytes.length;
		return decoded.subarray(0, closeLines(decoded, shift, bytes, length));
	}

	/** Says that no more comes. @returns What was held back: a CR or nothing. */
	end(): Uint8Array {
		const rest = this.#heldCr ? Uint8Array.of(CR) : new Uint8Array(0);
		this.#heldCr = false;
		return rest;
	}
}

/**
 * Drops the CR of each line end among the first `length` bytes of `bytes`. The bytes lie in `decoded` already, from
 * `shift` on, and move up there.
 *
 * @returns Where they end in `decoded`.
 */
function closeLines(decoded: Uint8Array, shift: number, bytes: Uint8Array, length: number): number {
	let filled = shift;
	let dense = false; // the last CR was near the one before it
	for (let at = 0; at < length; at++) {
		const from = at;
		if (dense) {
			const stop = Math.min(length, at + NEAR);
			for (; at < stop && bytes[at] !== CR; at++) decoded[filled++] = bytes[at] as number;
			dense = at < stop;
		}
		if (!dense) {
			const cr = bytes.indexOf(CR, at);
			const end = cr === -1 ? length : cr;
			decoded.copyWithin(filled, at + shift, end + shift);
			filled += end - at;
			at = end;
			dense = end - from < NEAR;
		}
		if (at < length && bytes[at + 1] !== LF) decoded[filled++] = CR;
	}
	return filled;
}

// Lines are searched for and moved by the system's memchr and memmove, 34 ns a line (indexOf of a Buffer, which sockets
// hand up; that of a plain Uint8Array takes three times as long). Byte by byte they take 1.5 ns a byte, which is less
// for lines as short as this.
const NEAR = 24;
const LF = 0x0a;
const CR = 0x0d;
