/**
 * The yardstick for durable queues: the system calls that put one message into a directory so that it is whole and
 * survives a crash, and nothing else. Each message pays for an fsync of the directory of its own.
 */
import { close, fsync, mkdirSync, open, openSync, rename, write } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

// Plain descriptors: a FileHandle for each file would double the work done in JavaScript.
const system = {
	open: promisify(open),
	write: promisify(write) as (descriptor: number, bytes: Uint8Array) => Promise<{ bytesWritten: number }>,
	fsync: promisify(fsync),
	close: promisify(close),
	rename: promisify(rename),
};

/** A directory `new` below a path, and one to write in. */
export class BareStore {
	readonly #tmp: string;
	readonly #new: string;
	readonly #directory: number; // a descriptor

	constructor(path: string) {
		this.#tmp = join(path, "tmp");
		this.#new = join(path, "new");
		for (const directory of [path, this.#tmp, this.#new]) mkdirSync(directory);
		this.#directory = openSync(this.#new, "r");
	}

	/** Stores one message durably. */
	async store(name: string, bytes: Uint8Array): Promise<void> {
		const path = join(this.#tmp, name);
		const file = await system.open(path, "wx", 0o600);
		const { bytesWritten } = await system.write(file, bytes);
		if (bytesWritten !== bytes.length) throw new Error("a short write");
		await system.fsync(file);
		await system.close(file);
		await system.rename(path, join(this.#new, name));
		await system.fsync(this.#directory);
	}

	close(): Promise<void> {
		return system.close(this.#directory);
	}
}
