/**
 * A reader of djb's constant databases, over bytes that are whole in memory.
 *
 * A cdb is a header of 256 pairs (position, slots), then records (key length, data length, key, data), then 256 hash
 * tables of slots (hash, position of the record). All numbers have 32 bits and are little-endian. The constructor reads
 * all of it once, so a damaged file is an error and never a wrong answer. It does not write.
 *
 * Source: cdb(5), https://cr.yp.to/cdb/cdb.txt
 */
import { UsageError } from "../errors.js";

/** One record. Both are views of the bytes that the {@link Cdb} was made of. */
export interface CdbRecord {
	/** What it is found by. */
	readonly key: Uint8Array;
	/** What is stored there. */
	readonly data: Uint8Array;
}

/** A constant database. Lookups read the bytes that it was made of: they must not change while it is in use. */
export class Cdb {
	/** How many records it has, each of several with the same key counted. */
	readonly size: number;
	readonly #bytes: Buffer;
	/** Where the records end, and the tables begin. */
	readonly #end: number;

	/** @throws UsageError `ERR_QMTP_CDB` unless every byte is in its place, up to the last. */
	constructor(bytes: Uint8Array) {
		this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		if (bytes.byteLength < HEADER) throw damaged("the header is cut short", bytes.byteLength);
		this.#end = checkTables(this.#bytes);
		const starts = new Starts(this.#end);
		this.size = this.#checkRecords(starts);
		this.#checkSlots(starts);
	}

	/**
	 * The data of the first record of this key, as a view, or null if there is none.
	 *
	 * @param key - A string has one character a byte (Latin-1). One with other characters is in no cdb.
	 */
	find(key: Uint8Array | string): Uint8Array | null {
		// Buffer.from would make "A" of U+0141.
		if (typeof key === "string" && NOT_LATIN1.test(key)) return null;
		const wanted = typeof key === "string" ? Buffer.from(key, "latin1") : key;
		const bytes = this.#bytes;
		const hash = hashOf(wanted, 0, wanted.length);
		const { position, slots } = tableOf(bytes, hash & 255);
		let slot = slots === 0 ? 0 : (hash >>> 8) % slots;
		for (let left = slots; left > 0; left--) {
			const at = position + 8 * slot;
			const record = bytes.readUInt32LE(at + 4);
			if (record === 0) return null;
			if (bytes.readUInt32LE(at) === hash && this.#keyAt(record).equals(wanted)) return this.#dataAt(record);
			if (++slot === slots) slot = 0;
		}
		return null;
	}

	/** All records, in the order in which they were added. */
	*records(): Generator<CdbRecord, void, undefined> {
		for (let at = HEADER; at < this.#end; at = this.#after(at)) {
			yield { key: this.#keyAt(at), data: this.#dataAt(at) };
		}
	}

	#keyAt(at: number): Buffer {
		return this.#bytes.subarray(at + 8, at + 8 + this.#bytes.readUInt32LE(at));
	}

	#dataAt(at: number): Buffer {
		return this.#bytes.subarray(at + 8 + this.#bytes.readUInt32LE(at), this.#after(at));
	}

	#after(at: number): number {
		return at + 8 + this.#bytes.readUInt32LE(at) + this.#bytes.readUInt32LE(at + 4);
	}

	/** Notes where each record starts, and counts them. */
	#checkRecords(starts: Starts): number {
		let count = 0;
		let at = HEADER;
		for (; at < this.#end; count++) {
			const start = at;
			if (start + 8 > this.#end) throw damaged("a record is cut short", start);
			at = this.#after(start);
			if (at > this.#end) throw damaged("a record reaches into the tables", start);
			starts.add(start);
		}
		return count;
	}

	/**
	 * Every slot in use must lead to a record of its own, with that hash; and it must be found from the slot where the
	 * search for its hash starts, so there may be no empty slot between the two. This takes each slot once, where
	 * looking up each key would take a square of the number of records with the same key.
	 */
	#checkSlots(starts: Starts): void {
		const bytes = this.#bytes;
		let used = 0;
		for (let number = 0; number < TABLES; number++) {
			const { position, slots } = tableOf(bytes, number);
			let run = usedAtTheEnd(bytes, position, slots);
			for (let slot = 0; slot < slots; slot++) {
				const at = position + 8 * slot;
				const hash = bytes.readUInt32LE(at);
				const record = bytes.readUInt32LE(at + 4);
				if (record === 0) {
					run = 0;
					continue;
				}
				used++;
				if (!starts.take(record)) throw damaged("a slot leads to no record, or to another slot's", at);
				const key = record + 8;
				if (hashOf(bytes, key, key + bytes.readUInt32LE(record)) !== hash || (hash & 255) !== number) {
					throw damaged("a slot has not the hash of its record's key", at);
				}
				const way = (slot - ((hash >>> 8) % slots) + slots) % slots;
				if (way > run) throw damaged("a slot is where no search comes", at);
				run++;
			}
		}
		if (used !== this.size) throw damaged(`${this.size} records have ${used} slots`, this.#end);
	}
}

/** Where records start: a bit for each byte, so that it takes an eighth of the file whatever the records are. */
class Starts {
	readonly #bits: Uint8Array;
	readonly #end: number;

	constructor(end: number) {
		this.#bits = new Uint8Array((end >>> 3) + 1);
		this.#end = end;
	}

	add(at: number): void {
		this.#bits[at >>> 3] = (this.#bits[at >>> 3] as number) | (1 << (at & 7));
	}

	/** Says whether a record starts there that was not taken yet, and takes it. */
	take(at: number): boolean {
		if (at >= this.#end) return false;
		const byte = this.#bits[at >>> 3] as number;
		const bit = 1 << (at & 7);
		this.#bits[at >>> 3] = byte & ~bit;
		return (byte & bit) !== 0;
	}
}

/** Holds that the tables fill the end of the file without gap or overlap, and says where that end begins. */
function checkTables(bytes: Buffer): number {
	const tables: { header: number; position: number; size: number }[] = [];
	for (let number = 0; number < TABLES; number++) {
		const { position, slots } = tableOf(bytes, number);
		const header = 8 * number;
		if (position < HEADER || position + 8 * slots > bytes.length) {
			throw damaged(`table ${number} is not inside the file`, header);
		}
		tables.push({ header, position, size: 8 * slots });
	}
	tables.sort((a, b) => a.position - b.position || a.size - b.size);
	const first = tables[0]?.position ?? HEADER;
	let end = first;
	for (const { header, position, size } of tables) {
		if (position !== end) throw damaged("tables overlap, or have a gap between them", header);
		end += size;
	}
	if (end !== bytes.length) throw damaged("the file goes on behind its last table", end);
	return first;
}

function tableOf(bytes: Buffer, number: number): { position: number; slots: number } {
	return { position: bytes.readUInt32LE(8 * number), slots: bytes.readUInt32LE(8 * number + 4) };
}

/** How many slots in a row are used up to the last: a search goes from there to the first. */
function usedAtTheEnd(bytes: Buffer, position: number, slots: number): number {
	let run = 0;
	while (run < slots && bytes.readUInt32LE(position + 8 * (slots - 1 - run) + 4) !== 0) run++;
	return run;
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
	let hash = 5381;
	for (let i = start; i < end; i++) hash = (((hash << 5) + hash) ^ (bytes[i] as number)) >>> 0;
	return hash;
}

function damaged(what: string, offset: number): UsageError {
	return new UsageError("ERR_QMTP_CDB", `damaged cdb: ${what} (at byte ${offset})`);
}

const HEADER = 2048;
const TABLES = 256;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the first character of all
const NOT_LATIN1 = /[^\u0000-\u00ff]/;
