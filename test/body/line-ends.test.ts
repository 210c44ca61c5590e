/** Line ends of whole inputs. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DETECTION_BYTES, decodeLines, decodeLinesOf, detectEncoding } from "../../src/body/line-ends.js";
import { bytesOf, textOf } from "../support/bytes.js";
import { cut } from "../support/every-split.js";
import { anyText } from "../support/packages.js";

describe("detectEncoding", () => {
	test.each([
		["", "lf"],
		["\n", "lf"],
		["\r\n", "crlf"],
		["\r", "lf"],
		["\r\r\n", "crlf"],
		["a\nb\r\n", "lf"],
		["a\r\nb\n", "crlf"],
		["a\rb\nc\r\n", "lf"],
		["no line end", "lf"],
	])("%j is %s", (text, encoding) => {
		expect(detectEncoding(bytesOf(text))).toBe(encoding);
	});

	test("a line end behind the first 64 KiB does not count", () => {
		const text = (before: number) => bytesOf(`${"x".repeat(before)}\r\n`);
		expect(detectEncoding(text(DETECTION_BYTES - 2))).toBe("crlf");
		expect(detectEncoding(text(DETECTION_BYTES - 1))).toBe("lf");
	});
});

describe("decodeLines", () => {
	test("gives the same view if there is nothing to change", () => {
		const bytes = bytesOf("a\nb\n");
		expect(decodeLines(bytes)).toBe(bytes);
	});

	test("leaves its input as it was", () => {
		const bytes = bytesOf("a\r\nb\r");
		expect(textOf(decodeLines(bytes))).toBe("a\nb\r");
		expect(textOf(bytes)).toBe("a\r\nb\r");
	});

	test("of any text is that text with CR LF as LF, and so are its chunks, wherever it is cut", async () => {
		const scenario = fc.asyncProperty(
			anyText(60),
			fc.array(fc.nat(60), { maxLength: 5 }),
			async (text, points) => {
				const expected = text.replaceAll("\r\n", "\n");
				expect(textOf(decodeLines(bytesOf(text)))).toBe(expected);
				const chunks = cut(
					bytesOf(text),
					points.map((point) => Math.min(point, text.length)),
				);
				let decoded = "";
				for await (const chunk of decodeLinesOf(each(chunks))) {
					expect(chunk.length).toBeGreaterThan(0);
					decoded += textOf(chunk);
				}
				expect(decoded).toBe(expected);
			},
		);
		await fc.assert(scenario, { numRuns: 300 });
	});
});

async function* each(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
	yield* chunks;
}
