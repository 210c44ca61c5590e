/** Ways to decode a stream of netstrings. Each looks at the first and the last byte of every range, view or whole. */
import {
	BYTES,
	END,
	InterpretationDecoder,
	NEED_DATA,
	NetstringDecoder,
	NetstringDecoderStream,
} from "qmtp/netstring";
import { decodeWithNetstring, readWithEndo } from "../fixtures/netstring-peers.js";
import type { Findings, Pass } from "../measure.js";

/** The package decoder's way: no view is made. */
export const RANGES = "NetstringDecoder, ranges";
/** A program's way that has chunks at hand and wants whole interpretations. */
export const WHOLE = "InterpretationDecoder, whole";
/** The fastest decoder on npm that is right about valid netstrings. */
export const FASTEST_PEER = "netstring 0.3.0, Stream";

/** All of them, over the same chunks. */
export function decodePasses(
	chunks: readonly Uint8Array[],
	expected: Pick<Findings, "items" | "bytes">,
): Pass[] {
	return [
		{ name: FASTEST_PEER, run: () => counted((count) => decodeWithNetstring(chunks, count)) },
		{ name: "@endo/netstring 1.1.1, reader", run: () => iterated(readWithEndo(chunks)) },
		{ name: RANGES, run: () => ranges(chunks) },
		{ name: "ranges, each cache line read", run: () => rangesRead(chunks) },
		{ name: "no decoder, each cache line read", run: () => ({ ...expected, touched: memory(chunks) }) },
		{ name: "NetstringDecoder, views", run: () => views(chunks) },
		{ name: WHOLE, run: () => counted((count) => whole(chunks, count)) },
		{ name: "NetstringDecoderStream, whole", run: () => iterated(stream(chunks)) },
	];
}

function ranges(chunks: readonly Uint8Array[]): Findings {
	const decoder = new NetstringDecoder();
	let [items, bytes, touched] = [0, 0, 0];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let step = decoder.next(); step !== NEED_DATA; step = decoder.next()) {
			if (step === BYTES) {
				bytes += decoder.end - decoder.start;
				touched += (decoder.chunk[decoder.start] as number) + (decoder.chunk[decoder.end - 1] as number);
			} else if (step === END) {
				items++;
			}
		}
	}
	return { items, bytes, touched };
}

/** The same with the least that a user of the bytes does: fetch them from memory. */
function rangesRead(chunks: readonly Uint8Array[]): Findings {
	const decoder = new NetstringDecoder();
	let [items, bytes, touched] = [0, 0, 0];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let step = decoder.next(); step !== NEED_DATA; step = decoder.next()) {
			if (step === BYTES) {
				bytes += decoder.end - decoder.start;
				touched += readLines(decoder.chunk, decoder.start, decoder.end);
			} else if (step === END) {
				items++;
			}
		}
	}
	return { items, bytes, touched };
}

/** What memory alone costs. */
function memory(chunks: readonly Uint8Array[]): number {
	let touched = 0;
	for (const chunk of chunks) touched += readLines(chunk, 0, chunk.length);
	return touched;
}

function views(chunks: readonly Uint8Array[]): Findings {
	const decoder = new NetstringDecoder();
	let [items, bytes, touched] = [0, 0, 0];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let step = decoder.next(); step !== NEED_DATA; step = decoder.next()) {
			if (step === BYTES) {
				const view = decoder.chunk.subarray(decoder.start, decoder.end);
				bytes += view.length;
				touched += (view[0] as number) + (view[view.length - 1] as number);
			} else if (step === END) {
				items++;
			}
		}
	}
	return { items, bytes, touched };
}

function whole(chunks: readonly Uint8Array[], count: (interpretation: Uint8Array) => void): void {
	const decoder = new InterpretationDecoder();
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let bytes = decoder.next(); bytes !== null; bytes = decoder.next()) count(bytes);
	}
	decoder.receiveEnd();
}

function stream(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
	let next = 0;
	const source = new ReadableStream<Uint8Array>({
		pull(controller) {
			const chunk = chunks[next++];
			if (chunk === undefined) controller.close();
			else controller.enqueue(chunk);
		},
	});
	return source.pipeThrough(new NetstringDecoderStream());
}

/** What a decoder found that calls back. */
function counted(decode: (count: (interpretation: Uint8Array) => void) => void): Findings {
	let [items, bytes, touched] = [0, 0, 0];
	decode((interpretation) => {
		items++;
		bytes += interpretation.length;
		touched += (interpretation[0] as number) + (interpretation[interpretation.length - 1] as number);
	});
	return { items, bytes, touched };
}

/** What a decoder found that is iterated. */
async function iterated(interpretations: AsyncIterable<Uint8Array>): Promise<Findings> {
	let [items, bytes, touched] = [0, 0, 0];
	for await (const interpretation of interpretations) {
		items++;
		bytes += interpretation.length;
		touched += (interpretation[0] as number) + (interpretation[interpretation.length - 1] as number);
	}
	return { items, bytes, touched };
}

function readLines(chunk: Uint8Array, start: number, end: number): number {
	let sum = 0;
	for (let at = start; at < end; at += CACHE_LINE) sum += chunk[at] as number;
	return sum;
}

const CACHE_LINE = 64;
