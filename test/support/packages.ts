/** Packages as fast-check makes them, written as Latin-1 text without the encoder under test. */
import fc from "fast-check";
import { bytesOf, netstring } from "./bytes.js";
import { cut } from "./every-split.js";
import type { OraclePackage } from "./oracle.js";

/** The text of a package. */
export function packageText({ encoding, body, sender, recipients }: OraclePackage): string {
	const list = recipients.map((recipient) => netstring(recipient ?? "")).join("");
	return netstring((encoding === "lf" ? "\n" : "\r") + body) + netstring(sender ?? "") + netstring(list);
}

/** Texts of bytes, with more than their share of those that mean something to a parser. */
export function anyText(maxLength: number): fc.Arbitrary<string> {
	return fc.string({ unit: anyCharacter(), maxLength });
}

/** Any package. Some addresses are around the default limit of 999 bytes. */
export const anyPackage: fc.Arbitrary<OraclePackage> = fc.record({
	encoding: fc.constantFrom("lf", "crlf"),
	body: anyText(200),
	sender: fc.oneof({ weight: 9, arbitrary: anyText(40) }, { weight: 1, arbitrary: longAddress() }),
	recipients: fc.array(
		fc.oneof({ weight: 19, arbitrary: anyText(40) }, { weight: 1, arbitrary: longAddress() }),
		{
			maxLength: 5,
		},
	),
});

/** A stream of packages. */
export const anyPackages: fc.Arbitrary<OraclePackage[]> = fc.array(anyPackage, { maxLength: 4 });

/** Bytes that are nearly packages: a stream of them, with some bytes changed, put in, or taken out. */
export const almostPackages: fc.Arbitrary<Uint8Array> = fc
	.tuple(
		anyPackages,
		fc.array(
			fc.record({
				kind: fc.constantFrom("change", "insert", "remove", "end"),
				at: fc.double({ min: 0, max: 1, noNaN: true }),
				character: anyCharacter(),
			}),
			{ maxLength: 3 },
		),
	)
	.map(([packages, mutations]) => {
		let text = packages.map(packageText).join("");
		for (const { kind, at, character } of mutations) {
			const index = Math.floor(at * text.length);
			const after = kind === "insert" ? index : kind === "end" ? text.length : index + 1;
			text =
				text.slice(0, index) + (kind === "change" || kind === "insert" ? character : "") + text.slice(after);
		}
		return bytesOf(text);
	});

/** Any bytes: random ones, ones made of what parsers look at, and ones that are nearly packages. */
export const anyBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
	{ weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }) },
	{ weight: 2, arbitrary: anyText(100).map(bytesOf) },
	{ weight: 5, arbitrary: almostPackages },
);

/** Some of the above, cut into chunks at any points. */
export function inAnyCuts(
	bytes: fc.Arbitrary<Uint8Array>,
): fc.Arbitrary<{ whole: Uint8Array; chunks: () => Uint8Array[] }> {
	const points = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
	return fc.tuple(bytes, points).map(([whole, parts]) => {
		return {
			whole,
			chunks: () =>
				cut(
					whole,
					parts.map((part) => Math.floor(part * whole.length)),
				),
		};
	});
}

function anyCharacter(): fc.Arbitrary<string> {
	return fc.oneof(
		fc.constantFrom("0", "1", "2", "9", ":", ",", "\n", "\r", "\0"),
		fc.nat(0xff).map((byte) => String.fromCharCode(byte)),
	);
}

function longAddress(): fc.Arbitrary<string> {
	return fc.integer({ min: 990, max: 1010 }).map((length) => "a".repeat(length));
}
