/**
 * The file system under a maildir, for tests: each call can be seen, held back or made to fail, and it is known which
 * descriptors are open.
 */
import { type MaildirFileSystem, nodeFileSystem } from "../../src/queue/maildir/file-system.js";

/** One call. */
export interface Call {
	/** 1 for the first call since `watch()`. */
	readonly number: number;
	readonly name: keyof MaildirFileSystem;
	/** What it works on. For a descriptor, the path under which it was opened. */
	readonly path: string;
	/** Where a rename leads. */
	readonly to: string;
}

/** What happens around each call. */
export interface Hook {
	/** The call waits for it. It rejects with what this throws, and is not made, except for close, which always is. */
	before?(call: Call): void | Promise<void>;
	/** The call has succeeded. It rejects all the same with what this throws. */
	after?(call: Call): void;
}

/** A file system that makes the calls of the real one. */
export class WatchedFileSystem implements MaildirFileSystem {
	/** The paths of the descriptors that are open. */
	readonly openPaths = new Map<number, string>();
	#hook: Hook = {};
	#calls = 0;

	/** Puts this hook in place of the one before. */
	watch(hook: Hook): void {
		this.#hook = hook;
		this.#calls = 0;
	}

	/** The calls made since `watch()`. */
	get calls(): number {
		return this.#calls;
	}

	mkdir(path: string, mode: number): Promise<void> {
		return this.#call("mkdir", path, () => nodeFileSystem.mkdir(path, mode));
	}

	open(path: string, flags: string, mode?: number): Promise<number> {
		return this.#call("open", path, async () => {
			const descriptor = await nodeFileSystem.open(path, flags, mode);
			this.openPaths.set(descriptor, path);
			return descriptor;
		});
	}

	writev(descriptor: number, views: readonly Uint8Array[]): Promise<number> {
		return this.#call("writev", descriptor, () => nodeFileSystem.writev(descriptor, views));
	}

	read(descriptor: number, block: Uint8Array, length: number, position: number): Promise<number> {
		return this.#call("read", descriptor, () => nodeFileSystem.read(descriptor, block, length, position));
	}

	fsync(descriptor: number): Promise<void> {
		return this.#call("fsync", descriptor, () => nodeFileSystem.fsync(descriptor));
	}

	async close(descriptor: number): Promise<void> {
		let closed = false;
		const close = async () => {
			closed = true;
			await nodeFileSystem.close(descriptor);
		};
		try {
			await this.#call("close", descriptor, close);
		} finally {
			if (!closed) await close(); // as in the system, where a close that fails has closed
			this.openPaths.delete(descriptor);
		}
	}

	rename(from: string, to: string): Promise<void> {
		return this.#call("rename", from, () => nodeFileSystem.rename(from, to), to);
	}

	unlink(path: string): Promise<void> {
		return this.#call("unlink", path, () => nodeFileSystem.unlink(path));
	}

	readdir(path: string): ReturnType<MaildirFileSystem["readdir"]> {
		return this.#call("readdir", path, () => nodeFileSystem.readdir(path));
	}

	lstat(path: string): ReturnType<MaildirFileSystem["lstat"]> {
		return this.#call("lstat", path, () => nodeFileSystem.lstat(path));
	}

	statfs(path: string): ReturnType<MaildirFileSystem["statfs"]> {
		return this.#call("statfs", path, () => nodeFileSystem.statfs(path));
	}

	async #call<T>(
		name: keyof MaildirFileSystem,
		target: string | number,
		make: () => Promise<T>,
		to = "",
	): Promise<T> {
		const path = typeof target === "string" ? target : (this.openPaths.get(target) ?? "not open");
		const call = { number: ++this.#calls, name, path, to };
		const hook = this.#hook; // the one that was there when the call was made
		await hook.before?.(call);
		const result = await make();
		hook.after?.(call);
		return result;
	}
}

/** An error as the system would report it. */
export function systemError(code: string): Error {
	return Object.assign(new Error(`${code}: made up, open '/some/path'`), { code });
}
