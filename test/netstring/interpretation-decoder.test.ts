/** The pulled decoder of whole interpretations. */
import { describe, expect, test } from "vitest";
import { ProtocolError, UsageError } from "../../src/errors.js";
import { InterpretationDecoder } from "../../src/netstring/streams.js";
import { bytesOf, concat, netstring, textOf } from "../support/bytes.js";
import { everyPrefix, everySplit } from "../support/every-split.js";

describe("InterpretationDecoder", () => {
	test("finds the same interpretations in every split", () => {
		const texts = ["hello world!", "", "a", "12:,", "\0\r\n\xff"];
		expect(everySplit(bytesOf(texts.map(netstring).join("")), decodeAll)).toEqual(texts);
	});

	test("a whole interpretation is a view of the chunk, of a Buffer too, and never a Buffer", () => {
		for (const chunk of [bytesOf("3:abc,"), Buffer.from("??3:abc,").subarray(2)]) {
			const found = decoderOf(chunk).next() as Uint8Array;
			expect(textOf(found)).toBe("abc");
			expect(found.buffer).toBe(chunk.buffer);
			expect(found.byteOffset).toBe(chunk.byteOffset + 2);
			expect(Object.getPrototypeOf(found)).toBe(Uint8Array.prototype);
		}
	});

	test("an interpretation that was cut is an array of its own, exactly as long", () => {
		const chunks = ["3:a", "b", "c,"].map((text) => Buffer.from(text));
		const decoder = new InterpretationDecoder();
		const found: Uint8Array[] = [];
		for (const chunk of chunks) {
			decoder.receive(chunk);
			for (let bytes = decoder.next(); bytes !== null; bytes = decoder.next()) found.push(bytes);
			chunk.fill(0xff);
		}
		expect(found.map(textOf)).toEqual(["abc"]);
		expect(found[0]?.buffer.byteLength).toBe(3);
	});

	test("what stands in front of an error comes first, and the error each time after it", () => {
		const decoder = decoderOf(bytesOf("1:a,1:b;"));
		expect(textOf(decoder.next() as Uint8Array)).toBe("a");
		const error = expect.objectContaining({ code: "ERR_NETSTRING_COMMA", offset: 7 });
		for (let call = 0; call < 2; call++) expect(() => decoder.next()).toThrow(error);
	});

	test("an end inside a netstring is an error with its offset, between two it is none", () => {
		everyPrefix(bytesOf("2:ab,1:c,"), (prefix) => {
			const decoder = decoderOf(prefix);
			while (decoder.next() !== null);
			if (prefix.length === 0 || prefix.length === 5) return decoder.receiveEnd();
			const truncated = { code: "ERR_NETSTRING_TRUNCATED", offset: prefix.length };
			expect(() => decoder.receiveEnd()).toThrow(expect.objectContaining(truncated));
		});
	});

	test("takes no longer interpretation than it is told, by default 16 MiB", () => {
		expect(() => decoderOf(bytesOf("6:"), 5).next()).toThrow(ProtocolError);
		expect(decoderOf(bytesOf("16777216:")).next()).toBeNull();
		expect(() => decoderOf(bytesOf("16777217:")).next()).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_TOO_LONG" }),
		);
		expect(() => new InterpretationDecoder({ maxLength: Number.NaN })).toThrow(UsageError);
	});

	test("a chunk must be read to its end before the next one is given", () => {
		const decoder = decoderOf(bytesOf("1:a,1:b,"));
		decoder.next();
		expect(() => decoder.receive(bytesOf("1:c,"))).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_UNREAD" }),
		);
	});

	test("what was found stays as it is while later chunks are decoded", () => {
		const text = netstring("x".repeat(1000));
		const stream = concat(Array.from({ length: 100 }, () => bytesOf(text)));
		const decoder = new InterpretationDecoder();
		const found: Uint8Array[] = [];
		for (let start = 0; start < stream.length; start += 700) {
			decoder.receive(stream.subarray(start, start + 700));
			for (let bytes = decoder.next(); bytes !== null; bytes = decoder.next()) found.push(bytes);
		}
		expect(found.map(textOf)).toEqual(Array.from({ length: 100 }, () => "x".repeat(1000)));
	});
});

function decoderOf(chunk: Uint8Array, maxLength?: number): InterpretationDecoder {
	const decoder = new InterpretationDecoder(maxLength === undefined ? {} : { maxLength });
	decoder.receive(chunk);
	return decoder;
}

function decodeAll(chunks: readonly Uint8Array[]): string[] {
	const decoder = new InterpretationDecoder();
	const found: string[] = [];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let bytes = decoder.next(); bytes !== null; bytes = decoder.next()) found.push(textOf(bytes));
	}
	decoder.receiveEnd();
	return found;
}
