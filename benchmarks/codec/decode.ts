/** Ways to decode a stream of netstrings. */
import { BYTES, END, LENGTH, NEED_DATA, NetstringDecoder, NetstringDecoderStream } from "qmtp/netstring";
import type { Findings, Pass } from "./measure.js";

/** All of them, over the same chunks. */
export function decodePasses(
	chunks: readonly Uint8Array[],
	expected: Pick<Findings, "items" | "bytes">,
): Pass[] {
	return [
		{ name: "ranges", run: () => ranges(chunks) },
		{ name: "ranges, each cache line read", run: () => rangesRead(chunks) },
		{ name: "no decoder, each cache line read", run: () => ({ ...expected, touched: memory(chunks) }) },
		{ name: "views", run: () => views(chunks) },
		{ name: "whole interpretations", run: () => whole(chunks) },
		{ name: "NetstringDecoderStream", run: () => stream(chunks) },
	];
}

/** As the package decoder uses it: no view is made. */
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

/** One array for each netstring: a view if it lies whole in a chunk, else gathered in an array of its own. */
function whole(chunks: readonly Uint8Array[]): Findings {
	const decoder = new NetstringDecoder();
	let gathered: Uint8Array = NOTHING;
	let filled = 0;
	let [items, bytes, touched] = [0, 0, 0];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let step = decoder.next(); step !== NEED_DATA; step = decoder.next()) {
			if (step === LENGTH) {
				filled = 0;
			} else if (step === BYTES) {
				const view = decoder.chunk.subarray(decoder.start, decoder.end);
				if (view.length === decoder.length) {
					gathered = view;
				} else {
					if (filled === 0) gathered = new Uint8Array(decoder.length);
					gathered.set(view, filled);
				}
				filled += view.length;
			} else {
				items++;
				bytes += gathered.length;
				touched += (gathered[0] as number) + (gathered[gathered.length - 1] as number);
			}
		}
	}
	return { items, bytes, touched };
}

async function stream(chunks: readonly Uint8Array[]): Promise<Findings> {
	let next = 0;
	const source = new ReadableStream<Uint8Array>({
		pull(controller) {
			const chunk = chunks[next++];
			if (chunk === undefined) controller.close();
			else controller.enqueue(chunk);
		},
	});
	let [items, bytes, touched] = [0, 0, 0];
	for await (const interpretation of source.pipeThrough(new NetstringDecoderStream())) {
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

const NOTHING = new Uint8Array(0);
const CACHE_LINE = 64;
