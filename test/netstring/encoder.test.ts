import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeNetstring } from "../../src/netstring/decoder.js";
import {
	encodeNetstring,
	netstringHead,
	netstringSize,
	writeHead,
	writeNetstring,
} from "../../src/netstring/encoder.js";
import { bytesOf, textOf } from "../support/bytes.js";

const LENGTHS = [
	0,
	1,
	9,
	10,
	11,
	99,
	100,
	101,
	999,
	1000,
	9_999,
	10_000,
	99_999,
	100_000,
	999_999_999,
	1_000_000_000,
	4_294_967_295,
	4_294_967_296,
	999_999_999_999_999,
	1_000_000_000_000_000,
	9_007_199_254_740_990,
	Number.MAX_SAFE_INTEGER,
];

describe("encodeNetstring", () => {
	test.each([
		["hello world!", "12:hello world!,"],
		["", "0:,"],
		[",", "1:,,"],
		["3:abc,", "6:3:abc,,"],
	])("encodes %j", (interpretation, encoded) => {
		expect(textOf(encodeNetstring(bytesOf(interpretation)))).toBe(encoded);
		expect(textOf(encodeNetstring(interpretation))).toBe(encoded);
	});

	test("counts the bytes of a string in UTF-8, not its characters", () => {
		expect(Buffer.from(encodeNetstring("grüße 😀")).toString()).toBe("12:grüße 😀,");
	});

	test("makes an array of its own, without room behind it", () => {
		const interpretation = bytesOf("hello");
		const encoded = encodeNetstring(interpretation);
		interpretation.fill(0);
		expect(textOf(encoded)).toBe("5:hello,");
		expect(encoded.buffer.byteLength).toBe(8);
	});

	test.each([9, 10, 99, 100, 999, 1000, 65_536])("frames %d bytes", (length) => {
		const encoded = encodeNetstring(new Uint8Array(length).fill(0x61));
		expect(textOf(encoded)).toBe(`${length}:${"a".repeat(length)},`);
	});

	test("what it encodes, decodeNetstring decodes", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 3000 }), (interpretation) => {
				expect(decodeNetstring(encodeNetstring(interpretation))).toEqual(interpretation);
			}),
		);
	});

	test("a string comes back as its UTF-8", () => {
		fc.assert(
			fc.property(fc.uint16Array(), (units) => {
				const text = String.fromCharCode(...units); // lone surrogates included
				expect(Buffer.from(decodeNetstring(encodeNetstring(text)))).toEqual(Buffer.from(text, "utf8"));
			}),
		);
	});
});

describe("netstringHead and netstringSize", () => {
	test.each(LENGTHS)("the head of %d bytes", (length) => {
		expect(textOf(netstringHead(length))).toBe(`${length}:`);
		if (length < Number.MAX_SAFE_INTEGER - 20)
			expect(netstringSize(length)).toBe(`${length}:,`.length + length);
	});

	test("any whole number is written in decimal", () => {
		fc.assert(
			fc.property(fc.maxSafeNat(), (length) => {
				expect(textOf(netstringHead(length))).toBe(`${length}:`);
			}),
		);
	});

	test.each([-1, 0.5, 2 ** 53, Number.NaN, Infinity])("a length of %d is refused", (length) => {
		expect(() => netstringHead(length)).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_OPTION", name: "UsageError" }),
		);
	});
});

describe("writeNetstring and writeHead", () => {
	test("write at an offset, touch nothing else, and return where they ended", () => {
		const target = bytesOf("................");
		expect(writeNetstring(target, 3, bytesOf("hello"))).toBe(11);
		expect(textOf(target)).toBe("...5:hello,.....");
		expect(writeHead(target, 12, 107)).toBe(16);
		expect(textOf(target)).toBe("...5:hello,.107:");
		expect(writeHead(target, 0, 0)).toBe(2);
		expect(textOf(target)).toBe("0:.5:hello,.107:");
	});
});
