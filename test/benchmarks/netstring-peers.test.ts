/** The peers of the netstring benchmark must find and make what ours do, or their figures say nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	decodeWithNetstring,
	encodeWithNetstring,
	readWithEndo,
	writeWithNetstring,
} from "../../benchmarks/fixtures/netstring-peers.js";
import {
	chunksOf,
	interpretationBytes,
	netstringBytes,
	repeated,
} from "../../benchmarks/fixtures/packages.js";
import { encodeNetstring, netstringSize, writeNetstring } from "../../src/netstring/encoder.js";
import { InterpretationDecoder } from "../../src/netstring/streams.js";
import { bytesOf, netstring, textOf } from "../support/bytes.js";
import { cut, everySplitAsync } from "../support/every-split.js";

const DECODERS: readonly (readonly [string, (chunks: readonly Buffer[]) => Promise<string[]>])[] = [
	["netstring", async (chunks) => withNetstring(chunks)],
	["@endo/netstring", withEndo],
	["ours", async (chunks) => withOurs(chunks)],
];

describe.each(DECODERS)("the decoder of %s", (_, decode) => {
	test("finds in every split what was encoded", async () => {
		const texts = ["hello world!", "", "a", ",:,", "\r\n\0\xff"];
		const stream = bytesOf(texts.map(netstring).join(""));
		expect(await everySplitAsync(stream, (chunks) => decode(chunks.map(bufferOf)))).toEqual(texts);
	});

	test("finds all of a stream of the benchmark", async () => {
		const interpretation = interpretationBytes(100);
		const chunks = chunksOf(repeated(netstringBytes(interpretation), 2000), 64 * 1024);
		const found = await decode(chunks);
		expect(found).toHaveLength(2000);
		expect(new Set(found)).toEqual(new Set([textOf(interpretation)]));
	});

	test("finds what was encoded, in any cuts", async () => {
		const text = fc.string({ unit: fc.constantFrom("0", "9", ":", ",", "\0", "\xff"), maxLength: 120 });
		const points = fc.array(fc.nat(400), { maxLength: 12 });
		await fc.assert(
			fc.asyncProperty(fc.array(text, { maxLength: 8 }), points, async (texts, points) => {
				const stream = bytesOf(texts.map(netstring).join(""));
				const chunks = cut(
					stream,
					points.filter((point) => point <= stream.length),
				);
				expect(await decode(chunks.map(bufferOf))).toEqual(texts);
			}),
			{ numRuns: 300 },
		);
	});
});

describe("the encoder of netstring", () => {
	test.each([0, 1, 9, 10, 99, 100, 999, 1000, 70_000])("makes of %d bytes what ours makes", (length) => {
		const interpretation = interpretationBytes(length);
		const ours = encodeNetstring(interpretation);
		expect(textOf(encodeWithNetstring(interpretation))).toBe(textOf(ours));
		const [theirs, slab] = [new Uint8Array(ours.length + 9), new Uint8Array(ours.length + 9)];
		expect(writeWithNetstring(bufferOf(theirs), 4, interpretation)).toBe(4 + netstringSize(length));
		writeNetstring(slab, 4, interpretation);
		expect(theirs).toEqual(slab);
	});
});

function withNetstring(chunks: readonly Buffer[]): string[] {
	const found: string[] = [];
	decodeWithNetstring(chunks, (interpretation) => found.push(textOf(interpretation)));
	return found;
}

async function withEndo(chunks: readonly Buffer[]): Promise<string[]> {
	const found: string[] = [];
	for await (const interpretation of readWithEndo(chunks)) found.push(textOf(interpretation));
	return found;
}

function withOurs(chunks: readonly Buffer[]): string[] {
	const found: string[] = [];
	const decoder = new InterpretationDecoder();
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let bytes = decoder.next(); bytes !== null; bytes = decoder.next()) found.push(textOf(bytes));
	}
	decoder.receiveEnd();
	return found;
}

/** The same bytes as what sockets hand up; the peer `netstring` takes nothing else. */
function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
	return Buffer.from(buffer, byteOffset, length);
}
