/**
 * One mail in a maildir: its envelope and its message. A small one is read when it is opened; a large one is opened
 * again when it is sent, so that mail that waits holds no descriptor.
 */
import * as fs from "node:fs";
import { promisify } from "node:util";
import { type Head, readHead } from "./head.js";

/** A mail that can be sent. */
export interface Mail extends Head {
	/** Of the message, in bytes. */
	readonly size: number;
	/** When the file was written, in milliseconds since 1970. */
	readonly mtimeMs: number;
	/** The message, if it is in memory; null if not. */
	readonly bytes: Uint8Array | null;
	/** The message from its beginning, in chunks. Reading fails if the file is not the one that was opened. */
	chunks(): AsyncIterable<Uint8Array>;
}

/**
 * Opens a file as mail.
 *
 * @returns What {@link readHead} says if there is no mail for `prefix` in it.
 * @throws What the system says; an error for what is no regular file.
 */
export async function openMail(path: Buffer, prefix: string): Promise<Mail | "other" | "malformed"> {
	const file = await open(path, READ_AT_ONCE);
	try {
		const stats = await fstat(file);
		if (!stats.isFile()) throw new Error("it is no regular file");
		const start = await readStart(file, Math.min(stats.size, LARGEST_IN_MEMORY));
		const head = readHead(start, prefix);
		if (typeof head === "string") return head;
		const bytes = stats.size > LARGEST_IN_MEMORY ? null : start.subarray(head.length);
		const size = bytes?.length ?? stats.size - head.length;
		const chunks = () => chunksOf(path, stats.ino, head.length, stats.size);
		return { ...head, size, mtimeMs: stats.mtimeMs, bytes, chunks };
	} finally {
		await close(file);
	}
}

/** The first bytes; fewer if there are fewer. */
async function readStart(file: number, length: number): Promise<Buffer> {
	const bytes = Buffer.allocUnsafeSlow(length);
	let filled = 0;
	while (filled < length) {
		const { bytesRead } = await read(file, bytes, filled, length - filled, filled);
		if (bytesRead === 0) break;
		filled += bytesRead;
	}
	return bytes.subarray(0, filled);
}

async function* chunksOf(path: Buffer, ino: number, start: number, end: number): AsyncGenerator<Uint8Array> {
	const file = await open(path, READ_AT_ONCE);
	try {
		if ((await fstat(file)).ino !== ino) throw new Error("it is another file now");
		for (let position = start; position < end; ) {
			const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - position));
			const { bytesRead } = await read(file, chunk, 0, chunk.length, position);
			if (bytesRead === 0) return; // shorter than it was: whoever sends it counts
			yield chunk.subarray(0, bytesRead);
			position += bytesRead;
		}
	} finally {
		await close(file);
	}
}

// With a FileHandle for each file 20,000 files take 5.7 s instead of 4.7 s.
const open = promisify(fs.open);
const fstat = promisify(fs.fstat);
const read = promisify(fs.read);
const close = promisify(fs.close);

// The largest file that is kept in memory; the two lines of a larger one must end within so many bytes.
const LARGEST_IN_MEMORY = 256 * 1024;
const CHUNK_BYTES = 256 * 1024;
// Opening a pipe that nobody writes to would wait for ever.
const READ_AT_ONCE = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);
