/**
 * Spools an input of unknown length, since QMTP announces the length first: in memory while it is small, in a
 * temporary file without a name when it is not.
 */
import { randomUUID } from "node:crypto";
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
	let held: Uint8Array[] = [];
	let heldBytes = 0;
	let length = 0;
	let file: FileHandle | null = null;
	try {
		for await (const chunk of source) {
			held.push(chunk);
			heldBytes += chunk.length;
			length += chunk.length;
			if (heldBytes <= memory) continue;
			file ??= await openUnnamed(directory);
			await writeAll(file, held, length - heldBytes);
			held = [];
			heldBytes = 0;
		}
		if (file === null) return bytesBody(Buffer.concat(held, heldBytes));
		await writeAll(file, held, length - heldBytes);
		return fileBody(file, length);
	} catch (error) {
		await file?.close();
		throw error;
	}
}

/** A file that nobody else can open, and that is gone when it is closed, even by a crash. */
async function openUnnamed(directory: string): Promise<FileHandle> {
	const path = join(directory, `qmtp-${randomUUID()}`);
	const file = await open(path, "wx+", 0o600);
	await unlink(path);
	return file;
}

async function writeAll(file: FileHandle, chunks: Uint8Array[], position: number): Promise<void> {
	let at = position;
	let bytes: Uint8Array = Buffer.concat(chunks);
	while (bytes.length > 0) {
		const { bytesWritten } = await file.write(bytes, 0, bytes.length, at);
		at += bytesWritten;
		bytes = bytes.subarray(bytesWritten);
	}
}

const DEFAULT_MEMORY = 1024 * 1024;
