/** Addresses from the wire, bytes, as strings. */
import type { AddressEncoding } from "../protocol/envelope.js";

/**
 * The address in `chunk` from `start` to `end`.
 *
 * @returns Null if it holds a NUL, or bytes that the encoding does not know.
 */
export function decodeAddress(
	chunk: Uint8Array,
	start: number,
	end: number,
	encoding: AddressEncoding,
): string | null {
	const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
	const address = buffer.toString("latin1", start, end);
	if (address.includes("\0")) return null;
	if (encoding === "latin1" || !HIGH.test(address)) return address;
	try {
		return utf8.decode(chunk.subarray(start, end));
	} catch {
		return null;
	}
}

const HIGH = /[\x80-\xff]/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
