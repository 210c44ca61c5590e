/**
 * The lines of a body as SMTP wants them: each ends with CR LF, and neither CR nor LF stands anywhere else.
 *
 * LF and CR LF are both line ends, whatever the body's encoding: SMTP knows no bare LF, and a line that really ends with a
 * CR before its LF is rarer than CR LF input that is called LF. A CR elsewhere becomes a space. It must not be sent,
 * since some servers take it for a line end and so could see an end of the data that the others do not (SMTP smuggling);
 * and it must not become a line end, since it could then end the header or begin a field. Postfix does the same
 * (cleanup_replace_stray_cr_lf).
 *
 * It neither doubles the dots of lines that start with one nor writes the dot at the end.
 *
 * Source: RFC 5321, sections 2.3.8 and 4.1.1.4.
 */
export class WireLines {
	#heldCr = false; // the last byte was a CR: what follows tells what it is

	/** The next bytes of a body. @returns A view of `chunk` if nothing changes, else a new array. */
	encode(chunk: Uint8Array): Uint8Array {
		if (!this.#heldCr && !chunk.includes(LF) && !chunk.includes(CR)) return chunk;
		const encoded = new Uint8Array(chunk.length + count(chunk, LF) + 1);
		let end = 0;
		for (let index = 0; index < chunk.length; index++) {
			const byte = chunk[index] as number;
			if (byte === LF) {
				encoded[end++] = CR;
				encoded[end++] = LF;
			} else {
				if (this.#heldCr) encoded[end++] = SPACE;
				if (byte !== CR) encoded[end++] = byte;
			}
			this.#heldCr = byte === CR;
		}
		return encoded.subarray(0, end);
	}

	/** What is left when the body has ended. */
	end(): Uint8Array {
		return new Uint8Array(this.#heldCr ? [SPACE] : []);
	}
}

function count(bytes: Uint8Array, wanted: number): number {
	let found = 0;
	for (let at = bytes.indexOf(wanted); at !== -1; at = bytes.indexOf(wanted, at + 1)) found++;
	return found;
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
