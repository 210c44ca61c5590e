/** Ways to decode a stream of packages. Each looks at the ends of every body and at every byte of the addresses. */
import { BODY, MESSAGE, PACKAGE_END, PackageDecoder } from "qmtp/protocol";
import { CallbackParser } from "../fixtures/callback-parser.js";
import type { Findings, Pass } from "../measure.js";

/** What the decoder is compared with. */
export const YARDSTICK = "callback parser (yardstick)";
/** The server's way: no event is made. */
export const STEPS = "PackageDecoder.step()";
/** A program's way: an event object for each step. */
export const EVENTS = "PackageDecoder.next()";

/** All of them, over the same chunks. */
export function decodePasses(chunks: readonly Uint8Array[]): Pass[] {
	return [
		{ name: YARDSTICK, run: () => callbacks(chunks) },
		{ name: STEPS, run: () => steps(chunks) },
		{ name: EVENTS, run: () => events(chunks) },
	];
}

function callbacks(chunks: readonly Uint8Array[]): Findings {
	let [items, bytes, touched] = [0, 0, 0];
	const address = (chunk: Uint8Array, start: number, end: number) => {
		touched += sum(chunk, start, end);
	};
	const parser = new CallbackParser({
		message: (_, length) => {
			bytes += length;
		},
		body: (chunk, start, end) => {
			touched += (chunk[start] as number) + (chunk[end - 1] as number);
		},
		sender: address,
		recipient: address,
		end: () => {
			items++;
		},
	});
	for (const chunk of chunks) parser.receive(chunk);
	return { items, bytes, touched };
}

function steps(chunks: readonly Uint8Array[]): Findings {
	const decoder = new PackageDecoder();
	let [items, bytes, touched] = [0, 0, 0];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let step = decoder.step(); step !== 0; step = decoder.step()) {
			if (step === MESSAGE) bytes += decoder.length;
			else if (step === BODY)
				touched += (decoder.chunk[decoder.start] as number) + (decoder.chunk[decoder.end - 1] as number);
			else if (step === PACKAGE_END) items++;
			else touched += sum(decoder.chunk, decoder.start, decoder.end);
		}
	}
	return { items, bytes, touched };
}

function events(chunks: readonly Uint8Array[]): Findings {
	const decoder = new PackageDecoder();
	let [items, bytes, touched] = [0, 0, 0];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let event = decoder.next(); event !== null; event = decoder.next()) {
			if (event.type === "message") bytes += event.length;
			else if (event.type === "body")
				touched += (event.bytes[0] as number) + (event.bytes[event.bytes.length - 1] as number);
			else if (event.type === "end") items++;
			else if (event.address !== null) touched += sum(event.address, 0, event.address.length);
		}
	}
	return { items, bytes, touched };
}

function sum(chunk: Uint8Array, start: number, end: number): number {
	let total = 0;
	for (let at = start; at < end; at++) total += chunk[at] as number;
	return total;
}
