/** Bodies in files. A file is opened once and read by position, so that it stays the same file to the end. */
import { read } from "node:fs";
import { constants, type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";
import { type Body, CHUNK_BYTES } from "./body.js";

/** The first `length` bytes of an open file, which `close()` closes. */
export function fileBody(file: FileHandle, length: number): Body {
	return {
		length,
		bytes: null,
		repeatable: true,
		chunks: () => fileChunks(file, length),
		close: () => file.close(),
	};
}

/** The first `length` bytes of a file that an open descriptor names, which stays open. */
export function descriptorBody(descriptor: number, length: number): Body {
	const file: ReadableFile = {
		read: (bytes, offset, size, position) => readDescriptor(descriptor, bytes, offset, size, position),
	};
	const chunks = () => fileChunks(file, length);
	return { length, bytes: null, repeatable: true, chunks, close: async () => {} };
}

/** Opens a file to be read as a body. @throws What `open` and `stat` do; an error for what is no regular file. */
export async function openBody(path: string): Promise<{ file: FileHandle; length: number }> {
	const file = await open(path, READ_AT_ONCE);
	try {
		const stats = await file.stat();
		if (!stats.isFile()) throw new Error(`${path} is no regular file`);
		return { file, length: stats.size };
	} catch (error) {
		await file.close();
		throw error;
	}
}

/** The bytes of a file up to `length`, in new chunks: whoever gets one may keep it. */
export async function* fileChunks(file: ReadableFile, length: number): AsyncGenerator<Uint8Array> {
	for (let position = 0; position < length; ) {
		const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, length - position));
		const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
		if (bytesRead === 0) return; // shorter than it was
		yield chunk.subarray(0, bytesRead);
		position += bytesRead;
	}
}

/** What can be read by position. */
interface ReadableFile {
	read(bytes: Buffer, offset: number, size: number, position: number): Promise<{ bytesRead: number }>;
}

const readDescriptor = promisify(read);

// Opening a pipe that nobody writes to would wait for ever. (Windows has no such flag.)
const READ_AT_ONCE = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
