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
	let isAscii = true;
	for (let at = start; at < end; at++) {
		const byte = chunk[at] as number;
		if (byte === 0) return null;
		if (byte > 0x7f) isAscii = false;
	}
	if (isAscii || encoding === "latin1") {
		const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
		return buffer.toString("latin1", start, end);
	}
	try {
		return utf8.decode(chunk.subarray(start, end));
	} catch {
		return null;
	}
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
