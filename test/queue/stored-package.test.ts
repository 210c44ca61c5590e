/** Packages that are read back: whole ones, and every way in which one may have been damaged at its ends. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AddressEncoding } from "../../src/protocol/envelope.js";
import { encodePackage } from "../../src/protocol/package-encoder.js";
import { decodeEnvelope, decodePackage, encodeStoredPackage } from "../../src/queue/stored-package.js";
import { noise } from "../support/queue-contract.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com", "", "jürgen@example.com"] };

describe("a stored package", () => {
	it.each([
		["an empty body", new Uint8Array(0)],
		["a body of one byte", Buffer.from("x")],
		["a body that looks like a package", Buffer.from("3:\nab,0:,5:3:abc,,")],
		["a body of all bytes", noise(70_000)],
	])("is read back with %s", (_, body) => {
		const read = decodePackage(stored(body), "utf-8");
		expect(read.envelope).toEqual(ENVELOPE);
		expect(Buffer.from(read.body).equals(body)).toBe(true);
	});

	it("hands out its body as a view", () => {
		const bytes = stored(Buffer.from("abc\n"));
		const { body } = decodePackage(bytes, "utf-8");
		bytes[body.byteOffset - bytes.byteOffset] = 0x7a;
		expect(Buffer.from(body).toString()).toBe("zbc\n");
	});

	it("has its addresses by its encoding", () => {
		const envelope = { sender: "\xff\x80@example.org", recipients: ["j\xfcrgen@example.com"] };
		const bytes = stored(Buffer.from("x\n"), envelope, "latin1");
		expect(decodePackage(bytes, "latin1").envelope).toEqual(envelope);
		expect(decodePackage(stored(Buffer.from("x\n")), "latin1").envelope.recipients[2]).toBe(
			"j\xc3\xbcrgen@example.com",
		);
	});

	it("is refused wherever it is cut", () => {
		const bytes = stored(Buffer.from("Subject: x\n\n12:hello,\n"));
		for (let length = 0; length < bytes.length; length++) {
			expect(() => decodePackage(bytes.subarray(0, length), "utf-8"), `cut at ${length}`).toThrow();
		}
	});

	it("is refused with any byte behind it, and with another package", () => {
		const bytes = stored(Buffer.from("x\n"));
		for (let byte = 0; byte < 256; byte++) {
			const longer = Buffer.concat([bytes, Buffer.of(byte)]);
			expect(() => decodePackage(longer, "utf-8"), `byte ${byte}`).toThrow();
		}
		expect(() => decodePackage(Buffer.concat([bytes, bytes]), "utf-8")).toThrow();
	});

	it("is refused with a byte before it, or one that is missing there", () => {
		const bytes = stored(Buffer.from("x\n"));
		for (const byte of [..."\r\n 05:,"].map((character) => character.charCodeAt(0))) {
			expect(() => decodePackage(Buffer.concat([Buffer.of(byte), bytes]), "utf-8"), `byte ${byte}`).toThrow();
		}
		expect(() => decodePackage(bytes.subarray(1), "utf-8")).toThrow();
	});

	it("is refused with lines that end in CR LF, which no queue stores", () => {
		const { head, tail } = encodePackage(ENVELOPE, { encoding: "crlf", length: 3 });
		expect(() => decodePackage(Buffer.concat([head, Buffer.from("x\r\n"), tail]), "utf-8")).toThrow("LF");
	});

	it("may have no recipient, as QMTP has it", () => {
		const { envelope } = decodePackage(Buffer.from("3:\nx\n,2:me,0:,"), "utf-8");
		expect(envelope).toEqual({ sender: "me", recipients: [] });
	});

	it("is written by one piece of code as by the encoder, whatever its addresses and pieces", () => {
		const address = fc.string({ unit: "binary", maxLength: 30 });
		const envelope = fc.record({ sender: address, recipients: fc.array(address, { maxLength: 12 }) });
		const pieces = fc.array(fc.uint8Array({ maxLength: 120 }), { maxLength: 12 });
		const front = fc.nat({ max: 50 });
		fc.assert(
			fc.property(envelope, pieces, front, fc.boolean(), (given, parts, room, isElsewhere) => {
				const length = parts.reduce((sum, part) => sum + part.length, 0);
				const body = { pieces: isElsewhere ? [] : parts, length };
				const { bytes, bodyAt } = encodeStoredPackage(given, "utf-8", body, room);
				const { head, tail } = encodePackage(given, { encoding: "lf", length });
				const wanted = Buffer.concat([head, ...body.pieces, tail]);
				expect(bytes.subarray(room).equals(wanted)).toBe(true);
				expect(bodyAt).toBe(head.length);
				expect(decodeEnvelope(tail, "utf-8")).toEqual(given);
			}),
		);
	});

	it("is read well after one that could not be read, whose fault is told by its own bytes", () => {
		for (const text of [",2:me,3:0:,,x", ",2:me,9:", ",x", "", ",2:me,4:9:x,,"]) {
			expect(() => decodeEnvelope(Buffer.from(text), "utf-8"), text).toThrow();
			expect(() => decodeEnvelope(Buffer.from(",x"), "utf-8")).toThrow("at byte 4");
			const { tail } = encodePackage(ENVELOPE, { encoding: "lf", length: 5 });
			expect(decodeEnvelope(new Uint8Array(tail), "utf-8")).toEqual(ENVELOPE);
		}
	});

	it("cannot claim more than is there", () => {
		for (const text of ["999999999:\nx", "99999999999999999999:\nx", `${2 ** 53}:\nx\n,0:,3:0:,,`]) {
			expect(() => decodePackage(Buffer.from(text), "utf-8"), text).toThrow();
		}
	});

	it("of which only the end is there has its envelope all the same, and nothing behind it", () => {
		const { tail } = encodePackage(ENVELOPE, { encoding: "lf", length: 5 });
		expect(decodeEnvelope(tail, "utf-8")).toEqual(ENVELOPE);
		for (let length = 0; length < tail.length; length++) {
			expect(() => decodeEnvelope(tail.subarray(0, length), "utf-8"), `cut at ${length}`).toThrow();
		}
		expect(() => decodeEnvelope(Buffer.concat([tail, Buffer.of(0x30)]), "utf-8")).toThrow();
	});
});

function stored(
	body: Uint8Array,
	envelope: typeof ENVELOPE = ENVELOPE,
	encoding: AddressEncoding = "utf-8",
): Buffer {
	const { head, tail } = encodePackage(envelope, { encoding: "lf", length: body.length }, encoding);
	return Buffer.concat([head, body, tail]);
}
