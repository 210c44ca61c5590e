/** What the disk and its cache can do: `cp` of a file, and an fsync of the copy. No socket, and no header. */
import { execFile } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** A file of a folder that can be copied again and again. */
export class CopiedFile {
	readonly #path: string;
	readonly #copy: string;
	readonly #bytes: number;

	private constructor(path: string, bytes: number) {
		this.#path = path;
		this.#copy = `${path}.copy`;
		this.#bytes = bytes;
	}

	/** Makes the file from one block, as often as it takes; `bytes` is a multiple of the block's length. */
	static async make(folder: string, block: Uint8Array, bytes: number): Promise<CopiedFile> {
		const path = join(folder, "source");
		const file = await open(path, "wx", 0o600);
		for (let written = 0; written < bytes; written += block.length) await file.write(block);
		await file.sync();
		await file.close();
		return new CopiedFile(path, bytes);
	}

	/** Copies it, syncs the copy, and removes that. Resolves with the seconds that copy and sync took. */
	async copy(): Promise<number> {
		const started = performance.now();
		await promisify(execFile)("cp", [this.#path, this.#copy]);
		const file = await open(this.#copy, "r+");
		await file.sync();
		await file.close();
		const seconds = (performance.now() - started) / 1000;
		const { size } = statSync(this.#copy);
		if (size !== this.#bytes) throw new Error(`the copy has ${size} bytes, not ${this.#bytes}`);
		rmSync(this.#copy);
		return seconds;
	}

	remove(): void {
		rmSync(this.#path);
	}
}
