/**
 * Runs the decoders over chunks and writes down what they said, in a form that does not depend on the cuts: texts are
 * Latin-1, and adjacent bytes are joined. Each chunk is overwritten when it was read, since it is the caller's again.
 */
import { expect } from "vitest";
import { ProtocolError } from "../../src/errors.js";
import {
	BYTES,
	END,
	LENGTH,
	NEED_DATA,
	NetstringDecoder,
	type NetstringDecoderOptions,
} from "../../src/netstring/decoder.js";
import type { PackageLimits } from "../../src/protocol/limits.js";
import { PackageDecoder } from "../../src/protocol/package-decoder.js";
import type { Encoding } from "../../src/protocol/package-event.js";
import { ResponseDecoder } from "../../src/protocol/response-decoder.js";
import { concat, copyOf, textOf } from "./bytes.js";
import { everyPrefix } from "./every-split.js";

/** The error that ended a decoding. */
export interface Failure {
	readonly code: string;
	readonly offset: number;
}

/** What a decoder made of its input. */
export interface Decoded<Item> {
	readonly items: Item[];
	readonly error: Failure | null;
	/** Bytes read; only if there was no error. */
	readonly offset: number | null;
	readonly idle: boolean;
}

/** One netstring: its length when that was read, and its bytes so far. */
export interface PlainNetstring {
	readonly length: number;
	readonly text: string;
	/** Offset behind its comma; null if that was not read. */
	readonly end: number | null;
}

/** An event of a package, in plain text. */
export type PlainEvent =
	| { readonly type: "message"; readonly encoding: Encoding; readonly length: number }
	| { readonly type: "body"; readonly text: string }
	| { readonly type: "sender" | "recipient"; readonly address: string | null }
	| { readonly type: "end"; readonly offset: number };

/** Runs a NetstringDecoder. */
export function decodeNetstrings(
	chunks: readonly Uint8Array[],
	options: NetstringDecoderOptions = {},
): Decoded<PlainNetstring> {
	const decoder = new NetstringDecoder(options);
	const items: PlainNetstring[] = [];
	let open: { length: number; pieces: Uint8Array[] } | null = null;
	const error = drive(decoder, chunks, () => {
		const step = decoder.next();
		if (step === LENGTH) {
			open = { length: decoder.length, pieces: [] };
		} else if (step === BYTES) {
			hold(decoder.start < decoder.end && decoder.end <= decoder.chunk.length, "an empty range");
			open?.pieces.push(copyOf(decoder.chunk.subarray(decoder.start, decoder.end)));
		} else {
			hold(decoder.start === decoder.end, "a range where there are no bytes");
			if (step === END && open !== null) {
				items.push({ length: open.length, text: textOf(concat(open.pieces)), end: decoder.offset });
				open = null;
			}
		}
		return step !== NEED_DATA;
	});
	if (open !== null) {
		const { length, pieces } = open as { length: number; pieces: Uint8Array[] };
		items.push({ length, text: textOf(concat(pieces)), end: null });
	}
	return { items, error, offset: error === null ? decoder.offset : null, idle: decoder.idle };
}

/** Runs a PackageDecoder. The addresses are looked at when all chunks are gone. */
export function decodePackages(
	chunks: readonly Uint8Array[],
	limits: Partial<PackageLimits> = {},
): Decoded<PlainEvent> {
	const decoder = new PackageDecoder(limits);
	const items: (() => PlainEvent)[] = [];
	let body: Uint8Array[] = [];
	const error = drive(decoder, chunks, () => {
		const event = decoder.next();
		if (event === null) return false;
		if (event.type === "body") {
			hold(event.bytes.length > 0, "an empty piece of a body");
			if (body.length === 0) {
				const pieces = body;
				items.push(() => ({ type: "body", text: textOf(concat(pieces)) }));
			}
			body.push(copyOf(event.bytes));
		} else if (event.type === "message") {
			body = [];
			items.push(() => event);
		} else if (event.type === "end") {
			const { offset } = decoder;
			items.push(() => ({ type: "end", offset }));
		} else {
			const { type, address } = event;
			items.push(() => ({ type, address: address === null ? null : textOf(address) }));
		}
		return true;
	});
	return {
		items: items.map((item) => item()),
		error,
		offset: error === null ? decoder.offset : null,
		idle: decoder.idle,
	};
}

/** Runs a ResponseDecoder. Each response is its status and its description, and the offset behind it. */
export function decodeResponses(
	chunks: readonly Uint8Array[],
	options: { readonly maxLength?: number } = {},
): Decoded<string> {
	const decoder = new ResponseDecoder(options);
	const items: string[] = [];
	const error = drive(decoder, chunks, () => {
		const response = decoder.next();
		if (response !== null) items.push(`${response.status}${response.description} ${decoder.offset}`);
		return response !== null;
	});
	return { items, error, offset: error === null ? decoder.offset : null, idle: decoder.idle };
}

/**
 * Holds that the packages in `bytes` end with it: no proper prefix has as many ends, and nothing that follows is read
 * before the last end is told.
 */
export function expectEndsWith(bytes: Uint8Array, limits: Partial<PackageLimits> = {}): void {
	const packages = countEnds(bytes, limits);
	expect(packages).toBeGreaterThan(0);
	everyPrefix(bytes, (prefix) => {
		if (countEnds(prefix, limits) >= packages) expect.unreachable(`ends after ${prefix.length} bytes`);
	});
	for (const trailing of TRAILING) {
		const decoder = new PackageDecoder(limits);
		decoder.receive(concat([bytes, trailing]));
		for (let left = packages; left > 0; ) if (decoder.next()?.type === "end") left--;
		expect(decoder.offset).toBe(bytes.length);
		expect(decoder.idle).toBe(true);
		expect(() => decoder.receive(trailing)).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_UNREAD" }),
		);
	}
}

function countEnds(bytes: Uint8Array, limits: Partial<PackageLimits>): number {
	return decodePackages([copyOf(bytes)], limits).items.filter(({ type }) => type === "end").length;
}

/** Feeds the chunks; `step` returns false when it needs more. An error must stay: the next call throws it again. */
function drive(
	decoder: { receive(chunk: Uint8Array): void },
	chunks: readonly Uint8Array[],
	step: () => boolean,
): Failure | null {
	for (const chunk of chunks) {
		decoder.receive(chunk);
		try {
			while (step());
		} catch (error) {
			if (!(error instanceof ProtocolError)) throw error;
			hold(caught(step) === error, "an error that does not stay");
			return { code: error.code, offset: error.offset };
		}
		chunk.fill(0xff);
	}
	return null;
}

function caught(run: () => unknown): unknown {
	try {
		run();
	} catch (error) {
		return error;
	}
	return undefined;
}

// An assertion of vitest would take longer than the decoding, and there are some 100,000 of these.
function hold(holds: boolean, what: string): void {
	if (!holds) throw new Error(what);
}

const TRAILING = ["x", "0:,", "12", "2:\nx,0:,0:,"].map((text) => copyOf(Buffer.from(text, "latin1")));
