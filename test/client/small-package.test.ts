/** Small packages in the slab, against `encodePackage`, which knows no slab. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { bytesBody } from "../../src/body/body.js";
import { OutgoingMessage, type OutgoingPackage } from "../../src/client/outgoing.js";
import { smallPackageSize, writeSmallPackage } from "../../src/client/small-package.js";
import { concat, textOf } from "../support/bytes.js";

const HIGH = "grüße@example.org"; // bytes of Latin-1, which are more than that many in UTF-8
const address = fc.oneof(
	fc.constantFrom("", "a@example.org", "x".repeat(1000), HIGH, "\u007f", "\u0080"),
	fc.string(),
);
const parts = fc.record({
	sender: address,
	recipients: fc.array(address, { minLength: 1, maxLength: 12 }),
	addressEncoding: fc.constantFrom("utf-8" as const, "latin1" as const),
	encoding: fc.constantFrom("lf" as const, "crlf" as const),
	body: fc.oneof(
		fc.uint8Array(),
		fc.nat(1500).map((length) => new Uint8Array(length).fill(0x78)),
	),
	most: fc.constantFrom(1, 3, 100),
	offset: fc.nat(20),
});

/** The bytes from `offset` on, or null if the package has to be encoded otherwise. Around them nothing may change. */
function written(package_: OutgoingPackage, body: Uint8Array, offset: number): string | null {
	const size = smallPackageSize(package_, body);
	const slab = new Uint8Array(offset + size + 10).fill(0xee);
	const end = writeSmallPackage(slab, offset, package_, body);
	expect(slab.subarray(0, offset).every((byte) => byte === 0xee)).toBe(true);
	expect(slab.subarray(offset + size).every((byte) => byte === 0xee)).toBe(true);
	if (end === -1) return null;
	expect(end).toBe(offset + size);
	return textOf(slab.subarray(offset, end));
}

test("any package is what encodePackage makes of it, and those with characters of more bytes are left to that", () => {
	const property = fc.property(
		parts,
		({ sender, recipients, addressEncoding, encoding, body, most, offset }) => {
			const message = new OutgoingMessage(sender, recipients, addressEncoding);
			message.prepare({ encoding, body: bytesBody(body) });
			for (const package_ of message.whole.split(most)) {
				const { head, tail } = package_.encode();
				const highest = addressEncoding === "latin1" ? /[^\0-\u00ff]/ : /[^\0-\u007f]/;
				const isPlain = ![sender, ...package_.addresses].some((text) => highest.test(text));
				expect(written(package_, body, offset)).toBe(isPlain ? textOf(concat([head, body, tail])) : null);
			}
		},
	);
	fc.assert(property, { numRuns: 300 });
});
