import { describe, expect, test } from "vitest";
import { encodeAddress } from "../../src/protocol/envelope.js";
import { textOf } from "../support/bytes.js";

const refused = expect.objectContaining({ code: "ERR_QMTP_ADDRESS", name: "UsageError" });

describe("encodeAddress", () => {
	test("encodes as UTF-8 by default", () => {
		expect(textOf(encodeAddress("a@b"))).toBe("a@b");
		expect(Buffer.from(encodeAddress("jörg@例え.jp 😀")).toString()).toBe("jörg@例え.jp 😀");
		expect(encodeAddress("")).toHaveLength(0);
	});

	test.each(["\ud800", "a\udc00@b", "\udc00\ud800", "x\ud83d"])("%j is not UTF-8", (address) => {
		expect(() => encodeAddress(address)).toThrow(refused);
	});

	test("as Latin-1, each character is one byte", () => {
		const all = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte));
		expect([...encodeAddress(all, "latin1")]).toEqual(Array.from({ length: 256 }, (_, byte) => byte));
		expect(encodeAddress("", "latin1")).toHaveLength(0);
	});

	test.each(["\u0100", "a€@b", "😀", "\ud800"])("%j is not Latin-1", (address) => {
		expect(() => encodeAddress(address, "latin1")).toThrow(refused);
	});
});
