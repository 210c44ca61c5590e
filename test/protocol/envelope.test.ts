import { describe, expect, test } from "vitest";
import { checkedEnvelope, encodeAddress } from "../../src/protocol/envelope.js";
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

describe("checkedEnvelope", () => {
	test("is a copy, with equal recipients as often as they were given", () => {
		const recipients = ["a@b", "a@b", ""];
		const envelope = checkedEnvelope({ sender: "", recipients }, "utf-8");
		recipients[0] = "c@d";
		recipients.length = 1;
		expect(envelope).toEqual({ sender: "", recipients: ["a@b", "a@b", ""] });
	});

	test.each([
		["no recipient", { sender: "", recipients: [] }, "ERR_QMTP_RECIPIENTS"],
		["recipients that are no array", { sender: "", recipients: "a@b" }, "ERR_QMTP_RECIPIENTS"],
		["recipients left out", { sender: "" }, "ERR_QMTP_RECIPIENTS"],
		["a sender that is no string", { sender: null, recipients: ["a"] }, "ERR_QMTP_ADDRESS"],
		["a recipient that is no string", { sender: "", recipients: ["a", {}] }, "ERR_QMTP_ADDRESS"],
		["a hole among the recipients", { sender: "", recipients: Array(1) }, "ERR_QMTP_ADDRESS"],
		["a recipient that cannot be encoded", { sender: "", recipients: ["a", "\ud800"] }, "ERR_QMTP_ADDRESS"],
		["a sender that cannot be encoded", { sender: "\ud800", recipients: ["a"] }, "ERR_QMTP_ADDRESS"],
	])("refuses %s", (_, envelope, code) => {
		const call = () => checkedEnvelope(envelope as Parameters<typeof checkedEnvelope>[0], "utf-8");
		expect(call).toThrow(expect.objectContaining({ code, name: "UsageError" }));
	});

	test("knows what the encoding can express", () => {
		const envelope = { sender: "\u00ff", recipients: ["\u20ac"] };
		expect(checkedEnvelope(envelope, "utf-8")).toEqual(envelope);
		expect(() => checkedEnvelope(envelope, "latin1")).toThrow(refused);
	});
});
