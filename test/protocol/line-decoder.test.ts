import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineDecoder } from "../../src/protocol/line-decoder.js";
import { bytesOf, concat, copyOf, textOf } from "../support/bytes.js";
import { cut, everySplit } from "../support/every-split.js";
import { anyText } from "../support/packages.js";

describe("LineDecoder", () => {
	test.each([
		["CR LF is a line end", "a\r\nb\r\n", "a\nb\n"],
		["an empty text stays empty", "", ""],
		["a text without line ends stays as it is", "abc", "abc"],
		["only a CR LF", "\r\n", "\n"],
		["a CR before another byte is data", "a\rb\r\nc\r\n", "a\rb\nc\n"],
		["a CR at the very end is data", "a\r\nb\r", "a\nb\r"],
		["of CR CR LF only the last two are a line end", "a\r\r\nb\r\n", "a\r\nb\n"],
		["CR CR CR at the end stays", "a\r\r\r", "a\r\r\r"],
		["only a CR", "\r", "\r"],
		["CR CR stays", "\r\r", "\r\r"],
		["an LF on its own is data, and a CR behind it too", "a\n\rb\r\n", "a\n\rb\n"],
		["an LF on its own stays one LF", "a\nb\n", "a\nb\n"],
		["LF CR LF is two lines", "\n\r\n", "\n\n"],
		["CR LF CR LF is two line ends", "\r\n\r\n", "\n\n"],
		["CR LF LF is a line end and an LF", "\r\n\n", "\n\n"],
		["a partial last line gets no line end", "a\r\nb", "a\nb"],
		["NUL and 8-bit bytes pass", "\0\r\n\xff\r\x8d\n\x8a\r\n", "\0\n\xff\r\x8d\n\x8a\n"],
		["a space behind a line end is not folded", "a\r\n b\r\n\tc\r\n", "a\n b\n\tc\n"],
		["dots are left alone", ".\r\n..\r\n", ".\n..\n"],
	])("%s", (_, text, expected) => {
		expect(everySplit(bytesOf(text), decodeLines)).toBe(expected);
	});

	test("does what a replace over the whole text does, in any cuts", () => {
		const lines = fc.string({ unit: fc.constantFrom("\r", "\n", "a", "\r\n"), maxLength: 60 });
		fc.assert(
			fc.property(fc.oneof(lines, anyText(100)), fc.array(fc.nat(100)), (text, points) => {
				const whole = bytesOf(text);
				const chunks = cut(
					whole,
					points.filter((point) => point <= whole.length),
				);
				expect(decodeLines(chunks)).toBe(text.replaceAll("\r\n", "\n"));
			}),
			{ numRuns: 1000 },
		);
	});

	test("gives back the very piece if there is no CR in it", () => {
		const decoder = new LineDecoder();
		for (const text of ["abc", "a\nb\n", "", "\n"]) {
			const bytes = bytesOf(text);
			const decoded = decoder.decode(bytes);
			expect(decoded.buffer).toBe(bytes.buffer);
			expect(decoded.length).toBe(bytes.length);
		}
	});

	test("does not change the piece it is given", () => {
		const decoder = new LineDecoder();
		const bytes = bytesOf("\r\na\rb\r\r\nc\r");
		const before = copyOf(bytes);
		decoder.decode(bytes);
		decoder.decode(bytes);
		expect(bytes).toEqual(before);
	});

	test("what it returns does not change with later pieces", () => {
		const decoder = new LineDecoder();
		const [first, second] = [bytesOf("a\r\nb\r"), bytesOf("c\r\nd")];
		const decoded = decoder.decode(first);
		first.fill(0xff);
		decoder.decode(second);
		expect(textOf(decoded)).toBe("a\nb");
	});

	test("a CR is held back until the byte behind it is there", () => {
		const decoder = new LineDecoder();
		expect(textOf(decoder.decode(bytesOf("a\r")))).toBe("a");
		expect(textOf(decoder.decode(new Uint8Array(0)))).toBe("");
		expect(textOf(decoder.decode(bytesOf("\r")))).toBe("\r");
		expect(textOf(decoder.decode(bytesOf("\n")))).toBe("\n");
		expect(textOf(decoder.end())).toBe("");
	});

	test("is new again behind the end", () => {
		const decoder = new LineDecoder();
		decoder.decode(bytesOf("a\r"));
		expect(textOf(decoder.end())).toBe("\r");
		expect(textOf(decoder.end())).toBe("");
		expect(textOf(decoder.decode(bytesOf("\nb")))).toBe("\nb");
	});
});

/** Decodes the chunks, and overwrites each one when it was decoded, unless it came back itself. */
function decodeLines(chunks: readonly Uint8Array[]): string {
	const decoder = new LineDecoder();
	const pieces: Uint8Array[] = [];
	for (const chunk of chunks) {
		const decoded = decoder.decode(chunk);
		pieces.push(copyOf(decoded));
		chunk.fill(0xff);
	}
	return textOf(concat([...pieces, decoder.end()]));
}
