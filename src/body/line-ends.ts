/** Line ends of whole inputs: which they are, and CR LF to LF. */
import { LineDecoder } from "../protocol/line-decoder.js";
import type { Encoding } from "../protocol/package-event.js";

/** How far into an input its first line end is looked for, in bytes. */
export const DETECTION_BYTES: number = 64 * 1024;

/**
 * The encoding of an input by its first line end: `"crlf"` if it is CR LF, else `"lf"`, also if there is none.
 *
 * @param head - The input, or its first {@link DETECTION_BYTES}.
 */
export function detectEncoding(head: Uint8Array): Encoding {
	const lf = head.indexOf(LF);
	return lf > 0 && lf < DETECTION_BYTES && head[lf - 1] === CR ? "crlf" : "lf";
}

/** The input with CR LF as LF: the same view if there is no CR, else a new array. */
export function decodeLines(bytes: Uint8Array): Uint8Array {
	const decoder = new LineDecoder();
	const decoded = decoder.decode(bytes);
	const rest = decoder.end();
	if (rest.length === 0) return decoded;
	const whole = new Uint8Array(decoded.length + rest.length);
	whole.set(decoded);
	whole.set(rest, decoded.length);
	return whole;
}

/** The chunks of an input with CR LF as LF. */
export async function* decodeLinesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
	const decoder = new LineDecoder();
	for await (const chunk of chunks) {
		const decoded = decoder.decode(chunk);
		if (decoded.length > 0) yield decoded;
	}
	const rest = decoder.end();
	if (rest.length > 0) yield rest;
}

const LF = 0x0a;
const CR = 0x0d;
