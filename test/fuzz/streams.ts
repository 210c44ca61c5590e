/** Streams of netstrings, packages and responses: valid ones by their grammar, nearly valid ones, and any bytes. */
import fc from "fast-check";
import { netstring } from "../support/bytes.js";
import { anyPackages, anyText, packageText } from "../support/packages.js";
import { mutated } from "./mutations.js";
import type { Cuts, Stream } from "./surface.js";

/** Any way to cut a stream. */
export const anyCuts: fc.Arbitrary<Cuts> = fc.oneof(
	{ weight: 4, arbitrary: fc.array(fc.nat(2000), { maxLength: 12 }) },
	{ weight: 1, arbitrary: fc.constant("each byte" as const) },
);

/** Netstrings, one behind the other. */
export const netstrings: fc.Arbitrary<string> = fc
	.array(anyText(30), { maxLength: 6 })
	.map((texts) => texts.map(netstring).join(""));

/** Packages, one behind the other. */
export const packages: fc.Arbitrary<string> = anyPackages.map((all) => all.map(packageText).join(""));

/** Responses, one behind the other. Some hold what is not ASCII, or not UTF-8. */
export const responses: fc.Arbitrary<string> = fc
	.array(
		fc.tuple(
			fc.constantFrom("K", "Z", "D"),
			fc.oneof(
				anyText(12),
				fc.constantFrom("", "ok", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xef\xbb\xbfx", "\xff"),
			),
		),
		{ maxLength: 8 },
	)
	.map((all) => all.map((parts) => netstring(parts.join(""))).join(""));

/** A stream like these, valid or not; or any bytes. In any cuts. */
export function streamsOf(valid: fc.Arbitrary<string>): fc.Arbitrary<Stream> {
	return fc.record({
		text: fc.oneof(
			{ weight: 7, arbitrary: mutated(valid) },
			{ weight: 1, arbitrary: anyText(80) },
			{ weight: 1, arbitrary: mutated(fc.oneof(netstrings, packages, responses)) },
		),
		cuts: anyCuts,
	});
}
