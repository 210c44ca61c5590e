/**
 * The files of a database before LMDB opens them. With lmdb 3.5.6 the process dies when that fails, so what would make
 * it fail is found out first.
 */
import {
	accessSync,
	closeSync,
	constants,
	existsSync,
	linkSync,
	openSync,
	readSync,
	unlinkSync,
	writeFileSync,
} from "node:fs";
import { endianness } from "node:os";
import { dirname } from "node:path";
import { codeOf } from "./fault.js";

/**
 * Makes sure that LMDB can open a database, or make one.
 *
 * @throws The system's error; Error if the file is something else.
 */
export function prepareFiles(path: string): void {
	accessSync(dirname(path), READ_AND_WRITE);
	if (existsSync(path)) {
		accessSync(path, READ_AND_WRITE);
		checkRoot(path);
	}
	makeLockFile(`${path}-lock`);
}

/** An empty file is none yet. */
function checkRoot(path: string): void {
	const head = Buffer.alloc(ROOT_BYTES);
	const descriptor = openSync(path, "r");
	const read = readSync(descriptor, head);
	closeSync(descriptor);
	if (read === 0) return;
	const numbers = [MAGIC_AT, VERSION_AT].map((at) =>
		endianness() === "LE" ? head.readUInt32LE(at) : head.readUInt32BE(at),
	);
	if (read < ROOT_BYTES || numbers[0] !== MAGIC || numbers[1] !== VERSION) {
		throw new Error("spool.mdb is no database of LMDB, or one of another version");
	}
}

/**
 * Makes the lock file, if there is none. LMDB itself makes one with a hole, and maps it: the process dies if the hole
 * cannot be filled.
 */
function makeLockFile(path: string): void {
	if (existsSync(path)) {
		accessSync(path, READ_AND_WRITE);
		return;
	}
	const draft = `${path}.${process.pid}`;
	writeFileSync(draft, new Uint8Array(LOCK_BYTES), { mode: 0o600 });
	try {
		linkSync(draft, path); // whole or not at all: another process may have done this, and use it
	} catch (error) {
		if (codeOf(error) !== "EEXIST") throw error;
	} finally {
		unlinkSync(draft);
	}
}

const READ_AND_WRITE = constants.R_OK | constants.W_OK;
// The first page of LMDB's format 2: mdb.c, MDB_meta.
const MAGIC_AT = 24;
const MAGIC = 0xbeefc0de;
const VERSION_AT = 28;
const VERSION = 2;
const ROOT_BYTES = 32;
const LOCK_BYTES = 64 * 1024; // LMDB needs 8 KiB for its 126 readers
