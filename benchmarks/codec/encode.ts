/** Ways to encode interpretations as netstrings. */
import { encodeNetstring, netstringHead, netstringSize, writeNetstring } from "qmtp/netstring";
import { encodeWithNetstring, writeWithNetstring } from "../fixtures/netstring-peers.js";
import type { Findings, Pass } from "../measure.js";

/** A program's way that joins many netstrings to be sent at once. */
export const SLAB = "writeNetstring: into a slab";
/** The peer's way, as its page shows it. */
export const PEER = "netstring 0.3.0, nsWrite: a new array each";

/** All of them, over the same interpretations. */
export function encodePasses(interpretations: readonly Uint8Array[]): Pass[] {
	const longest = interpretations.reduce((most, { length }) => Math.max(most, length), 0);
	const slab = Buffer.alloc(Math.max(64 * 1024, netstringSize(longest)));
	return [
		{ name: PEER, run: () => arrays(interpretations, encodeWithNetstring) },
		{ name: "nsWrite: into a slab", run: () => written(interpretations, slab, writeWithNetstring) },
		{ name: SLAB, run: () => written(interpretations, slab, writeNetstring) },
		{ name: "set: no more than the copy", run: () => written(interpretations, slab, copied) },
		{ name: "encodeNetstring: a new array each", run: () => arrays(interpretations, encodeNetstring) },
		{ name: "netstringHead: around the bytes", run: () => framed(interpretations) },
	];
}

function arrays(interpretations: readonly Uint8Array[], encode: (bytes: Uint8Array) => Uint8Array): Findings {
	let [bytes, touched] = [0, 0];
	for (const interpretation of interpretations) {
		const encoded = encode(interpretation);
		bytes += interpretation.length;
		touched += (encoded[0] as number) + (encoded[encoded.length - 1] as number);
	}
	return { items: interpretations.length, bytes, touched };
}

function written(
	interpretations: readonly Uint8Array[],
	slab: Uint8Array,
	write: (slab: Uint8Array, offset: number, bytes: Uint8Array) => number,
): Findings {
	let [bytes, touched, offset] = [0, 0, 0];
	for (const interpretation of interpretations) {
		if (offset + netstringSize(interpretation.length) > slab.length) offset = 0; // as if it had been sent
		offset = write(slab, offset, interpretation);
		bytes += interpretation.length;
		touched += slab[offset - 1] as number;
	}
	return { items: interpretations.length, bytes, touched };
}

function copied(slab: Uint8Array, offset: number, bytes: Uint8Array): number {
	slab.set(bytes, offset);
	return offset + bytes.length;
}

function framed(interpretations: readonly Uint8Array[]): Findings {
	let [bytes, touched] = [0, 0];
	let pieces: Uint8Array[] = [];
	for (const interpretation of interpretations) {
		pieces.push(netstringHead(interpretation.length), interpretation, COMMA);
		bytes += interpretation.length;
		if (pieces.length < PIECES_AT_ONCE) continue;
		touched += pieces.length; // as if they had been handed to a writev
		pieces = [];
	}
	return { items: interpretations.length, bytes, touched: touched + pieces.length };
}

const COMMA = Uint8Array.of(0x2c);
const PIECES_AT_ONCE = 192;
