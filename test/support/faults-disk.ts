/**
 * A disk under a maildir that may lose its power, at its worst: of a file it keeps what was written when the last fsync
 * that succeeded began, and of a directory the names that were there then. So it knows at each moment which mail would
 * be there after a crash.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { MaildirFileSystem } from "../../src/queue/maildir/file-system.js";

/** A file, under whatever name. */
interface DiskFile {
	written: number; // bytes
	synced: number; // of them
}

/** A file system that makes the calls of another one, and believes what it says. */
export class Disk implements MaildirFileSystem {
	/** Calls that were made and have not returned. */
	inFlight = 0;
	/** What could not be removed. */
	readonly notUnlinked = new Set<string>();
	readonly #calls: MaildirFileSystem;
	readonly #opened = new Map<number, string>(); // descriptors, and the paths at which they were opened
	readonly #files = new Map<number, DiskFile>(); // by descriptor, of those that were made
	readonly #names = new Map<string, DiskFile>(); // by path
	readonly #durable = new Map<string, DiskFile>(); // the same after a crash

	constructor(calls: MaildirFileSystem) {
		this.#calls = calls;
	}

	/** The files of new/ that a crash would leave whole, as they are now. */
	survivors(): Buffer[] {
		const paths = [...this.#durable].filter(
			([path, { written, synced }]) => path.includes("/new/") && written === synced && this.#names.has(path),
		);
		return paths.map(([path]) => readFileSync(path));
	}

	open(path: string, flags: string, mode?: number): Promise<number> {
		return this.#during(async () => {
			const descriptor = await this.#calls.open(path, flags, mode);
			this.#opened.set(descriptor, path);
			if (!flags.startsWith("w")) return descriptor;
			const file = { written: 0, synced: 0 };
			this.#names.set(path, file);
			this.#files.set(descriptor, file);
			return descriptor;
		});
	}

	writev(descriptor: number, views: readonly Uint8Array[]): Promise<number> {
		return this.#during(async () => {
			const written = await this.#calls.writev(descriptor, views);
			const file = this.#files.get(descriptor);
			if (file !== undefined) file.written += written;
			return written;
		});
	}

	fsync(descriptor: number): Promise<void> {
		return this.#during(async () => {
			const file = this.#files.get(descriptor);
			const written = file?.written ?? 0;
			const directory = resolve(this.#opened.get(descriptor) as string);
			const names = [...this.#names].filter(([path]) => dirname(path) === directory);
			await this.#calls.fsync(descriptor);
			if (file !== undefined) file.synced = Math.max(file.synced, written);
			else for (const [path, named] of names) this.#durable.set(path, named);
		});
	}

	close(descriptor: number): Promise<void> {
		this.#files.delete(descriptor);
		this.#opened.delete(descriptor);
		return this.#during(() => this.#calls.close(descriptor));
	}

	rename(from: string, to: string): Promise<void> {
		return this.#during(async () => {
			await this.#calls.rename(from, to);
			this.#names.set(to, this.#names.get(from) as DiskFile);
			this.#names.delete(from);
		});
	}

	unlink(path: string): Promise<void> {
		return this.#during(async () => {
			const file = this.#names.get(path);
			this.#names.delete(path); // from now on it may be gone
			try {
				await this.#calls.unlink(path);
			} catch (error) {
				if (file !== undefined) this.#names.set(path, file);
				this.notUnlinked.add(path);
				throw error;
			}
		});
	}

	mkdir(path: string, mode: number): Promise<void> {
		return this.#during(() => this.#calls.mkdir(path, mode));
	}

	read(descriptor: number, block: Uint8Array, length: number, position: number): Promise<number> {
		return this.#during(() => this.#calls.read(descriptor, block, length, position));
	}

	readdir(path: string): Promise<string[]> {
		return this.#during(() => this.#calls.readdir(path));
	}

	lstat(path: string): ReturnType<MaildirFileSystem["lstat"]> {
		return this.#during(() => this.#calls.lstat(path));
	}

	statfs(path: string): ReturnType<MaildirFileSystem["statfs"]> {
		return this.#during(() => this.#calls.statfs(path));
	}

	async #during<T>(make: () => Promise<T>): Promise<T> {
		this.inFlight++;
		try {
			return await make();
		} finally {
			this.inFlight--;
		}
	}
}
