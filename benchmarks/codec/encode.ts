/** Ways to encode interpretations as netstrings. */
import { encodeNetstring, netstringHead, netstringSize, writeNetstring } from "qmtp/netstring";
import type { Findings, Pass } from "./measure.js";

/** All of them, over the same interpretations. */
export function encodePasses(interpretations: readonly Uint8Array[]): Pass[] {
	const longest = interpretations.reduce((most, { length }) => Math.max(most, length), 0);
	const slab = new Uint8Array(Math.max(64 * 1024, netstringSize(longest)));
	return [
		{ name: "encodeNetstring: a new array each", run: () => arrays(interpretations) },
		{ name: "writeNetstring: into a slab", run: () => written(interpretations, slab) },
		{ name: "netstringHead: around the bytes", run: () => framed(interpretations) },
	];
}

function arrays(interpretations: readonly Uint8Array[]): Findings {
	let [bytes, touched] = [0, 0];
	for (const interpretation of interpretations) {
		const encoded = encodeNetstring(interpretation);
		bytes += interpretation.length;
		touched += (encoded[0] as number) + (encoded[encoded.length - 1] as number);
	}
	return { items: interpretations.length, bytes, touched };
}

function written(interpretations: readonly Uint8Array[], slab: Uint8Array): Findings {
	let [bytes, touched, offset] = [0, 0, 0];
	for (const interpretation of interpretations) {
		if (offset + netstringSize(interpretation.length) > slab.length) offset = 0; // as if it had been sent
		offset = writeNetstring(slab, offset, interpretation);
		bytes += interpretation.length;
		touched += slab[offset - 1] as number;
	}
	return { items: interpretations.length, bytes, touched };
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
