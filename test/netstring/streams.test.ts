import { pipeline } from "node:stream/promises";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { ProtocolError } from "../../src/errors.js";
import { NetstringDecoderStream, NetstringEncoderStream } from "../../src/netstring/streams.js";
import { bytesOf, concat, netstring, textOf } from "../support/bytes.js";
import { chunksOf, cut, everyPrefix, everySplitAsync } from "../support/every-split.js";
import { countingStream, settle } from "../support/sources.js";

afterEach(() => {
	vi.unstubAllGlobals();
});

describe("NetstringDecoderStream", () => {
	test("each chunk that comes out is one interpretation, in every split", async () => {
		const input = bytesOf("12:hello world!,0:,1:,,6:3:abc,,");
		const result = await everySplitAsync(input, (chunks) => decode(chunks));
		expect(result).toEqual({ texts: ["hello world!", "", ",", "3:abc,"], error: null });
	});

	test.each([
		["ERR_NETSTRING_LENGTH_EMPTY", "2:ab,:,", 5],
		["ERR_NETSTRING_LENGTH_ZEROS", "2:ab,02:cd,", 6],
		["ERR_NETSTRING_LENGTH_DIGIT", "2:ab,x", 5],
		["ERR_NETSTRING_COMMA", "2:ab,2:cd;", 9],
		["ERR_NETSTRING_TOO_LONG", "2:ab,9007199254740992:", 12],
	])("%s comes behind all that stands in front of it, in every split", async (code, text, offset) => {
		const result = await everySplitAsync(bytesOf(text), (chunks) => decode(chunks));
		expect(result).toEqual({ texts: ["ab"], error: { code, offset } });
	});

	test("ERR_NETSTRING_TRUNCATED: the input ends inside a netstring", async () => {
		const input = bytesOf("2:ab,10:0123456789,");
		const results: Promise<void>[] = [];
		everyPrefix(input, (prefix) => {
			const { length } = prefix;
			results.push(
				decode([prefix]).then(({ texts, error }) => {
					const truncated = { code: "ERR_NETSTRING_TRUNCATED", offset: length };
					expect(error).toEqual(length === 0 || length === 5 ? null : truncated);
					expect(texts).toEqual(length < 5 ? [] : ["ab"]);
				}),
			);
		});
		await Promise.all(results);
	});

	test("maxLength is 16 MiB if not given", async () => {
		const stream = new NetstringDecoderStream();
		expect((await decode([bytesOf("16777217:")], stream)).error).toEqual({
			code: "ERR_NETSTRING_TOO_LONG",
			offset: 7,
		});
		expect((await decode([bytesOf("16777216:")])).error?.code).toBe("ERR_NETSTRING_TRUNCATED");
	});

	test("maxLength is checked at the length", async () => {
		const fits = await decode([bytesOf("5:hello,")], new NetstringDecoderStream({ maxLength: 5 }));
		expect(fits).toEqual({ texts: ["hello"], error: null });
		const over = await decode([bytesOf("5:hello,")], new NetstringDecoderStream({ maxLength: 4 }));
		expect(over).toEqual({ texts: [], error: { code: "ERR_NETSTRING_TOO_LONG", offset: 0 } });
	});

	test("a maxLength that is no number of bytes is refused", () => {
		expect(() => new NetstringDecoderStream({ maxLength: -1 })).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_OPTION", name: "UsageError" }),
		);
	});

	test("an interpretation that lies whole in a chunk is a view, and a cut one is a copy of its own", async () => {
		const [first, second] = [bytesOf("5:hello,5:wo"), bytesOf("rld,2:ab")];
		const third = bytesOf(",");
		const out = await collect(
			ReadableStream.from([first, second, third]).pipeThrough(new NetstringDecoderStream()),
		);
		expect(out.map(textOf)).toEqual(["hello", "world", "ab"]);
		expect(out[0]?.buffer).toBe(first.buffer);
		expect(out[1]?.buffer.byteLength).toBe(5);
		expect(out[2]?.buffer).toBe(second.buffer);
	});

	test("each empty interpretation is an array of its own, which may be transferred", async () => {
		const stream = ReadableStream.from([bytesOf("0:,0:,")]).pipeThrough(new NetstringDecoderStream());
		const [first, second] = await collect(stream);
		expect([first?.length, second?.length]).toEqual([0, 0]);
		expect(first?.buffer).not.toBe(second?.buffer);
	});

	test("a declared length costs nothing: memory grows with the bytes that came", async () => {
		const allocated: number[] = [];
		const stream = new NetstringDecoderStream();
		const writer = stream.writable.getWriter();
		const reading = stream.readable.getReader().read();
		reading.catch(() => {});
		vi.stubGlobal("Uint8Array", countingArray(allocated));
		await writer.write(Buffer.from("16000000:"));
		await settle();
		expect(sum(allocated)).toBeLessThan(100);
		await writer.write(Buffer.from("x"));
		await settle();
		expect(sum(allocated)).toBeLessThanOrEqual(65_536 + 100);
		await writer.write(Buffer.alloc(65_536));
		await settle();
		expect(Math.max(...allocated)).toBeLessThanOrEqual(2 * 65_536);
		vi.unstubAllGlobals();
		await writer.abort();
		await expect(reading).rejects.toBeUndefined();
	});

	test("an interpretation in many pieces is copied a few times, and ends up in an array of its length", async () => {
		const length = 3_000_000;
		const allocated: number[] = [];
		const pieces = function* () {
			yield Buffer.from(`${length}:`);
			for (let left = length; left > 0; left -= 1000) yield Buffer.alloc(1000, left / 1000);
			yield Buffer.from(",");
		};
		const stream = new NetstringDecoderStream();
		vi.stubGlobal("Uint8Array", countingArray(allocated));
		const [whole, ...more] = await collect(ReadableStream.from(pieces()).pipeThrough(stream));
		vi.unstubAllGlobals();
		expect(more).toEqual([]);
		expect(whole).toHaveLength(length);
		expect(whole?.buffer.byteLength).toBe(length);
		for (let at = 0; at < length; at += 1000) expect(whole?.[at]).toBe(((length - at) / 1000) & 0xff);
		expect(sum(allocated)).toBeLessThan(3 * length);
	});

	test("takes chunks only when it needs them: who does not read, stops the source", async () => {
		const packed = Array.from({ length: 100 }, () => bytesOf("1:a,1:b,1:c,1:d,"));
		const { stream, counted } = countingStream(packed);
		const reader = stream.pipeThrough(new NetstringDecoderStream()).getReader();
		await settle();
		const ahead = counted.pulled; // what the pipe itself holds
		expect(ahead).toBeLessThanOrEqual(2);
		for (let read = 1; read <= 400; read++) {
			expect(textOf((await reader.read()).value as Uint8Array)).toBe("dabc"[read % 4]);
			await settle();
			expect(counted.pulled).toBeLessThanOrEqual(Math.ceil(read / 4) + ahead + 1);
		}
		expect((await reader.read()).done).toBe(true);
	});

	test("cancelling it cancels the source", async () => {
		const { stream, counted } = countingStream([bytesOf("1:a,1:b,"), bytesOf("1:c,")]);
		const reader = stream.pipeThrough(new NetstringDecoderStream()).getReader();
		await reader.read();
		await reader.cancel("enough");
		await settle();
		expect(counted.cancelled).toEqual(["enough"]);
	});

	test("an error in the netstrings cancels the source, and the writer gets it", async () => {
		const { stream, counted } = countingStream([bytesOf("1:a;"), bytesOf("1:b,"), bytesOf("1:c,")]);
		const reader = stream.pipeThrough(new NetstringDecoderStream()).getReader();
		const error = await reader.read().catch((error: unknown) => error);
		expect(error).toMatchObject({ code: "ERR_NETSTRING_COMMA", offset: 3 });
		await settle();
		expect(counted.cancelled).toEqual([error]);
		await expect(reader.read()).rejects.toBe(error);

		const decoder = new NetstringDecoderStream();
		const writer = decoder.writable.getWriter();
		const closed = writer.closed.catch((error: unknown) => error);
		writer.write(bytesOf("x")).catch(() => {});
		const thrown = await collect(decoder.readable).catch((error: unknown) => error);
		expect(thrown).toBeInstanceOf(ProtocolError);
		expect(await closed).toBe(thrown);
	});

	test("an error of the source comes out", async () => {
		const broken = new Error("cable");
		const source = new ReadableStream<Uint8Array>({
			start: (controller) => controller.enqueue(bytesOf("1:a,1:")),
			pull: (controller) => controller.error(broken),
		});
		await expect(collect(source.pipeThrough(new NetstringDecoderStream()))).rejects.toBe(broken);
	});

	test("works in a pipeline of node:stream", async () => {
		const out: string[] = [];
		const run = pipeline as (...streams: unknown[]) => Promise<void>; // its types know no TransformStream
		await run(
			["3:a", "bc,1:", "x,"].map((text) => Buffer.from(text)),
			new NetstringDecoderStream(),
			async (interpretations: AsyncIterable<Uint8Array>) => {
				for await (const bytes of interpretations) out.push(Buffer.from(bytes).toString());
			},
		);
		expect(out).toEqual(["abc", "x"]);
	});
});

describe("NetstringEncoderStream", () => {
	test("each chunk becomes a netstring, strings as UTF-8", async () => {
		const out = await encode(["hello", bytesOf("wor\xffld"), "", new Uint8Array(0), "grüße"]);
		expect(out.map(textOf)).toEqual(["5:hello,", "6:wor\xffld,", "0:,", "0:,", "7:gr\xc3\xbc\xc3\x9fe,"]);
	});

	test("up to 16 KiB are one chunk", async () => {
		const out = await encode([new Uint8Array(16_384)]);
		expect(out.map(({ length }) => length)).toEqual([6 + 16_384 + 1]);
	});

	test("more than that passes as it is, between its head and a comma", async () => {
		const [first, second] = [new Uint8Array(16_385).fill(0x61), new Uint8Array(100_000)];
		const out = await encode([first, second]);
		expect(out).toHaveLength(6);
		expect(out[1]).toBe(first);
		expect(out[4]).toBe(second);
		expect([out[0], out[2], out[3], out[5]].map((bytes) => textOf(bytes as Uint8Array))).toEqual([
			"16385:",
			",",
			"100000:",
			",",
		]);
		expect(out[2]?.buffer).not.toBe(out[5]?.buffer); // each may be transferred on its own
	});

	test("takes chunks only when they are asked for", async () => {
		const { stream, counted } = countingStream(Array.from({ length: 100 }, () => bytesOf("x")));
		const reader = stream.pipeThrough(new NetstringEncoderStream()).getReader();
		for (let read = 1; read <= 100; read++) {
			await reader.read();
			await settle();
			expect(counted.pulled).toBeLessThanOrEqual(read + 2);
		}
	});

	test("what it encodes, NetstringDecoderStream decodes, in any cuts", async () => {
		const interpretations = fc.array(
			fc.oneof(
				{ weight: 9, arbitrary: fc.uint8Array({ maxLength: 100 }) },
				{
					weight: 1,
					arbitrary: fc.integer({ min: 16_300, max: 70_000 }).map((length) => new Uint8Array(length)),
				},
			),
			{ maxLength: 8 },
		);
		await fc.assert(
			fc.asyncProperty(interpretations, fc.integer({ min: 1, max: 30_000 }), async (sent, size) => {
				const encoded = concat(await encode(sent));
				expect(textOf(encoded)).toBe(sent.map((bytes) => netstring(textOf(bytes))).join(""));
				const chunks = encoded.length > 2000 && size < 50 ? cut(encoded, [size]) : chunksOf(encoded, size);
				const { texts, error } = await decode(chunks);
				expect(error).toBeNull();
				expect(texts).toEqual(sent.map(textOf));
			}),
		);
	});
});

async function decode(chunks: readonly Uint8Array[], stream = new NetstringDecoderStream()) {
	const texts: string[] = [];
	try {
		for await (const bytes of ReadableStream.from(chunks).pipeThrough(stream)) texts.push(textOf(bytes));
	} catch (error) {
		if (!(error instanceof ProtocolError)) throw error;
		return { texts, error: { code: error.code, offset: error.offset } };
	}
	return { texts, error: null };
}

async function encode(chunks: readonly (Uint8Array | string)[]): Promise<Uint8Array[]> {
	return collect(ReadableStream.from(chunks).pipeThrough(new NetstringEncoderStream()));
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
	const chunks: Uint8Array[] = [];
	for await (const chunk of stream) chunks.push(chunk);
	return chunks;
}

/** Uint8Array, with the lengths of all that are made anew written down. */
function countingArray(allocated: number[]): typeof Uint8Array {
	return new Proxy(Uint8Array, {
		construct(target, parameters, newTarget) {
			if (typeof parameters[0] === "number") allocated.push(parameters[0]);
			return Reflect.construct(target, parameters, newTarget) as Uint8Array;
		},
	});
}

function sum(numbers: readonly number[]): number {
	return numbers.reduce((total, number) => total + number, 0);
}
