/**
 * Spools an input of unknown length, since QMTP announces the length first: in memory while it is small, in a
 * temporary file without a name when it is not.
 */
import { type FileHandle, open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Body, bytesBody } from "./body.js";
import { fileBody } from "./file.js";

/** Options of {@link spool}. */
export interface SpoolOptions {
	/**
	 * How many bytes are held in memory before a file is used.
	 * @defaultValue 1048576 (1 MiB)
	 */
	readonly memory?: number;
	/**
	 * Where the file goes.
	 * @defaultValue os.tmpdir()
	 */
	readonly directory?: string;
}

/**
 * Reads `source` to its end.
 *
 * @returns A body that can be read again and again until its `close()`, which must be called.
 * @throws What the source throws, or the file system; nothing is left behind then.
 */
export async function spool(source: AsyncIterable<Uint8Array>, options: SpoolOptions = {}): Promise<Body> {
	const { memory = DEFAULT_MEMORY, directory = tmpdir() } = options;
	let held: Uint8Array = NOTHING; // copies: chunks may be tiny, or views that pin far more than they show
	let filled = 0;
	let written = 0;
	let file: FileHandle | null = null;
	try {
		for await (const chunk of source) {
			if (filled + chunk.length > memory) {
				file ??= await openUnnamed(directory);
				await writeAll(file, held.subarray(0, filled), written);
				written += filled;
				filled = 0;
			}
			if (file !== null && chunk.length > memory) {
				await writeAll(file, chunk, written);
				written += chunk.length;
				continue;
			}
			if (filled + chunk.length > held.length) held = enlarged(held, filled + chunk.length, memory);
			held.set(chunk, filled);
			filled += chunk.length;
		}
		if (file === null) return bytesBody(held.subarray(0, filled));
		await writeAll(file, held.subarray(0, filled), written);
		return fileBody(file, written + filled);
	} catch (error) {
		await file?.close();
		throw error;
	}
}

function enlarged(held: Uint8Array, least: number, most: number): Uint8Array {
	const larger = new Uint8Array(Math.max(least, Math.min(held.length * 2, most)));
	larger.set(held);
	return larger;
}

/** A file that nobody else can open, and that is gone when it is closed, even by a crash. */
async function openUnnamed(directory: string): Promise<FileHandle> {
	const path = join(directory, `qmtp-${crypto.randomUUID()}`);
	const file = await open(path, "wx+", 0o600);
	await unlink(path);
	return file;
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
	for (let at = 0; at < bytes.length; ) {
		at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
	}
}

const NOTHING = new Uint8Array(0);
const DEFAULT_MEMORY = 1024 * 1024;
