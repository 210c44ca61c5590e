import { describe, expect, test } from "vitest";
import { ProtocolError, UsageError } from "../../src/errors.js";
import {
	BYTES,
	decodeNetstring,
	END,
	LENGTH,
	NEED_DATA,
	NetstringDecoder,
	type NetstringDecoderOptions,
} from "../../src/netstring/decoder.js";
import { bytesOf, netstring, textOf } from "../support/bytes.js";
import { decodeNetstrings } from "../support/decoding.js";
import { everyPrefix, everySplit } from "../support/every-split.js";

const BIGGEST = Number.MAX_SAFE_INTEGER; // 9007199254740991

describe("NetstringDecoder", () => {
	test.each([
		["the specification's example", "12:hello world!,", ["hello world!"]],
		["the specification's empty string", "0:,", [""]],
		["several in a row", "3:abc,0:,1:,,10:0123456789,", ["abc", "", ",", "0123456789"]],
		["interpretations that look like netstrings", "6:3:abc,,4:0:,,,", ["3:abc,", "0:,,"]],
		["all 256 bytes", netstring(allBytes()), [allBytes()]],
	])("decodes %s in every split", (_, text, expected) => {
		const { items, error, offset, idle } = everySplit(bytesOf(text), (chunks) => decodeNetstrings(chunks));
		expect(error).toBeNull();
		expect(items.map((item) => item.text)).toEqual(expected);
		expect(items.map((item) => item.length)).toEqual(expected.map((interpretation) => interpretation.length));
		expect(offset).toBe(text.length);
		expect(idle).toBe(true);
	});

	test("says where each netstring ends", () => {
		const { items } = everySplit(bytesOf("3:abc,0:,1:x,"), (chunks) => decodeNetstrings(chunks));
		expect(items.map(({ end }) => end)).toEqual([6, 9, 13]);
	});

	test("a netstring ends with its comma and not before", () => {
		everyPrefix(bytesOf("0:,11:hello world,"), (prefix) => {
			const { items, error, offset, idle } = decodeNetstrings([prefix]);
			expect(error).toBeNull();
			expect(items.filter(({ end }) => end !== null)).toHaveLength(prefix.length < 3 ? 0 : 1);
			expect(offset).toBe(prefix.length);
			expect(idle).toBe(prefix.length === 0 || prefix.length === 3);
		});
	});

	test("bytes behind a netstring stay unread until they are asked for", () => {
		const decoder = new NetstringDecoder();
		decoder.receive(bytesOf("2:ab,x"));
		expect([decoder.next(), decoder.next(), decoder.next()]).toEqual([LENGTH, BYTES, END]);
		expect(decoder.offset).toBe(5);
		expect(decoder.start).toBe(5);
		expect(decoder.idle).toBe(true);
	});

	test.each<[string, string, string, number, NetstringDecoderOptions?]>([
		["ERR_NETSTRING_LENGTH_EMPTY", "a length that is empty", ":,", 0],
		["ERR_NETSTRING_LENGTH_EMPTY", "an empty length behind a netstring", "1:x,:,", 4],
		["ERR_NETSTRING_LENGTH_ZEROS", "a zero before a digit", "007:1234567,", 1],
		["ERR_NETSTRING_LENGTH_ZEROS", "two zeros", "00:,", 1],
		["ERR_NETSTRING_LENGTH_ZEROS", "a zero before a digit behind a netstring", "1:x,01:x,", 5],
		["ERR_NETSTRING_LENGTH_DIGIT", "a letter for a length", "x", 0],
		["ERR_NETSTRING_LENGTH_DIGIT", "a letter behind a digit", "12x:", 2],
		["ERR_NETSTRING_LENGTH_DIGIT", "a letter behind a zero", "0x7:", 1],
		["ERR_NETSTRING_LENGTH_DIGIT", "a minus", "-1:x,", 0],
		["ERR_NETSTRING_LENGTH_DIGIT", "a plus", "+1:x,", 0],
		["ERR_NETSTRING_LENGTH_DIGIT", "a space in front", " 1:x,", 0],
		["ERR_NETSTRING_LENGTH_DIGIT", "a space behind", "1 :x,", 1],
		["ERR_NETSTRING_LENGTH_DIGIT", "an LF between two netstrings", "1:x,\n1:x,", 4],
		["ERR_NETSTRING_LENGTH_DIGIT", "the byte before 0", "1/", 1],
		["ERR_NETSTRING_LENGTH_DIGIT", "the byte behind the colon", "1;", 1],
		["ERR_NETSTRING_LENGTH_DIGIT", "a NUL", "1\0:", 1],
		["ERR_NETSTRING_LENGTH_DIGIT", "0xff", "1\xff", 1],
		["ERR_NETSTRING_LENGTH_DIGIT", "a length that ends with the comma", "1,", 1],
		["ERR_NETSTRING_TOO_LONG", "one more than maxLength", "12:", 1, { maxLength: 11 }],
		["ERR_NETSTRING_TOO_LONG", "one digit more than maxLength has", "100", 2, { maxLength: 99 }],
		["ERR_NETSTRING_TOO_LONG", "any byte where maxLength is 0", "0:,1", 3, { maxLength: 0 }],
		["ERR_NETSTRING_TOO_LONG", "2^53", "9007199254740992", 15],
		["ERR_NETSTRING_TOO_LONG", "2^64 + 7", "18446744073709551623:", 16],
		["ERR_NETSTRING_TOO_LONG", "forty digits", "1".repeat(40), 16],
		["ERR_NETSTRING_TOO_LONG", "forty nines", "9".repeat(40), 15],
		[
			"ERR_NETSTRING_TOO_LONG",
			"forty digits if maxLength is Infinity",
			"1".repeat(40),
			16,
			{ maxLength: Infinity },
		],
		["ERR_NETSTRING_COMMA", "a semicolon for the comma", "5:hello;", 7],
		["ERR_NETSTRING_COMMA", "a length that is too short", "4:hello,", 6],
		["ERR_NETSTRING_COMMA", "an empty netstring without a comma", "0:x", 2],
		["ERR_NETSTRING_COMMA", "the second netstring without a comma", "1:,,1:x:", 7],
	])("%s: %s", (code, _, text, offset, options) => {
		const { error, idle } = everySplit(bytesOf(text), (chunks) => decodeNetstrings(chunks, options));
		expect(error).toEqual({ code, offset });
		expect(idle).toBe(false);
	});

	test("a length over maxLength is refused at its digit, before the colon is there", () => {
		const decoder = new NetstringDecoder({ maxLength: 1234 });
		decoder.receive(bytesOf("123"));
		expect(decoder.next()).toBe(NEED_DATA);
		decoder.receive(bytesOf("5"));
		expect(() => decoder.next()).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_TOO_LONG", offset: 3, name: "ProtocolError" }),
		);
	});

	test.each([0, 9, 10, 99, 100, 1234, BIGGEST - 1, BIGGEST])(
		"a length of exactly maxLength %d passes",
		(length) => {
			everySplit(bytesOf(`${length}:`), (chunks) => {
				const { items, error } = decodeNetstrings(chunks, { maxLength: length });
				expect(error).toBeNull();
				expect(items).toEqual([{ length, text: "", end: null }]);
			});
		},
	);

	test.each([1, 10, 11, 100, 101, 1235, BIGGEST])(
		"a length of maxLength %d and one more does not pass",
		(length) => {
			everySplit(bytesOf(`${length}:`), (chunks) => {
				const { error } = decodeNetstrings(chunks, { maxLength: length - 1 });
				expect(error).toEqual({ code: "ERR_NETSTRING_TOO_LONG", offset: String(length).length - 1 });
			});
		},
	);

	test("an error stays: each further call throws the same one, also with a new chunk", () => {
		const decoder = new NetstringDecoder();
		decoder.receive(bytesOf("1:x;1:x,"));
		decoder.next();
		decoder.next();
		const first = thrownBy(() => decoder.next());
		expect(first).toBeInstanceOf(ProtocolError);
		expect(thrownBy(() => decoder.next())).toBe(first);
		decoder.receive(bytesOf("1:x,"));
		expect(thrownBy(() => decoder.next())).toBe(first);
		expect(decoder.idle).toBe(false);
	});

	test("reset makes it new after an error, with offsets from where it is told", () => {
		const decoder = new NetstringDecoder();
		decoder.receive(bytesOf("x"));
		expect(() => decoder.next()).toThrow(ProtocolError);
		decoder.reset(1000);
		expect(decoder.idle).toBe(true);
		expect(decoder.offset).toBe(1000);
		expect(decoder.next()).toBe(NEED_DATA);
		decoder.receive(bytesOf("1:x,1:x;"));
		while (decoder.next() !== END);
		expect(decoder.offset).toBe(1004);
		expect([decoder.next(), decoder.next()]).toEqual([LENGTH, BYTES]);
		expect(() => decoder.next()).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_COMMA", offset: 1007 }),
		);
	});

	test("reset forgets a netstring that is half read, and the rest of the chunk", () => {
		const decoder = new NetstringDecoder();
		decoder.receive(bytesOf("5:he"));
		expect([decoder.next(), decoder.next()]).toEqual([LENGTH, BYTES]);
		decoder.reset();
		decoder.receive(bytesOf("1"));
		expect(decoder.next()).toBe(NEED_DATA);
		decoder.reset();
		decoder.receive(bytesOf("0:,"));
		expect([decoder.next(), decoder.next(), decoder.next()]).toEqual([LENGTH, END, NEED_DATA]);
		expect(decoder.offset).toBe(3);
	});

	test("an empty chunk changes nothing", () => {
		const decoder = new NetstringDecoder();
		decoder.receive(new Uint8Array(0));
		expect(decoder.next()).toBe(NEED_DATA);
		expect(decoder.idle).toBe(true);
		expect(decoder.offset).toBe(0);
	});

	test("receive refuses to drop bytes that were not read", () => {
		const decoder = new NetstringDecoder();
		decoder.receive(bytesOf("1:x,0:,"));
		for (let step = decoder.next(); step !== END; step = decoder.next()) {
			const error = thrownBy(() => decoder.receive(bytesOf("1:y,")));
			expect(error).toBeInstanceOf(UsageError);
			expect(error).toMatchObject({ code: "ERR_NETSTRING_UNREAD", name: "UsageError" });
		}
		expect([decoder.next(), decoder.next(), decoder.next()]).toEqual([LENGTH, END, NEED_DATA]);
		expect(() => decoder.receive(bytesOf("1:y,"))).not.toThrow();
	});

	test("receive takes a range of the chunk, and reads no byte outside of it", () => {
		const chunk = bytesOf("999:1:x,2:yz,999");
		const decoder = new NetstringDecoder();
		decoder.receive(chunk, 4, 10);
		expect([decoder.start, decoder.end]).toEqual([4, 4]);
		expect([decoder.next(), decoder.next()]).toEqual([LENGTH, BYTES]);
		expect([decoder.start, decoder.end]).toEqual([6, 7]);
		expect([decoder.next(), decoder.next(), decoder.next()]).toEqual([END, LENGTH, NEED_DATA]);
		expect(decoder.offset).toBe(6);
		decoder.receive(chunk, 10, 13);
		expect(decoder.next()).toBe(BYTES);
		expect(textOf(decoder.chunk.subarray(decoder.start, decoder.end))).toBe("yz");
		expect([decoder.next(), decoder.next()]).toEqual([END, NEED_DATA]);
		expect(decoder.offset).toBe(9);
		decoder.receive(chunk, 3, 3);
		expect(decoder.next()).toBe(NEED_DATA);
		expect(decoder.offset).toBe(9);
	});

	test("an error's offset counts the bytes of the ranges only", () => {
		const decoder = new NetstringDecoder();
		decoder.receive(bytesOf("??1:?"), 2, 4);
		expect([decoder.next(), decoder.next()]).toEqual([LENGTH, NEED_DATA]);
		decoder.receive(bytesOf("????x;"), 4, 6);
		expect(decoder.next()).toBe(BYTES);
		expect(() => decoder.next()).toThrow(expect.objectContaining({ code: "ERR_NETSTRING_COMMA", offset: 3 }));
	});

	test("maxLength may be changed between netstrings", () => {
		const decoder = new NetstringDecoder({ maxLength: 3 });
		decoder.receive(bytesOf("3:abc,5:hello,5:hello,"));
		while (decoder.next() !== END);
		decoder.maxLength = 5;
		while (decoder.next() !== END);
		decoder.maxLength = 4;
		expect(() => decoder.next()).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_TOO_LONG", offset: 14 }),
		);
	});

	test("maxLength set to Infinity still refuses lengths that a number cannot hold", () => {
		const decoder = new NetstringDecoder();
		decoder.maxLength = Infinity;
		decoder.receive(bytesOf("9007199254740992:"));
		expect(() => decoder.next()).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_TOO_LONG", offset: 15 }),
		);
	});

	test.each([-1, Number.NaN, undefined as unknown as number])("a maxLength of %s", (maxLength) => {
		const make = () => new NetstringDecoder({ maxLength });
		if (maxLength === undefined) expect(make().maxLength).toBe(BIGGEST);
		else expect(make).toThrow(expect.objectContaining({ code: "ERR_QMTP_OPTION", name: "UsageError" }));
	});

	test("hands up ranges of the very chunk, and copies nothing", () => {
		const chunk = bytesOf("5:hello,");
		const decoder = new NetstringDecoder();
		decoder.receive(chunk);
		expect([decoder.next(), decoder.next()]).toEqual([LENGTH, BYTES]);
		expect(decoder.chunk).toBe(chunk);
		expect([decoder.start, decoder.end, decoder.length]).toEqual([2, 7, 5]);
	});
});

describe("decodeNetstring", () => {
	test.each(["0:,", "5:hello,", "12:hello world!,", "1:,,"])("decodes %j", (text) => {
		expect(textOf(decodeNetstring(bytesOf(text)))).toBe(text.replace(/^\d+:|,$/g, ""));
	});

	test("returns a view", () => {
		const bytes = bytesOf("5:hello,");
		const interpretation = decodeNetstring(bytes);
		expect(interpretation.buffer).toBe(bytes.buffer);
		expect(interpretation.byteOffset).toBe(2);
	});

	test("ERR_NETSTRING_TRUNCATED: every proper prefix is cut short at its end", () => {
		everyPrefix(bytesOf("11:hello world,"), (prefix) => {
			expect(() => decodeNetstring(prefix)).toThrow(
				expect.objectContaining({
					code: "ERR_NETSTRING_TRUNCATED",
					offset: prefix.length,
					name: "ProtocolError",
				}),
			);
		});
	});

	test.each([
		["0:,x", 3],
		["5:hello,\n", 8],
		["1:x,1:x,", 4],
	])("ERR_NETSTRING_TRAILING: %j has bytes behind it at %d", (text, offset) => {
		expect(() => decodeNetstring(bytesOf(text))).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_TRAILING", offset }),
		);
	});

	test("passes maxLength on", () => {
		expect(textOf(decodeNetstring(bytesOf("5:hello,"), { maxLength: 5 }))).toBe("hello");
		expect(() => decodeNetstring(bytesOf("5:hello,"), { maxLength: 4 })).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_TOO_LONG", offset: 0 }),
		);
	});

	test("throws the decoder's errors", () => {
		expect(() => decodeNetstring(bytesOf("5:hello;"))).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_COMMA", offset: 7 }),
		);
	});
});

function allBytes(): string {
	return String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte));
}

function thrownBy(run: () => unknown): unknown {
	try {
		run();
	} catch (error) {
		return error;
	}
	return expect.unreachable("should have thrown");
}
