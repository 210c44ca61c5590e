/** Makes of what is valid what is nearly valid: by the slips of senders, and by the tricks of attackers. */
import fc from "fast-check";

/** A change at a place, which is taken modulo the length of the text. */
export interface Mutation {
	readonly kind: (typeof KINDS)[number];
	readonly at: number;
	/** The length of what is deleted, doubled or swapped. */
	readonly length: number;
	/** What is put in or changes a byte, and which of the numbers replaces a length. */
	readonly byte: number;
}

/** Texts, as they are or with up to four changes. What is spliced in comes out of a second text. */
export function mutated(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
	return fc
		.tuple(valid, valid, fc.array(mutation, { maxLength: 4 }))
		.map(([text, other, mutations]) => mutations.reduce((now, change) => mutate(now, other, change), text));
}

/** One change. */
export const mutation: fc.Arbitrary<Mutation> = fc.record({
	kind: fc.nat(100).map((number) => KINDS[number % KINDS.length] as Mutation["kind"]),
	at: fc.nat(9999),
	length: fc.integer({ min: 1, max: 30 }),
	byte: fc.oneof(
		fc.constantFrom(...[...'0159:,\n\r\0 -#.@=[]"'].map((character) => character.charCodeAt(0))),
		fc.nat(255),
	),
});

/** The text with one change. */
export function mutate(text: string, other: string, { kind, at, length, byte }: Mutation): string {
	const start = at % (text.length + 1);
	const [head, piece] = [text.slice(0, start), text.slice(start, start + length)];
	const rest = text.slice(start + length);
	const character = String.fromCharCode(byte);
	switch (kind) {
		case "flip":
			return head + flipped(piece.slice(0, 1), byte) + text.slice(start + 1);
		case "insert":
			return head + character + text.slice(start);
		case "delete":
			return head + rest;
		case "double":
			return head + piece + piece + rest;
		case "swap":
			return head + rest.slice(0, length) + piece + rest.slice(length);
		case "truncate":
			return head;
		case "splice":
			return head + other.slice((at * 7) % (other.length + 1));
		case "longer":
			return withLength(text, at, (digits) => `${BigInt(digits) + 1n}`);
		case "shorter":
			return withLength(text, at, (digits) => `${BigInt(digits) - 1n}`);
		case "other length":
			return withLength(text, at, () => LENGTHS[byte % LENGTHS.length] as string);
	}
}

function flipped(character: string, bit: number): string {
	return character === "" ? "" : String.fromCharCode(character.charCodeAt(0) ^ (1 << (bit & 7)));
}

/** Changes one of the lengths in the text: digits in front of a colon. */
function withLength(text: string, which: number, change: (digits: string) => string): string {
	const lengths = [...text.matchAll(/\d+(?=:)/g)];
	const found = lengths[which % Math.max(1, lengths.length)];
	if (found === undefined) return text;
	return text.slice(0, found.index) + change(found[0]) + text.slice(found.index + found[0].length);
}

const KINDS = [
	"flip",
	"insert",
	"delete",
	"double",
	"swap",
	"truncate",
	"splice",
	"longer",
	"shorter",
	"other length",
] as const;

const LENGTHS = [
	"0",
	"00",
	"01",
	"",
	"1",
	"999",
	"1000",
	"65536",
	"65537",
	"2000000009",
	"2000000010",
	"4294967296",
	"9007199254740991",
	"9007199254740992",
	"99999999999999999999999",
];
