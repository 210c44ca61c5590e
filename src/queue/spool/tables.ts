/**
 * The tables of a spool, with the keys and records that stand in LMDB. Keys are bytes of our own making: an id is its
 * digits, and a place in the schedule is the time, as bytes that sort like it, and the id.
 */
import type { KeyEncoder, RootTable, Table, Written } from "./lmdb.js";
import { decodeMessage, decodeState, encodeState, type State } from "./state.js";

/** The tables. Writing is for transactions. */
export class Tables {
	/** By id: the message as it came, in one record. With another for its state it took a fifth more to store. */
	readonly messages: MessageTable;
	/** By id: the state since it was taken for the first time. */
	readonly states: StateTable;
	/** By `due` and id: the order in which messages are taken. */
	readonly schedule: ScheduleTable;
	/** `files`: the bytes of all bodies in files. */
	readonly totals: Table<number, string>;

	/** @throws Error if the database has tables of a form that there is no more. */
	constructor(root: RootTable) {
		for (const name of root.getKeys({})) if (name === "packages") throw new Error(OTHER_FORM);
		const byId = { encoding: "binary", keyEncoder: ids } as const;
		const byPlace = { encoding: "binary", keyEncoder: places } as const;
		this.messages = new MessageTable(root.openDB<Uint8Array, string>("messages", byId));
		this.states = new StateTable(root.openDB<Uint8Array, string>("states", byId));
		this.schedule = new ScheduleTable(root.openDB<Uint8Array, Place>("schedule", byPlace));
		this.totals = root.openDB<number, string>("totals", { encoding: "msgpack" });
	}

	/** The bytes that the tables take in the database. */
	get usedBytes(): number {
		return [this.messages, this.states, this.schedule].reduce((sum, { table }) => {
			const { pageSize, treeBranchPageCount, treeLeafPageCount, overflowPages } = table.getStats();
			return sum + pageSize * (treeBranchPageCount + treeLeafPageCount + overflowPages);
		}, 0);
	}
}

/** Messages as they came. */
export class MessageTable {
	readonly table: Table<Uint8Array, string>;

	constructor(table: Table<Uint8Array, string>) {
		this.table = table;
	}

	/** How many there are. */
	get count(): number {
		return this.table.getStats().entryCount;
	}

	/** True if there is one, whatever it holds. */
	has(id: string): boolean {
		return this.table.doesExist(id);
	}

	/** Makes the next look see what is there by now. Else it may see what was there in this turn of the event loop. */
	refresh(): void {
		this.table.resetReadTxn();
	}

	/** @returns A copy. @throws DamagedRecord if it cannot be read. */
	get(id: string): { readonly state: State; readonly package: Uint8Array } | undefined {
		const record = this.table.get(id);
		return record === undefined ? undefined : decodeMessage(record);
	}

	/** @param record - See `writeFront`. @returns False if there is one: it stays. */
	insert(id: string, record: Uint8Array): Written {
		return this.table.put(id, record, NO_OVERWRITE);
	}

	remove(id: string): void {
		this.table.remove(id);
	}
}

/** States that are not what they were when the message came. */
export class StateTable {
	readonly table: Table<Uint8Array, string>;

	constructor(table: Table<Uint8Array, string>) {
		this.table = table;
	}

	/** @throws DamagedRecord if it cannot be read. */
	get(id: string): State | undefined {
		const record = this.table.get(id);
		return record === undefined ? undefined : decodeState(record);
	}

	put(id: string, state: State): void {
		this.table.put(id, encodeState(state));
	}

	remove(id: string): void {
		this.table.remove(id);
	}
}

/** When whose turn is: a time, in ms since 1970, and an id. */
export type Place = readonly [due: number, id: string];

/** When whose turn is. */
export class ScheduleTable {
	readonly table: Table<Uint8Array, Place>;

	constructor(table: Table<Uint8Array, Place>) {
		this.table = table;
	}

	put(due: number, id: string): void {
		this.table.put([due, id], NOTHING);
	}

	remove(due: number, id: string): void {
		this.table.remove([due, id]);
	}

	/** When the first is due. Infinity if there is none. */
	first(): number {
		for (const [due] of this.table.getKeys({ start: FIRST, limit: 1 })) return due;
		return Number.POSITIVE_INFINITY;
	}

	/** The first places of those that are due at `now`. */
	due(now: number, most: number): Place[] {
		return Array.from(this.table.getKeys({ start: FIRST, end: [now, LAST_ID], limit: most }));
	}

	/** How many are due at `now`. */
	countDue(now: number): number {
		return this.table.getKeysCount({ start: FIRST, end: [now, LAST_ID] });
	}

	/** Some places behind `after`. */
	behind(after: Place | null, most: number): Place[] {
		const start: Place = after === null ? FIRST : [after[0], `${after[1]}!`];
		return Array.from(this.table.getKeys({ start, limit: most }));
	}
}

/** True if a message that is due then stands in the schedule at that time. */
export function isPlaceOf(place: number, due: number): boolean {
	return place === Math.max(due, 0); // before 1970 is as good as 1970: the bytes of negative numbers sort the other way
}

const ids: KeyEncoder<string> = {
	writeKey: writeText,
	readKey: readText,
};

const places: KeyEncoder<Place> = {
	writeKey([due, id], target, start) {
		time[0] = Math.max(due, 0);
		for (let index = 0; index < TIME_BYTES; index++)
			target[start + index] = timeBytes[HIGHEST - index] as number;
		return writeText(id, target, start + TIME_BYTES);
	},
	readKey(bytes, start, end) {
		for (let index = 0; index < TIME_BYTES; index++)
			timeBytes[HIGHEST - index] = bytes[start + index] as number;
		return [time[0] as number, readText(bytes, start + TIME_BYTES, end)];
	},
};

function writeText(text: string, target: Uint8Array, start: number): number {
	for (let index = 0; index < text.length; index++) target[start + index] = text.charCodeAt(index);
	return start + text.length;
}

function readText(bytes: Uint8Array, start: number, end: number): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1", start, end);
}

const time = new Float64Array(1);
const timeBytes = new Uint8Array(time.buffer); // lowest byte first
const TIME_BYTES = 8;
const HIGHEST = TIME_BYTES - 1;
const FIRST: Place = [0, ""];
const OTHER_FORM = "another version of qmtp has made the spool, and must empty it";
const LAST_ID = ":"; // behind all digits
const NOTHING = new Uint8Array(0);
const NO_OVERWRITE = { noOverwrite: true } as const;
