/** Constant databases with some of their numbers and bytes changed, and rules in them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Cdb } from "../../../src/access/cdb.js";
import { tcpRulesOfCdb } from "../../../src/access/tcprules-cdb.js";
import { cdbOf, type Pair } from "../../access/cdb-file.js";
import { anyText } from "../../support/packages.js";
import { resultOrCode, same, surface } from "../surface.js";

interface Input {
	readonly pairs: readonly Pair[];
	/** How many slots a table has for each record. */
	readonly slots: number;
	readonly changes: readonly Change[];
	/** What is looked up besides the keys that are there. */
	readonly key: string;
}

interface Change {
	/** A byte is set, a number of 32 bits added to, the end cut off or lengthened, or a slot exchanged for another. */
	readonly kind: "byte" | "number" | "end" | "slot";
	/** From the beginning if positive, from the end if not. Modulo the size of the file. */
	readonly at: number;
	readonly by: number;
}

const key = fc.oneof(fc.constantFrom("", "a", "b", "10.0.0.1", "=", ".example.com"), anyText(6));
const data = fc.oneof(fc.constantFrom("", "D\0", "+A=1\0", "D\0+B=\0", "D", "+A\0"), anyText(6));

const inputs: fc.Arbitrary<Input> = fc.record({
	pairs: fc.array(fc.tuple(key, data), { maxLength: 8 }),
	slots: fc.constantFrom(1, 2, 3),
	changes: fc.array(
		fc.record({
			kind: fc.constantFrom("byte", "number", "end", "slot"),
			at: fc.oneof(fc.integer({ min: -160, max: 0 }), fc.nat(2047), fc.nat(9999)),
			by: fc.constantFrom(1, -1, 8, -8, 16, 255, 256, 2 ** 31, 2 ** 32 - 1),
		}),
		{ maxLength: 3 },
	),
	key,
});

/** It is refused, or answers each question with what a search from record to record finds. */
export const cdb = surface("cdb", 300, inputs, ({ pairs, slots, changes, key }) => {
	const bytes = changes.reduce(
		changed,
		cdbOf(pairs, (records) => slots * records),
	);
	const cdb = resultOrCode(() => new Cdb(bytes), ["ERR_QMTP_CDB"]);
	const rules = resultOrCode(() => tcpRulesOfCdb(bytes), ["ERR_QMTP_CDB", "ERR_QMTP_RULES"]);
	if (typeof cdb === "string") {
		assert(changes.length > 0, "a good file is refused");
		return same(rules, cdb);
	}
	const there = [...cdb.records()].map(({ key, data }): Pair => [latin1(key), latin1(data)]);
	same(cdb.size, there.length);
	if (changes.length === 0) same(there, pairs);
	for (const wanted of new Set([key, ...pairs.map(([key]) => key), ...there.map(([key]) => key)])) {
		const found = cdb.find(wanted);
		const all = there.filter(([key]) => key === wanted).map(([, data]) => data);
		if (found === null) same(all, []);
		else if (changes.length === 0) same(latin1(found), all[0]);
		else assert(all.includes(latin1(found)), "the data of another key");
	}
	const wellFormed = there.every(([, data]) => data === "" || /^(?:(?:D|\+[^\0=]*=[^\0]*)\0)+$/.test(data));
	same(typeof rules === "string" ? rules : "rules", wellFormed ? "rules" : "ERR_QMTP_RULES");
	if (typeof rules === "string") return;
	for (const remoteAddress of ["10.0.0.1", "a", "::1", ""]) {
		const rule = rules.find({ remoteAddress, remoteHost: "x.example.com", remoteInfo: "b" });
		if (rule !== null) assert(there.some(([key]) => key === rule.key));
	}
});

function changed(bytes: Buffer, { kind, at, by }: Change): Buffer {
	const copy = Buffer.from(bytes);
	if (copy.length < 4) return copy;
	const place = at > 0 ? at % copy.length : Math.max(0, copy.length - 1 + at);
	if (kind === "end") return by < 0 ? copy.subarray(0, place) : Buffer.concat([copy, Buffer.alloc(by % 999)]);
	if (kind === "byte") {
		copy.writeUInt8(by & 255, place);
		return copy;
	}
	if (kind === "slot") {
		const slots = Math.min(32, (copy.length - 2048) >> 3);
		if (slots < 1) return copy;
		const one = copy.length - 8 * (1 + (Math.abs(at) % slots));
		const other = copy.length - 8 * (1 + (Math.abs(at + by) % slots));
		bytes.copy(copy, one, other, other + 8);
		bytes.copy(copy, other, one, one + 8);
		return copy;
	}
	const aligned = Math.min(place, copy.length - 4);
	copy.writeUInt32LE((copy.readUInt32LE(aligned) + by) >>> 0, aligned);
	return copy;
}

function latin1(bytes: Uint8Array): string {
	return Buffer.from(bytes).toString("latin1");
}
