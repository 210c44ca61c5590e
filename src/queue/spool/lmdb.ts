/**
 * The package lmdb, which not everybody has: loaded when a spool is opened, and what is used of it.
 *
 * It is loaded by `require`, and described here, since its own declarations end in `export =`: a compiler that looks
 * into libraries does not let that pass in an ES module. They know neither `permissionsMode` nor what `getStats` returns.
 */
import { createRequire } from "node:module";
import { UsageError } from "../../errors.js";
import { codeOf } from "./fault.js";

/** The package. */
export interface Lmdb {
	open(options: {
		readonly path: string;
		readonly overlappingSync: boolean;
		readonly encoding: "binary";
		readonly mapSize: number;
		readonly maxDbs: number;
		readonly permissionsMode: number;
	}): RootTable;
}

/** A table. Writing is for transactions and batches. */
export interface Table<V, K> {
	/** The value, a copy. */
	get(key: K): V | undefined;
	/** True if there is a value. */
	doesExist(key: K): boolean;
	put(key: K, value: V, options?: { readonly noOverwrite: boolean }): Written;
	remove(key: K): unknown;
	/** The keys from `start` to `end`, exclusive. To be read before the next write. */
	getKeys(range: { readonly start?: K; readonly end?: K; readonly limit?: number }): Iterable<K>;
	getKeysCount(range: { readonly start?: K; readonly end?: K }): number;
	getStats(): TableStats;
	/** Makes the next `get` see what is there by then. Otherwise it may see what was there in this turn of the event loop. */
	resetReadTxn(): void;
}

/** Keys as bytes, right where LMDB reads them from, without a Buffer for each. */
export interface KeyEncoder<K> {
	/** @returns The offset after it. There is room for some hundred bytes. */
	writeKey(key: K, target: Uint8Array, start: number): number;
	readKey(bytes: Uint8Array, start: number, end: number): K;
}

/**
 * What becomes of a `put`, when it is synced: false if there was something, and `noOverwrite` was asked for. In a
 * transaction `result` says so at once.
 */
export interface Written extends Promise<boolean> {
	readonly result?: boolean;
}

/** What LMDB knows of a table. */
export interface TableStats {
	readonly entryCount: number;
	readonly pageSize: number;
	readonly treeBranchPageCount: number;
	readonly treeLeafPageCount: number;
	readonly overflowPages: number;
	/** Of the whole database. */
	readonly lastPageNumber: number;
	/** Of the whole database: the number of the last transaction that wrote, in whatever process. */
	readonly lastTxnId: number;
}

/** The table that holds the names of the others. */
export interface RootTable extends Table<unknown, string> {
	openDB<V, K>(
		name: string,
		options: { readonly encoding: "binary" | "msgpack"; readonly keyEncoder?: KeyEncoder<K> },
	): Table<V, K>;
	/** Runs `run` in a transaction, which is undone if it throws. It waits for the other writers of the turn. */
	childTransaction<T>(run: () => T): Promise<T>;
	/** Runs `run` at once. What it puts is done by LMDB's own thread, in one transaction. Resolves when that is synced. */
	batch(run: () => void): Promise<unknown>;
	close(): Promise<void>;
}

/** Loads it. @throws UsageError `ERR_QMTP_PACKAGE` if it is not installed. */
export function loadLmdb(): Lmdb {
	try {
		return require("lmdb") as Lmdb;
	} catch (cause) {
		if (codeOf(cause) !== "MODULE_NOT_FOUND") throw cause;
		throw new UsageError("ERR_QMTP_PACKAGE", "a spool needs the package lmdb: npm install lmdb", { cause });
	}
}

const require = createRequire(import.meta.url);
