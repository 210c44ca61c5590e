/** Netstrings, by each of the three ways to read them. */
import fc from "fast-check";
import { ProtocolError } from "../../../src/errors.js";
import { decodeNetstring } from "../../../src/netstring/decoder.js";
import { readNetstrings } from "../../../src/netstring/reader.js";
import { NetstringDecoderStream } from "../../../src/netstring/streams.js";
import { bytesOf, concat, textOf } from "../../support/bytes.js";
import { decodeNetstrings, type Failure, type PlainNetstring } from "../../support/decoding.js";
import { netstringsOf } from "../oracles.js";
import { netstrings, streamsOf } from "../streams.js";
import { chunksOf, type Stream, same, surface } from "../surface.js";

interface Input {
	readonly stream: Stream;
	readonly maxLength: number;
}

const inputs: fc.Arbitrary<Input> = fc.record({
	stream: streamsOf(netstrings),
	maxLength: fc.constantFrom(0, 9, 10, 25, 999, Number.MAX_SAFE_INTEGER),
});

/** The decoder itself, and that of one whole netstring. */
export const decoder = surface("netstrings", 700, inputs, ({ stream, maxLength }) => {
	const expected = netstringsOf(stream.text, maxLength);
	same(decodeNetstrings(chunksOf(stream), { maxLength }), expected);
	same(oneNetstring(stream.text, maxLength), firstOf(stream.text, maxLength));
});

/** The Web Stream. */
export const decoderStream = surface("decoder-stream", 150, inputs, async ({ stream, maxLength }) => {
	const texts: string[] = [];
	const error = await failureOf(async () => {
		const source = ReadableStream.from(chunksOf(stream));
		const decoded: AsyncIterable<Uint8Array> = source.pipeThrough(new NetstringDecoderStream({ maxLength }));
		for await (const interpretation of decoded) texts.push(textOf(interpretation));
	});
	const { items, error: expected } = withTruncation(stream.text, maxLength);
	const whole = items.filter(({ end }) => end !== null).map(({ text }) => text);
	same({ texts, error }, { texts: whole, error: expected });
});

/** The nested iterations; of each third netstring the bytes are not read. */
export const reader = surface("reader", 200, inputs, async ({ stream, maxLength }) => {
	const read: { length: number; text: string | null }[] = [];
	const error = await failureOf(async () => {
		for await (const netstring of readNetstrings(generated(chunksOf(stream)), { maxLength })) {
			const item: (typeof read)[number] = { length: netstring.length, text: null };
			read.push(item);
			if (read.length % 3 === 0) continue;
			const pieces: Uint8Array[] = [];
			item.text = "";
			for await (const bytes of netstring) {
				pieces.push(bytes);
				item.text = textOf(concat(pieces));
			}
		}
	});
	const { items, error: expected } = withTruncation(stream.text, maxLength);
	const texts = items.map(({ length, text }, index) => ({ length, text: index % 3 === 2 ? null : text }));
	same({ read, error }, { read: texts, error: expected });
});

/** What the two that read to an end must say: a netstring that is cut short is an error. */
function withTruncation(text: string, maxLength: number): { items: PlainNetstring[]; error: Failure | null } {
	const { items, error, idle } = netstringsOf(text, maxLength);
	if (error !== null || idle) return { items, error };
	return { items, error: { code: "ERR_NETSTRING_TRUNCATED", offset: text.length } };
}

function firstOf(text: string, maxLength: number): string | Failure {
	const { items, error } = netstringsOf(text, maxLength);
	const first = items[0];
	const end = first?.end ?? null;
	if (end === null) return error ?? { code: "ERR_NETSTRING_TRUNCATED", offset: text.length };
	if (end < text.length) return { code: "ERR_NETSTRING_TRAILING", offset: end };
	return first?.text ?? "";
}

function oneNetstring(text: string, maxLength: number): string | Failure {
	try {
		return textOf(decodeNetstring(bytesOf(text), { maxLength }));
	} catch (error) {
		return plain(error);
	}
}

async function failureOf(run: () => Promise<void>): Promise<Failure | null> {
	try {
		await run();
		return null;
	} catch (error) {
		return plain(error);
	}
}

function plain(error: unknown): Failure {
	if (!(error instanceof ProtocolError)) throw error;
	return { code: error.code, offset: error.offset };
}

async function* generated(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
	yield* chunks;
}
