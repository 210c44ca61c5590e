/** Envelopes of all sizes: small ones are written into an array that is kept, and must not show through. */
import { describe, expect, test } from "vitest";
import { encodePackage } from "../../src/protocol/package-encoder.js";
import { bytesOf, concat, netstring, textOf } from "../support/bytes.js";

describe("encodePackage", () => {
	test("encodes envelopes of every size about 1,024 bytes as the specification says", () => {
		for (let length = 950; length < 1060; length++) {
			const recipients = ["r".repeat(length)];
			const { head, tail } = encodePackage({ sender: "s@a", recipients }, { encoding: "crlf", length: 2 });
			expect(textOf(concat([head, bytesOf("ab"), tail]))).toBe(
				`3:\rab,3:s@a,${netstring(netstring(recipients[0] as string))}`,
			);
		}
	});

	test("encodes many recipients, and none", () => {
		for (const count of [0, 1, 9, 100, 5000]) {
			const recipients = Array.from({ length: count }, (_, index) => `r${index}@example.com`);
			const { tail } = encodePackage({ sender: "", recipients }, { encoding: "lf", length: 0 });
			expect(textOf(tail)).toBe(`,0:,${netstring(recipients.map(netstring).join(""))}`);
		}
	});

	test("an address beyond ASCII in any place makes its bytes, and leaves nothing behind", () => {
		const envelopes = [
			{ sender: "é@a", recipients: ["r@a"] },
			{ sender: "s@a", recipients: ["r@a", "日本@a", "t@a"] },
			{ sender: "s@a", recipients: ["\u{1f4e8}@a"] },
		];
		for (const envelope of envelopes) {
			const { tail } = encodePackage(envelope, { encoding: "lf", length: 0 });
			const [sender, ...recipients] = [envelope.sender, ...envelope.recipients].map(utf8) as [
				string,
				...string[],
			];
			expect(textOf(tail)).toBe(`,${netstring(sender)}${netstring(recipients.map(netstring).join(""))}`);
			const plain = encodePackage({ sender: "s", recipients: ["r"] }, { encoding: "lf", length: 0 });
			expect(textOf(plain.tail)).toBe(",1:s,4:1:r,,");
		}
	});

	test("in Latin-1 each character is a byte, up to the highest", () => {
		const envelope = { sender: "\x7f\x80\xff", recipients: ["é"] };
		const { tail } = encodePackage(envelope, { encoding: "lf", length: 0 }, "latin1");
		expect(textOf(tail)).toBe(",3:\x7f\x80\xff,4:1:\xe9,,");
		const beyond = { sender: "s", recipients: ["r", "\u0100"] };
		expect(() => encodePackage(beyond, { encoding: "lf", length: 0 }, "latin1")).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_ADDRESS" }),
		);
	});

	test("what it returns belongs to the caller: later calls do not change it, and its buffer holds no more", () => {
		const first = encodePackage({ sender: "s1", recipients: ["r1"] }, { encoding: "lf", length: 10 });
		const second = encodePackage({ sender: "s2", recipients: ["r2"] }, { encoding: "crlf", length: 20 });
		expect([first.head, first.tail].map(textOf)).toEqual(["11:\n", ",2:s1,5:2:r1,,"]);
		expect([second.head, second.tail].map(textOf)).toEqual(["21:\r", ",2:s2,5:2:r2,,"]);
		for (const { buffer, length } of [first.head, first.tail]) expect(buffer.byteLength).toBe(length);
	});

	test("the largest length that a number holds exactly is written in full", () => {
		const length = Number.MAX_SAFE_INTEGER - 1;
		const { head } = encodePackage({ sender: "", recipients: [] }, { encoding: "lf", length });
		expect(textOf(head)).toBe("9007199254740991:\n");
	});
});

function utf8(text: string): string {
	return Buffer.from(text, "utf8").toString("latin1");
}
