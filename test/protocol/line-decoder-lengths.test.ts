/** Lines of all lengths: short ones are decoded byte by byte, others searched for and moved, and a piece has both. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineDecoder } from "../../src/protocol/line-decoder.js";
import { bytesOf, concat, copyOf, textOf } from "../support/bytes.js";
import { cut } from "../support/every-split.js";

describe("LineDecoder", () => {
	test("decodes lines of any lengths in any order, with CRs in them, in any cuts", () => {
		const content = fc
			.integer({ min: 0, max: 100 })
			.map((length) => "abcdefghij".repeat(10).slice(0, length));
		const end = fc.constantFrom("\r\n", "\r\n", "\r\n", "\r", "\n", "\r\r\n", "");
		const text = fc.array(fc.tuple(content, end), { maxLength: 40 }).map((lines) => lines.flat().join(""));
		fc.assert(
			fc.property(text, fc.array(fc.nat(4000), { maxLength: 5 }), (text, points) => {
				const chunks = cut(
					bytesOf(text),
					points.filter((point) => point <= text.length),
				);
				const expected = text.replaceAll("\r\n", "\n");
				expect(decodeLines(chunks)).toBe(expected);
				expect(decodeLines(chunks.map((chunk) => Buffer.from(chunk)))).toBe(expected);
			}),
			{ numRuns: 2000 },
		);
	});

	test.each([22, 23, 24, 25, 26])("decodes two lines of every length behind one of %d bytes", (first) => {
		for (let length = 0; length < 60; length++) {
			const text = ["a".repeat(first), "b".repeat(length), "c".repeat(length)].join("\r\n");
			for (const end of ["", "\r", "\r\n", "\rd"]) {
				expect(decodeLines([bytesOf(text + end)])).toBe((text + end).replaceAll("\r\n", "\n"));
			}
		}
	});
});

/** Decodes copies of the chunks, and overwrites each one when it was decoded, unless it came back itself. */
function decodeLines(chunks: readonly Uint8Array[]): string {
	const decoder = new LineDecoder();
	const pieces: Uint8Array[] = [];
	for (const chunk of chunks) {
		const own = chunk instanceof Buffer ? Buffer.from(chunk) : copyOf(chunk);
		pieces.push(copyOf(decoder.decode(own)));
		own.fill(0xff);
	}
	return textOf(concat([...pieces, decoder.end()]));
}
