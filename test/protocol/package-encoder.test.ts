import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodePackage } from "../../src/protocol/package-encoder.js";
import { bytesOf, concat, textOf } from "../support/bytes.js";
import { decodePackages } from "../support/decoding.js";
import { parsePackages } from "../support/oracle.js";
import { anyText, packageText } from "../support/packages.js";

describe("encodePackage", () => {
	test("makes what stands before and behind a body", () => {
		const envelope = { sender: "a@b", recipients: ["c@d", "long@example.org"] };
		const { head, tail } = encodePackage(envelope, { encoding: "lf", length: 11 });
		expect(textOf(head)).toBe("12:\n");
		expect(textOf(tail)).toBe(",3:a@b,26:3:c@d,16:long@example.org,,");
	});

	test.each([
		[{ sender: "", recipients: [] }, "lf", 0, "1:\n", ",0:,0:,"],
		[{ sender: "", recipients: [""] }, "crlf", 0, "1:\r", ",0:,3:0:,,"],
		[{ sender: "s", recipients: ["r", "r"] }, "crlf", 9, "10:\r", ",1:s,8:1:r,1:r,,"],
		[{ sender: "jörg@b", recipients: ["ä"] }, "lf", 99, "100:\n", ",7:j\xc3\xb6rg@b,5:2:\xc3\xa4,,"],
		[{ sender: "", recipients: [] }, "lf", Number.MAX_SAFE_INTEGER - 1, "9007199254740991:\n", ",0:,0:,"],
	] as const)("%j, %s, %d", (envelope, encoding, length, head, tail) => {
		const encoded = encodePackage(envelope, { encoding, length });
		expect(textOf(encoded.head)).toBe(head);
		expect(textOf(encoded.tail)).toBe(tail);
	});

	test("encodes addresses as Latin-1 if told to", () => {
		const envelope = { sender: "j\xf6rg", recipients: ["\xff"] };
		const { tail } = encodePackage(envelope, { encoding: "lf", length: 0 }, "latin1");
		expect(textOf(tail)).toBe(",4:j\xf6rg,4:1:\xff,,");
	});

	test("refuses an address that the encoding cannot express", () => {
		const refused = expect.objectContaining({ code: "ERR_QMTP_ADDRESS" });
		const message = { encoding: "lf", length: 0 } as const;
		expect(() => encodePackage({ sender: "\ud800", recipients: [] }, message)).toThrow(refused);
		expect(() => encodePackage({ sender: "", recipients: ["a", "€"] }, message, "latin1")).toThrow(refused);
	});

	test.each([-1, -2, 0.5, Number.NaN, Infinity, Number.MAX_SAFE_INTEGER])(
		"refuses a length of %d",
		(length) => {
			expect(() => encodePackage({ sender: "", recipients: [] }, { encoding: "lf", length })).toThrow(
				expect.objectContaining({ code: "ERR_QMTP_OPTION", name: "UsageError" }),
			);
		},
	);

	test("what it encodes, the decoder and the oracle read as it was", () => {
		const text = anyText(60);
		fc.assert(
			fc.property(
				fc.constantFrom("lf" as const, "crlf" as const),
				text,
				text,
				fc.array(text),
				(encoding, body, sender, recipients) => {
					const { length } = body;
					const { head, tail } = encodePackage({ sender, recipients }, { encoding, length }, "latin1");
					const encoded = concat([head, bytesOf(body), tail]);
					const sent = { encoding, body, sender, recipients };
					expect(textOf(encoded)).toBe(packageText(sent));
					expect(parsePackages(textOf(encoded))).toEqual({ packages: [sent], end: "clean" });
					const { items, error } = decodePackages([encoded]);
					expect(error).toBeNull();
					expect(items.flatMap((item) => ("address" in item ? [item.address] : []))).toEqual([
						sender,
						...recipients,
					]);
				},
			),
		);
	});
});
