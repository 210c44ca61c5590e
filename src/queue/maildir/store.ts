/**
 * The files of one maildir, and how a copy of a message gets there: written and synced in tmp/, renamed into new/, and
 * new/ synced. So it is in new/ whole or not at all, and what was acknowledged is there after a crash.
 *
 * Source: D. J. Bernstein, "Using maildir format". It links from tmp/ to new/ and does not sync new/. Rename is one
 * call where link and unlink are two. It would overwrite a file of the same name, and link would not; but a name is
 * claimed in tmp/ by an exclusive open, and one that went to new/ earlier does not come again: see name.ts.
 */
import { dirname } from "node:path";
import { Pool } from "../pool.js";
import { DirectorySync, syncDirectory } from "./directory-sync.js";
import { codeOf } from "./fault.js";
import { type MaildirFileSystem, writeAll } from "./file-system.js";
import { removeLeftOvers } from "./left-overs.js";
import { createFile, type NewFile } from "./new-file.js";
import { Spool } from "./spool.js";

/** The body of a message: in memory, or in a file if it is large. */
type BodySource = readonly Uint8Array[] | Spool;

/** One maildir. */
export class MaildirStore {
	readonly #fileSystem: MaildirFileSystem;
	readonly #path: string;
	readonly #host: string; // encoded
	readonly #tmp: string; // with a slash at the end, and so has #new
	readonly #new: string;
	readonly #newSync: DirectorySync;
	readonly #turns = new Pool(COPIES_AT_ONCE, () => null);
	readonly #blocks = new Pool(BLOCKS, () => new Uint8Array(BLOCK_BYTES));
	#ready = false; // the directories were there when last used
	#preparation: Promise<void> | null = null;
	#cleaning: Promise<void> | null = null; // it does not reject
	#cleanedAt = 0; // ms since 1970

	constructor(fileSystem: MaildirFileSystem, path: string, host: string) {
		this.#fileSystem = fileSystem;
		this.#path = path;
		this.#host = host;
		this.#tmp = `${path}/tmp/`;
		this.#new = `${path}/new/`;
		this.#newSync = new DirectorySync(fileSystem, this.#new);
	}

	/**
	 * Makes the directories that are missing, durably, and clears tmp/ of left-overs: at the first call, and after that
	 * when something turned out to be missing. Once an hour it starts to clear tmp/ again.
	 *
	 * @returns A promise if the caller must wait. It rejects with the system's error.
	 */
	prepare(): undefined | Promise<void> {
		if (this.#ready) {
			this.#cleanNowAndThen();
			return undefined;
		}
		this.#preparation ??= this.#prepare();
		return this.#preparation;
	}

	/** Resolves when nothing runs that no delivery waits for. */
	async settled(): Promise<void> {
		await this.#preparation?.catch(ignore);
		await this.#cleaning;
	}

	/** How many more bytes the disk takes. It rejects with the system's error. */
	async freeBytes(): Promise<number> {
		const { bavail, bsize } = await this.#noting(this.#fileSystem.statfs(this.#tmp));
		return bavail * bsize;
	}

	/** A new file for a large body. */
	spool(): Spool {
		return new Spool(this.#fileSystem, () => this.#create("wx+"));
	}

	/**
	 * Stores one copy: the head, then the body. It resolves when the copy is durable. It rejects with the system's error
	 * when there is no copy.
	 */
	async storeCopy(head: Uint8Array, body: BodySource): Promise<void> {
		const path = await (body instanceof Spool
			? this.#blocks.with((block) => this.#moveIn((file) => this.#copy(file, head, body, block)))
			: this.#turns.with(() => this.#moveIn((file) => this.#write(file, [head, ...body]))));
		try {
			await this.#noting(this.#newSync.sync());
		} catch (error) {
			await this.#unlink(path); // it may go with the next crash, and it will be sent again
			throw error;
		}
	}

	async #prepare(): Promise<void> {
		try {
			await this.#makeDirectories();
			this.#cleanNowAndThen();
			await this.#cleaning;
			this.#ready = true;
		} finally {
			this.#preparation = null;
		}
	}

	#cleanNowAndThen(): void {
		const now = Date.now();
		if (this.#cleaning !== null || now - this.#cleanedAt < CLEANING_INTERVAL_MS) return;
		this.#cleanedAt = now;
		this.#cleaning = removeLeftOvers(this.#fileSystem, this.#tmp, this.#host).finally(() => {
			this.#cleaning = null;
		});
	}

	async #makeDirectories(): Promise<void> {
		await this.#makeDurably(this.#path);
		for (const name of ["tmp", "new", "cur"]) await this.#make(`${this.#path}/${name}`);
		// Also when they were there: whoever made them may not have come to this.
		await syncDirectory(this.#fileSystem, this.#path);
	}

	async #makeDurably(path: string): Promise<void> {
		const parent = dirname(path);
		try {
			if (!(await this.#make(path))) return;
		} catch (error) {
			if (codeOf(error) !== "ENOENT" || parent === path) throw error;
			await this.#makeDurably(parent);
			await this.#make(path);
		}
		await syncDirectory(this.#fileSystem, parent);
	}

	/** Makes one directory; false if there is something of that name, which need not be a directory. */
	async #make(path: string): Promise<boolean> {
		try {
			await this.#fileSystem.mkdir(path, DIRECTORY_MODE);
			return true;
		} catch (error) {
			if (codeOf(error) === "EEXIST") return false;
			throw error;
		}
	}

	#create(flags: "wx" | "wx+"): Promise<NewFile> {
		return this.#noting(createFile(this.#fileSystem, this.#tmp, this.#host, flags));
	}

	/** Makes a file in tmp/, has it written, and moves it into new/. Returns its path there. */
	async #moveIn(write: (file: NewFile) => Promise<void>): Promise<string> {
		const fileSystem = this.#fileSystem;
		const file = await this.#create("wx");
		const path = this.#new + file.name;
		let isOpen = true;
		try {
			await write(file);
			await fileSystem.fsync(file.descriptor);
			isOpen = false; // whatever close() says
			await fileSystem.close(file.descriptor);
			await this.#noting(fileSystem.rename(file.path, path));
			return path;
		} catch (error) {
			if (isOpen) await fileSystem.close(file.descriptor).catch(ignore);
			await this.#unlink(file.path);
			await this.#unlink(path); // over NFS, a rename that happened may be reported as failed
			throw error;
		}
	}

	#write(file: NewFile, views: Uint8Array[]): Promise<void> {
		return writeAll(this.#fileSystem, file.descriptor, views);
	}

	async #copy(file: NewFile, head: Uint8Array, body: Spool, block: Uint8Array): Promise<void> {
		await this.#write(file, [head]);
		for await (const bytes of body.read(block)) await this.#write(file, [bytes]);
	}

	/** Takes note of a directory that is gone, so that the next message makes it again. */
	async #noting<T>(call: Promise<T>): Promise<T> {
		try {
			return await call;
		} catch (error) {
			if (codeOf(error) === "ENOENT") this.#ready = false;
			throw error;
		}
	}

	async #unlink(path: string): Promise<void> {
		await this.#fileSystem.unlink(path).catch(ignore);
	}
}

function ignore(): void {}

const DIRECTORY_MODE = 0o700;
// Node makes four file-system calls at a time unless it is told otherwise (UV_THREADPOOL_SIZE). More copies at once
// would only hold descriptors; fewer would leave the shared fsync of new/ with less to share.
const COPIES_AT_ONCE = 64;
// Copies of large bodies: each keeps one of those threads busy, and two leave the others to small messages.
const BLOCKS = 2;
const BLOCK_BYTES = 1024 * 1024; // into a tmpfs, 256 KiB are a quarter slower; a disk hides it
const CLEANING_INTERVAL_MS = 60 * 60 * 1000;
