/**
 * The LMDB database of a spool, and its group commit: operations that come while a transaction is being synced share the
 * next one. A promise resolves when the transaction that held its operation is on the disk.
 *
 * `overlappingSync: false` is what makes that true. With lmdb's default a promise resolves when readers see the data,
 * which is before the sync. Without it LMDB writes the pages, calls fdatasync, writes the new root through a descriptor
 * that is open with O_DSYNC, and then lets go.
 *
 * There is one transaction at a time, and a failed one is never tried again: its operations reject, and the database is
 * opened anew before the next. LMDB refuses everything after it could not write a root, and lmdb waits for ever then.
 */
import { prepareFiles } from "./database-files.js";
import { bytesNeeded, Growth } from "./growth.js";
import { type Lmdb, loadLmdb, type RootTable, type TableStats, type Written } from "./lmdb.js";
import { DamagedRecord } from "./state.js";
import { Tables } from "./tables.js";

/** An open database. */
export class SpoolDatabase {
	/** Called after each commit. */
	onCommit: () => void = () => {};
	readonly #path: string;
	readonly #lmdb: Lmdb;
	#root: RootTable | null = null;
	#tables: Tables | null = null;
	#growth: Growth | null = null;
	#waiting: Operation[] = [];
	#running: Promise<void> | null = null; // it does not reject
	#lastTransaction = 0; // its number, when our last batch began
	#closed = false;

	private constructor(path: string, lmdb: Lmdb) {
		this.#path = path;
		this.#lmdb = lmdb;
	}

	/** Opens the database in a directory, or makes it. @throws LMDB's error; one that says so if lmdb is not installed. */
	static open(directory: string): SpoolDatabase {
		const database = new SpoolDatabase(`${directory}/spool.mdb`, loadLmdb());
		database.#open();
		return database;
	}

	/** The tables, for reading; what was committed before this turn of the event loop is there. @throws LMDB's error. */
	get tables(): Tables {
		return this.#tables ?? this.#open();
	}

	/**
	 * Runs an operation in a transaction. It must not wait, and sees what the operations before it have written.
	 *
	 * @param bytes - What it adds, about. Operations that add nothing are done in the end on a full disk, too.
	 * @returns Its result, when that is durable. It rejects with LMDB's error if the transaction failed: nothing of it
	 * was stored.
	 */
	write<T>(run: (tables: Tables) => T, bytes = 0): Promise<T> {
		return this.#enqueue(run, bytes, false);
	}

	/**
	 * Puts what does not depend on what is there, before the other operations of its transaction. LMDB's own thread does so,
	 * while this one goes on: a message takes 2.8 us of it, and 5.2 with `write`.
	 *
	 * @param bytes - What it adds, about.
	 * @returns As `write`, the result of the `put` that `run` returns.
	 */
	add(run: (tables: Tables) => Written, bytes: number): Promise<boolean> {
		return this.#enqueue<boolean>(run, bytes, true);
	}

	/** Closes it, when what was written is done. What is to be written later rejects. */
	async close(): Promise<void> {
		while (this.#running !== null) await this.#running;
		this.#closed = true;
		await this.#close();
	}

	#enqueue<T>(run: (tables: Tables) => T | PromiseLike<T>, bytes: number, onlyPuts: boolean): Promise<T> {
		return new Promise<T>((resolve, reject) => {
			this.#waiting.push({ run, bytes, onlyPuts, resolve: resolve as (result: unknown) => void, reject });
			this.#running ??= this.#commitAll();
		});
	}

	async #commitAll(): Promise<void> {
		await endOfTurn(); // what else comes in this turn shares the first transaction
		let tell: () => void = nothing;
		while (this.#waiting.length > 0) {
			const batch = await this.#nextBatch();
			if (batch.length === 0) continue; // there was no room for any
			const committing = this.#commit(batch);
			// Who is in the transaction before hears of it when this one has begun. Else LMDB waits while 500 are answered.
			await endOfTurn();
			tell();
			tell = await committing;
		}
		this.#running = null;
		tell();
	}

	/** The operations of the next transaction, for which there is room. Others are told here. */
	async #nextBatch(): Promise<Operation[]> {
		const batch = this.#takeBatch();
		try {
			return await this.#whatFits(batch);
		} catch (error) {
			for (const { reject } of batch) reject(error);
			return [];
		}
	}

	#takeBatch(): Operation[] {
		let bytes = 0;
		let count = 0;
		for (const operation of this.#waiting) {
			bytes += operation.bytes;
			if (count > 0 && bytes > BATCH_BYTES) break;
			if (++count === BATCH_OPERATIONS) break;
		}
		return this.#waiting.splice(0, count);
	}

	/**
	 * Makes room for a batch. If there is none, what adds something is rejected, and a few of the others are left: their
	 * room is in the reserve, and they make more.
	 */
	async #whatFits(batch: Operation[]): Promise<Operation[]> {
		const adds = batch.filter(({ bytes }) => bytes > 0);
		try {
			await this.#makeRoom(batch, adds.length === 0);
			return batch;
		} catch (error) {
			if (adds.length === 0 && batch.length <= FEW) throw error;
			for (const { reject } of adds) reject(error);
			const others = batch.filter(({ bytes }) => bytes === 0);
			this.#waiting.unshift(...others.splice(FEW));
			return await this.#whatFits(others);
		}
	}

	async #makeRoom(batch: readonly Operation[], withoutReserve: boolean): Promise<void> {
		if (this.#tables === null) this.#open(); // the last transaction failed
		const wait = this.#growth?.reach(this.#bytesAfter(batch), withoutReserve);
		if (wait !== undefined) await wait;
	}

	/**
	 * Commits a batch, and never rejects. LMDB has it when this returns.
	 *
	 * @returns What tells the operations' callers what came of them.
	 */
	async #commit(batch: readonly Operation[]): Promise<() => void> {
		const isAlone = this.#isAlone(batch);
		const puts = isAlone ? batch.filter(({ onlyPuts }) => onlyPuts) : [];
		const others = isAlone ? batch.filter(({ onlyPuts }) => !onlyPuts) : batch;
		const ends = [endOf(this.#put(puts)), endOf(this.#transact(others))]; // of one transaction
		const [ofPuts, ofOthers] = (await Promise.all(ends)) as [End, End];
		if ("fault" in ofPuts || "fault" in ofOthers) await this.#close().catch(() => {});
		return () => {
			tell(puts, ofPuts);
			tell(others, ofOthers);
			this.onCommit();
		};
	}

	/**
	 * True if a batch may be put without a transaction: nobody else has written since our last one, and if somebody does
	 * before this one, there is room for both. Within a transaction nobody uses up the room, and more is made.
	 */
	#isAlone(batch: readonly Operation[]): boolean {
		try {
			const { lastTxnId, pageSize } = this.#stats();
			const wasAlone = lastTxnId - this.#lastTransaction <= 1; // that one is ours
			this.#lastTransaction = lastTxnId;
			const ofAnother = bytesNeeded(BATCH_OPERATIONS, BATCH_BYTES, pageSize);
			return wasAlone && this.#growth?.has(this.#bytesAfter(batch) + ofAnother) === true;
		} catch {
			return false; // LMDB says it again when it is to write
		}
	}

	async #put(operations: readonly Operation[]): Promise<unknown[]> {
		if (operations.length === 0) return [];
		const { tables } = this;
		let written: unknown[] = [];
		const synced = (this.#root as RootTable).batch(() => {
			written = operations.map(({ run }) => run(tables));
		});
		const [results] = await Promise.all([Promise.all(written), synced]);
		return results;
	}

	/** @returns The results. A DamagedRecord is an operation's that has thrown it. */
	async #transact(operations: readonly Operation[]): Promise<unknown[]> {
		if (operations.length === 0) return [];
		const { tables } = this;
		// As a child, since an exception in a plain transaction leaves in what was written before it.
		return await (this.#root as RootTable).childTransaction(() => {
			this.#growth?.reachNow(this.#bytesAfter(operations));
			return operations.map((operation) => perform(operation, tables));
		});
	}

	/** How far into the file LMDB may come with a transaction. */
	#bytesAfter(batch: readonly Operation[]): number {
		const { lastPageNumber, pageSize } = this.#stats();
		const bytes = batch.reduce((sum, operation) => sum + operation.bytes, 0);
		return (lastPageNumber + 1) * pageSize + bytesNeeded(batch.length, bytes, pageSize);
	}

	#stats(): TableStats {
		return (this.#root as RootTable).getStats();
	}

	#open(): Tables {
		if (this.#closed) throw new Error("the spool is closed");
		try {
			this.#tables = this.#openTables();
			return this.#tables;
		} catch (error) {
			this.#close().catch(() => {});
			throw error;
		}
	}

	#openTables(): Tables {
		prepareFiles(this.#path);
		const root = this.#lmdb.open({
			path: this.#path,
			overlappingSync: false,
			encoding: "binary",
			mapSize: MAP_BYTES,
			maxDbs: 4,
			permissionsMode: FILE_MODE,
		});
		this.#root = root;
		this.#growth = new Growth(this.#path);
		this.#growth.reachNow(this.#bytesAfter([]));
		return new Tables(root);
	}

	async #close(): Promise<void> {
		const root = this.#root;
		this.#growth?.close();
		this.#growth = null;
		this.#root = null;
		this.#tables = null;
		await root?.close();
	}
}

/** Runs an operation. One that cannot read its message has written nothing, and must not take the others with it. */
function perform({ run }: Operation, tables: Tables): unknown {
	try {
		return run(tables);
	} catch (error) {
		if (!(error instanceof DamagedRecord)) throw error;
		return error;
	}
}

/** When all has been done that this turn of the event loop has brought; LMDB has begun with what it was given. */
function endOfTurn(): Promise<void> {
	return new Promise(setImmediate);
}

function nothing(): void {}

async function endOf(work: Promise<unknown[]>): Promise<End> {
	try {
		return { results: await work };
	} catch (error) {
		return { fault: await causeOf(error) };
	}
}

function tell(operations: readonly Operation[], end: End): void {
	operations.forEach(({ resolve, reject }, index) => {
		const result = "fault" in end ? end.fault : end.results[index];
		if ("fault" in end || result instanceof DamagedRecord) reject(result);
		else resolve(result);
	});
}

/** What made a commit fail. lmdb says it by a promise of its own, which must not be left unheard. */
async function causeOf(error: unknown): Promise<unknown> {
	const { commitError } = error as { commitError?: Promise<never> };
	if (commitError === undefined) return error;
	return await commitError.catch((cause) => cause);
}

/** What became of operations: their results, or why nothing was stored. */
type End = { readonly results: readonly unknown[] } | { readonly fault: unknown };

interface Operation {
	readonly run: (tables: Tables) => unknown;
	readonly bytes: number;
	readonly onlyPuts: boolean;
	readonly resolve: (result: unknown) => void;
	readonly reject: (error: unknown) => void;
}

// Of one transaction. Half of what a server has in commit, so that the other half comes in while this one is synced: with
// 1024 one waits for the other, and a server takes in a tenth fewer messages.
const BATCH_OPERATIONS = 512;
const BATCH_BYTES = 4 * 1024 * 1024;
const FEW = 64;
const FILE_MODE = 0o600;
// Address space, not memory or disk. LMDB maps the file anew when it outgrows this, and keeps the old map.
const MAP_BYTES = 16 * 1024 ** 3;
