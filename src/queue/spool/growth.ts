/**
 * Makes the database file grow before LMDB needs the room, by writing zeros behind its last page.
 *
 * A write of LMDB must never fail for want of space: lmdb 3.5.6 then writes its error message over the end of a buffer
 * of 100 bytes, and the process dies sooner or later. When the zeros do not fit, nothing has begun yet, and a message is
 * refused. LMDB's own sync writes them out with the pages. A file whose pages are used again does not grow.
 *
 * The zeros are appended (O_APPEND), so that they never fall on what another process has written meanwhile.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** The file, seen from beside LMDB. */
export class Growth {
	readonly #path: string;
	readonly #descriptor: number;
	#size: number; // at least
	#growing: Promise<void> | null = null; // in the background; it does not reject
	#fault: unknown = null; // why the last of those ended early

	/** @param path - The database, which LMDB has made. */
	constructor(path: string) {
		this.#path = path;
		this.#descriptor = openSync(path, APPEND);
		this.#size = this.#sizeNow();
	}

	/**
	 * Sees to it that the file has so many bytes, and a reserve behind them. When half of that is used up, it is filled
	 * in the background.
	 *
	 * @param without - Do without the reserve if there is no room for it.
	 * @returns A promise if there is to be waited. It rejects with the system's error.
	 */
	reach(bytes: number, without: boolean): undefined | Promise<void> {
		if (this.#size < bytes + LEAST_RESERVE) return this.#reachSlowly(bytes, without);
		if (this.#size < bytes + RESERVE / 2) this.#growing ??= this.#grow(bytes + RESERVE);
		return undefined;
	}

	/** True if the file surely has so many bytes. */
	has(bytes: number): boolean {
		return this.#size >= bytes;
	}

	/** Makes it have so many bytes at once: for when another process has used them up. @throws The system's error. */
	reachNow(bytes: number): void {
		if (this.#size < bytes) this.#size = this.#sizeNow(); // others make it grow, too
		while (this.#size < bytes) this.#size += writeSync(this.#descriptor, ZEROS);
	}

	close(): void {
		closeSync(this.#descriptor);
	}

	async #reachSlowly(bytes: number, without: boolean): Promise<void> {
		await this.#growing;
		this.#size = this.#sizeNow();
		if (this.#size < bytes + LEAST_RESERVE) {
			this.#growing ??= this.#grow(bytes + RESERVE);
			await this.#growing;
		}
		if (this.#size < bytes + (without ? 0 : LEAST_RESERVE)) throw this.#fault;
	}

	async #grow(bytes: number): Promise<void> {
		let file: FileHandle | null = null; // its own, since close() may come meanwhile
		try {
			file = await open(this.#path, APPEND);
			while (this.#size < bytes) this.#size += (await file.write(ZEROS)).bytesWritten;
		} catch (error) {
			this.#fault = error;
		} finally {
			await file?.close().catch(() => {});
			this.#growing = null;
		}
	}

	#sizeNow(): number {
		return fstatSync(this.#descriptor).size;
	}
}

/** What a transaction may need, in bytes, with room for the pages that it copies. */
export function bytesNeeded(operations: number, bytes: number, pageSize: number): number {
	return operations * PAGES_PER_OPERATION * pageSize + 1.25 * bytes + SPARE;
}

const APPEND = constants.O_WRONLY | constants.O_APPEND; // "a" would make a file that is gone
const ZEROS = new Uint8Array(1024 * 1024);
// For 64 operations that take messages out, twice; and for what other processes do between our look and our transaction.
const LEAST_RESERVE = 4 * 1024 * 1024;
const RESERVE = 48 * 1024 * 1024; // half of it is enough for a transaction of ours and one of another's
const SPARE = 1024 * 1024; // the list of free pages, and the upper pages of the trees
const PAGES_PER_OPERATION = 6; // a leaf of each of three tables, where it was and where it goes
