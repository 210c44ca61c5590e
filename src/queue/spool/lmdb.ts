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

/** A table. Writing is for transactions. */
export interface Table<V, K> {
	/** The value, a copy. */
	get(key: K): V | undefined;
	/** @returns In a transaction, at once: `result` is false if there was something, and `noOverwrite` was asked for. */
	put(key: K, value: V, options?: { readonly noOverwrite: boolean }): { readonly result: boolean };
	remove(key: K): unknown;
	/** The keys from `start` to `end`, exclusive. To be read before the next write. */
	getKeys(range: { readonly start?: K; readonly end?: K; readonly limit?: number }): Iterable<K>;
	getKeysCount(range: { readonly start?: K; readonly end?: K }): number;
	getStats(): TableStats;
	/** Makes the next `get` see what is there by then. Otherwise it may see what was there in this turn of the event loop. */
	resetReadTxn(): void;
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
}

/** The table that holds the names of the others. */
export interface RootTable extends Table<unknown, string> {
	openDB<V, K>(
		name: string,
		options: { readonly encoding: "binary" | "msgpack"; readonly keyEncoding?: "binary" },
	): Table<V, K>;
	/** Runs `run` in a transaction. */
	childTransaction<T>(run: () => T): Promise<T>;
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
