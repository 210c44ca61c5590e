/**
 * Encoding of netstrings: `length:bytes,`. Bodies that are too large to copy are framed with
 * {@link netstringHead} and a comma, and sent as they are.
 */
import { UsageError } from "../errors.js";

/**
 * Encodes one netstring.
 *
 * @param interpretation - The bytes, or a string that is encoded as UTF-8.
 * @returns A new array, which belongs to the caller.
 */
export function encodeNetstring(interpretation: Uint8Array | string): Uint8Array {
	const bytes = typeof interpretation === "string" ? utf8.encode(interpretation) : interpretation;
	const encoded = new Uint8Array(netstringSize(bytes.length));
	writeNetstring(encoded, 0, bytes);
	return encoded;
}

/**
 * The head of a netstring, its length in decimal and the colon, for interpretations that are sent piece by piece.
 * What follows it must be exactly `length` bytes and a comma.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if `length` is no whole number of bytes.
 */
export function netstringHead(length: number): Uint8Array {
	if (!Number.isSafeInteger(length) || length < 0) {
		throw new UsageError(
			"ERR_QMTP_OPTION",
			`a netstring's length must be a whole number of bytes, not ${length}`,
		);
	}
	const head = new Uint8Array(digits(length) + 1);
	writeHead(head, 0, length);
	return head;
}

/** How many bytes the netstring of an interpretation of `length` bytes takes. */
export function netstringSize(length: number): number {
	return digits(length) + length + 2;
}

/**
 * Writes the netstring of `bytes` into `target` from `offset` on.
 *
 * @returns The offset after its comma. There must be room for {@link netstringSize} bytes.
 */
export function writeNetstring(target: Uint8Array, offset: number, bytes: Uint8Array): number {
	const start = writeHead(target, offset, bytes.length);
	target.set(bytes, start);
	target[start + bytes.length] = COMMA;
	return start + bytes.length + 1;
}

/** Writes `length:` into `target` from `offset` on, and returns the offset after the colon. */
export function writeHead(target: Uint8Array, offset: number, length: number): number {
	const end = offset + digits(length);
	let rest = length;
	for (let position = end - 1; position >= offset; position--) {
		const quotient = Math.floor(rest / 10);
		target[position] = ZERO + (rest - quotient * 10);
		rest = quotient;
	}
	target[end] = COLON;
	return end + 1;
}

function digits(length: number): number {
	let count = 1;
	for (let bound = 10; length >= bound; bound *= 10) count++;
	return count;
}

const utf8 = new TextEncoder();
const ZERO = 0x30;
const COLON = 0x3a;
const COMMA = 0x2c;
