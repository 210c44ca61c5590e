/**
 * The tables of a spool, with the keys and records that stand in LMDB. Keys are bytes of our own making: an id is its
 * digits, and a place in the schedule is the time, as bytes that sort like it, and the id.
 */
import type { RootTable, Table } from "./lmdb.js";
import { decodeState, encodeState, type State } from "./state.js";

/** The tables. Writing is for transactions. */
export class Tables {
	/** By id: the package, whole, or without its body if that is in a file. */
	readonly packages: PackageTable;
	/** By id. */
	readonly states: StateTable;
	/** By `due` and id: the order in which messages are taken. */
	readonly schedule: ScheduleTable;
	/** `files`: the bytes of all bodies in files. */
	readonly totals: Table<number, string>;

	constructor(root: RootTable) {
		const bytewise = { encoding: "binary", keyEncoding: "binary" } as const;
		this.packages = new PackageTable(root.openDB<Uint8Array, Uint8Array>("packages", bytewise));
		this.states = new StateTable(root.openDB<Uint8Array, Uint8Array>("states", bytewise));
		this.schedule = new ScheduleTable(root.openDB<Uint8Array, Uint8Array>("schedule", bytewise));
		this.totals = root.openDB<number, string>("totals", { encoding: "msgpack" });
	}

	/** The bytes that the tables take in the database. */
	get usedBytes(): number {
		return [this.packages, this.states, this.schedule].reduce((sum, { table }) => {
			const { pageSize, treeBranchPageCount, treeLeafPageCount, overflowPages } = table.getStats();
			return sum + pageSize * (treeBranchPageCount + treeLeafPageCount + overflowPages);
		}, 0);
	}
}

/** The packages. */
export class PackageTable {
	readonly table: Table<Uint8Array, Uint8Array>;

	constructor(table: Table<Uint8Array, Uint8Array>) {
		this.table = table;
	}

	/** @returns A copy. */
	get(id: string): Uint8Array | undefined {
		return this.table.get(idKey(id));
	}

	put(id: string, bytes: Uint8Array): void {
		this.table.put(idKey(id), bytes);
	}

	remove(id: string): void {
		this.table.remove(idKey(id));
	}
}

/** The states. */
export class StateTable {
	readonly table: Table<Uint8Array, Uint8Array>;

	constructor(table: Table<Uint8Array, Uint8Array>) {
		this.table = table;
	}

	/** How many there are. */
	get count(): number {
		return this.table.getStats().entryCount;
	}

	/** True if there is one, whatever it holds. */
	has(id: string): boolean {
		return this.table.get(idKey(id)) !== undefined;
	}

	/** @throws DamagedRecord if it cannot be read. */
	get(id: string): State | undefined {
		const record = this.table.get(idKey(id));
		return record === undefined ? undefined : decodeState(record);
	}

	/** As `get`, and sees what is there by now. Else it may see what was there in this turn of the event loop. */
	getNow(id: string): State | undefined {
		this.table.resetReadTxn();
		return this.get(id);
	}

	put(id: string, state: State): void {
		this.table.put(idKey(id), encodeState(state));
	}

	/** @returns False if there is one: it stays. */
	insert(id: string, state: State): boolean {
		return this.table.put(idKey(id), encodeState(state), { noOverwrite: true }).result;
	}

	remove(id: string): void {
		this.table.remove(idKey(id));
	}
}

/** When whose turn is. */
export class ScheduleTable {
	readonly table: Table<Uint8Array, Uint8Array>;

	constructor(table: Table<Uint8Array, Uint8Array>) {
		this.table = table;
	}

	put(due: number, id: string): void {
		this.table.put(placeKey(due, id), NOTHING);
	}

	remove(due: number, id: string): void {
		this.table.remove(placeKey(due, id));
	}

	/** When the first is due. Infinity if there is none. */
	first(): number {
		for (const key of this.table.getKeys({ limit: 1 })) return place(key)[0];
		return Number.POSITIVE_INFINITY;
	}

	/** The first places of those that are due at `now`: times and ids. */
	due(now: number, most: number): [number, string][] {
		return Array.from(this.table.getKeys({ end: placeKey(now, LAST_ID), limit: most }), place);
	}

	/** How many are due at `now`. */
	countDue(now: number): number {
		return this.table.getKeysCount({ end: placeKey(now, LAST_ID) });
	}

	/** Some places behind `after`: times and ids. */
	behind(after: readonly [number, string] | null, most: number): [number, string][] {
		const start = after === null ? {} : { start: placeKey(after[0], `${after[1]}!`) };
		return Array.from(this.table.getKeys({ ...start, limit: most }), place);
	}
}

function idKey(id: string): Uint8Array {
	return Buffer.from(id, "latin1");
}

/** Times before 1970 are as good as 1970: the bytes of negative numbers sort the other way. */
function placeKey(due: number, id: string): Uint8Array {
	const key = Buffer.allocUnsafe(TIME_BYTES + id.length);
	key.writeDoubleBE(Math.max(due, 0), 0);
	key.write(id, TIME_BYTES, "latin1");
	return key;
}

function place(key: Uint8Array): [number, string] {
	const bytes = Buffer.from(key.buffer, key.byteOffset, key.length);
	return [bytes.readDoubleBE(0), bytes.toString("latin1", TIME_BYTES)];
}

const TIME_BYTES = 8;
const NOTHING = new Uint8Array(0);
const LAST_ID = ":"; // behind all digits
