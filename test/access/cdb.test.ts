/** Reading a cdb: what is in it is found, and damage of any kind is an error or changes nothing. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Cdb } from "../../src/access/cdb.js";
import { UsageError } from "../../src/errors.js";
import { cdbHash, cdbOf, type Pair } from "./cdb-file.js";

const RULES = readFileSync(new URL("../fixtures/rules.cdb", import.meta.url));
const RECORDS_END = RULES.readUInt32LE(0);

describe("a cdb", () => {
	test("that tcprules made has all its records, in order", () => {
		const cdb = new Cdb(RULES);
		expect(cdb.size).toBe(12);
		expect(pairsOf(cdb)).toEqual([
			["127.", "+RELAYCLIENT=\0"],
			["10.0.1.", "+RELAYCLIENT=\0"],
			["10.0.1.22", "+RELAYCLIENT=\0+DATABYTES=8000000\0"],
			...[1, 2, 3, 4, 5, 6, 7].map((last) => [`10.0.2.${last}`, "D\0"]),
			["=.example.com", "+FOO=bar\0"],
			["", "D\0"],
		]);
		for (const [key, data] of pairsOf(cdb)) expect(found(cdb, key)).toBe(data);
		for (const key of ["127", "127.0", "10.0.2.8", "=", "\0"]) expect(found(cdb, key)).toBeNull();
	});

	test("without records has nothing, and is whole", () => {
		const empty = cdbOf([]);
		expect(empty.length).toBe(2048);
		const cdb = new Cdb(empty);
		expect(cdb.size).toBe(0);
		expect(found(cdb, "")).toBeNull();
		expect(pairsOf(cdb)).toEqual([]);
	});

	test("gives the first record of a key, and counts each", () => {
		const cdb = new Cdb(
			cdbOf([
				["k", "first"],
				["other", ""],
				["k", "second"],
			]),
		);
		expect(found(cdb, "k")).toBe("first");
		expect(found(cdb, "other")).toBe("");
		expect(cdb.size).toBe(3);
	});

	test("is looked up by bytes, or by a string of one character a byte and no other", () => {
		const cdb = new Cdb(
			cdbOf([
				["A", "ascii"],
				["é\0ÿ", "bytes"],
			]),
		);
		expect(found(cdb, Buffer.from("A"))).toBe("ascii");
		expect(found(cdb, new Uint8Array([0xe9, 0, 0xff]))).toBe("bytes");
		expect(found(cdb, "é\0ÿ")).toBe("bytes");
		expect(found(cdb, "\u0141"), "whose low byte is A").toBeNull();
	});

	test("gives views of its bytes, which may stand anywhere in their buffer", () => {
		const around = new Uint8Array(RULES.length + 7);
		around.set(RULES, 3);
		const bytes = around.subarray(3, 3 + RULES.length);
		const data = new Cdb(bytes).find("127.");
		expect(data?.buffer).toBe(around.buffer);
		expect(Buffer.from(data as Uint8Array).toString()).toBe("+RELAYCLIENT=\0");
	});

	test("whose tables are full is searched once around", () => {
		const pairs: Pair[] = Array.from({ length: 2000 }, (_, i) => [`key ${i}`, `${i}`]);
		const cdb = new Cdb(cdbOf(pairs, (n) => n));
		for (const [key, data] of pairs) expect(found(cdb, key)).toBe(data);
		for (let i = 2000; i < 4000; i++) expect(found(cdb, `key ${i}`)).toBeNull();
	});

	test("has what was put in, whatever it is, and nothing else", () => {
		const text = fc.string({
			unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
			maxLength: 9,
		});
		fc.assert(
			fc.property(fc.array(fc.tuple(text, text), { maxLength: 60 }), fc.array(text), (pairs, others) => {
				const cdb = new Cdb(cdbOf(pairs));
				expect(pairsOf(cdb)).toEqual(pairs);
				const first = new Map([...pairs].reverse());
				for (const key of [...first.keys(), ...others]) expect(found(cdb, key)).toBe(first.get(key) ?? null);
			}),
			{ numRuns: 100 },
		);
	});

	test("with 200,000 records of one key is read in one go, not key by key", () => {
		const cdb = new Cdb(sameKey(200_000));
		expect(cdb.size).toBe(200_000);
		expect(found(cdb, "k")).toBe("0");
	});
});

describe("a damaged cdb", () => {
	test("cut short anywhere is an error, and so is one with bytes appended", () => {
		for (let length = 0; length < RULES.length; length++) {
			expect(codeOf(RULES.subarray(0, length)), `${length} bytes`).toBe("ERR_QMTP_CDB");
		}
		expect(codeOf(RULES)).toBeNull();
		expect(codeOf(Buffer.concat([RULES, Buffer.alloc(1)]))).toBe("ERR_QMTP_CDB");
		expect(codeOf(Buffer.concat([RULES, RULES]))).toBe("ERR_QMTP_CDB");
	});

	test("with one byte changed is an error, or differs in that byte of data, or not at all", () => {
		const inData = dataOffsets();
		const answers = pairsOf(new Cdb(RULES));
		const copy = Buffer.from(RULES);
		for (let offset = 0; offset < RULES.length; offset++) {
			const byte = RULES[offset] as number;
			for (const changed of changes(byte)) {
				copy[offset] = changed;
				const cdb = read(copy);
				if (cdb === null) continue;
				const answersNow = answers.map(([key]) => [key, found(cdb, key)]);
				if (inData.has(offset)) expect(differences(answersNow, answers), `byte ${offset}`).toBe(1);
				else expect(answersNow, `byte ${offset}`).toEqual(answers);
				expect(cdb.size).toBe(12);
			}
			copy[offset] = byte;
		}
	});

	test("with a byte of a key changed is always an error", () => {
		const inData = dataOffsets();
		const copy = Buffer.from(RULES);
		for (let offset = 2048; offset < RECORDS_END; offset++) {
			if (inData.has(offset)) continue;
			const byte = RULES[offset] as number;
			for (const changed of changes(byte)) {
				copy[offset] = changed;
				expect(codeOf(copy), `byte ${offset}`).toBe("ERR_QMTP_CDB");
			}
			copy[offset] = byte;
		}
	});

	test("of random bytes behind a header is an error or harmless, and never read outside", () => {
		const bytes = fc.uint8Array({ minLength: 2048, maxLength: 2600 });
		fc.assert(
			fc.property(bytes, fc.array(fc.tuple(fc.nat(2510), fc.nat(255)), { minLength: 2 }), (random, edits) => {
				expect(codeOf(random)).toBe("ERR_QMTP_CDB");
				const copy = Buffer.from(RULES);
				for (const [offset, byte] of edits) copy[offset] = byte;
				const cdb = read(copy);
				if (cdb !== null) for (const [key] of pairsOf(cdb)) expect(found(cdb, key)).not.toBeNull();
			}),
			{ numRuns: 300 },
		);
	});

	const two: Pair[] = [
		["a", "1"],
		["b", "2"],
	];
	const good = cdbOf(two);
	const tableOfA = good.readUInt32LE(8 * (cdbHash("a") & 255));
	const tableOfB = good.readUInt32LE(8 * (cdbHash("b") & 255));

	test.each<[string, RegExp, (bytes: Buffer) => Buffer | undefined]>([
		["no header", /header is cut short \(at byte 9\)/, (bytes) => bytes.subarray(0, 9)],
		[
			"a table before the records",
			/table 0 is not inside the file \(at byte 0\)/,
			(b) => void b.writeUInt32LE(2047, 0),
		],
		["a table behind the end", /not inside the file/, (b) => void b.writeUInt32LE(b.length + 1, 8)],
		["a table as long as numbers go", /not inside the file/, (b) => void b.writeUInt32LE(0xffffffff, 4)],
		["a table that is another's too", /overlap/, (b) => void b.writeUInt32LE(1, 4)],
		[
			"a table cut out",
			/behind its last table|gap/,
			(b) => void b.writeUInt32LE(0, 8 * (cdbHash("a") & 255) + 4),
		],
		["bytes at the end", /goes on behind its last table/, (b) => Buffer.concat([b, Buffer.alloc(8)])],
		[
			"a record that is too long",
			/a record reaches into the tables \(at byte 2048\)/,
			(b) => void b.writeUInt32LE(200, 2052),
		],
		[
			"a record of half a header",
			/a record is cut short \(at byte 2061\)/,
			(b) => void b.writeUInt32LE(4, 2052),
		],
		["a slot that leads elsewhere", /a slot leads to no record/, (b) => writeSlot(b, tableOfA, 1, 2049)],
		["a slot that leads far away", /a slot leads to no record/, (b) => writeSlot(b, tableOfA, 1, 0xfffffff0)],
		[
			"a slot of another record",
			/leads to no record, or to another slot's|not the hash/,
			(b) => writeSlot(b, tableOfA, 1, 2058),
		],
		["another hash", /not the hash/, (b) => writeSlot(b, tableOfB, 0, cdbHash("b") ^ 0x100)],
		["a record without a slot", /2 records have 1 slots/, (b) => writeSlot(b, tableOfA, 1, 0)],
		["a slot where no search comes", /where no search comes/, swapSlots],
		["two slots of one record", /another slot's/, twice],
	])("with %s says so, and where", (_, message, damage) => {
		const copy = Buffer.from(good);
		const bytes = damage(copy) ?? copy;
		expect(() => new Cdb(bytes)).toThrow(message);
		expect(() => new Cdb(bytes)).toThrow(/\(at byte \d+\)$/);
		expect(() => new Cdb(bytes)).toThrow(UsageError);
		expect(codeOf(bytes)).toBe("ERR_QMTP_CDB");
	});

	/** Writes the used slot of a table of two: its hash (0) or its position (1). */
	function writeSlot(bytes: Buffer, table: number, part: 0 | 1, value: number): undefined {
		const used = bytes.readUInt32LE(table + 4) !== 0 ? table : table + 8;
		bytes.writeUInt32LE(value >>> 0, used + 4 * part);
	}

	function swapSlots(bytes: Buffer): undefined {
		const slots = Buffer.from(bytes.subarray(tableOfA, tableOfA + 16));
		slots.copy(bytes, tableOfA, 8);
		slots.copy(bytes, tableOfA + 8, 0, 8);
	}

	function twice(bytes: Buffer): undefined {
		const used = bytes.readUInt32LE(tableOfA + 4) !== 0 ? tableOfA : tableOfA + 8;
		bytes.copy(bytes, used === tableOfA ? tableOfA + 8 : tableOfA, used, used + 8);
	}
});

/** Records of one key in one table, each in the slot behind the last, as adding one by one would make it in a square. */
function sameKey(count: number): Buffer {
	const hash = cdbHash("k");
	const records = Buffer.concat(
		Array.from({ length: count }, (_, i) => {
			const head = Buffer.alloc(8);
			head.writeUInt32LE(1, 0);
			head.writeUInt32LE(`${i}`.length, 4);
			return Buffer.concat([head, Buffer.from(`k${i}`)]);
		}),
	);
	const header = Buffer.alloc(2048);
	const table = Buffer.alloc(16 * count);
	for (let number = 0; number < 256; number++) {
		const isBefore = number <= (hash & 255);
		header.writeUInt32LE(2048 + records.length + (isBefore ? 0 : table.length), 8 * number);
	}
	header.writeUInt32LE(2 * count, 8 * (hash & 255) + 4);
	let at = 2048;
	for (let i = 0; i < count; i++) {
		const slot = ((hash >>> 8) + i) % (2 * count);
		table.writeUInt32LE(hash, 8 * slot);
		table.writeUInt32LE(at, 8 * slot + 4);
		at += 9 + `${i}`.length;
	}
	return Buffer.concat([header, records, table]);
}

function pairsOf(cdb: Cdb): [string, string][] {
	return [...cdb.records()].map(({ key, data }) => [latin1(key), latin1(data)]);
}

function found(cdb: Cdb, key: string | Uint8Array): string | null {
	const data = cdb.find(key);
	return data === null ? null : latin1(data);
}

function latin1(bytes: Uint8Array): string {
	return Buffer.from(bytes).toString("latin1");
}

function read(bytes: Uint8Array): Cdb | null {
	try {
		return new Cdb(bytes);
	} catch (error) {
		if (error instanceof UsageError && error.code === "ERR_QMTP_CDB") return null;
		throw error;
	}
}

function codeOf(bytes: Uint8Array): string | null {
	return read(bytes) === null ? "ERR_QMTP_CDB" : null;
}

/** Each bit flipped, all of them, and the extremes. */
function changes(byte: number): number[] {
	const all = [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => byte ^ (1 << bit));
	return [...all, byte ^ 255, 0, 255].filter((changed) => changed !== byte);
}

function dataOffsets(): Set<number> {
	const offsets = new Set<number>();
	for (const { data } of new Cdb(RULES).records()) {
		const start = data.byteOffset - RULES.byteOffset;
		for (let i = 0; i < data.length; i++) offsets.add(start + i);
	}
	return offsets;
}

function differences(a: readonly unknown[], b: readonly unknown[]): number {
	return a.filter((item, i) => JSON.stringify(item) !== JSON.stringify(b[i])).length;
}
