/**
 * fsync of a directory, shared by those who wait for it (group commit): one that begins after a file got its name there
 * makes that name durable, and with it all names that were there.
 */
import type { MaildirFileSystem } from "./file-system.js";

/** Makes the entries of one directory durable. */
export class DirectorySync {
	readonly #fileSystem: MaildirFileSystem;
	readonly #path: string;
	#waiting: Waiter[] = []; // for the fsync after the one that runs
	#running = false;

	constructor(fileSystem: MaildirFileSystem, path: string) {
		this.#fileSystem = fileSystem;
		this.#path = path;
	}

	/**
	 * Resolves when an fsync that began after this call has succeeded. It rejects if that one failed, and also if the
	 * one failed that was running at the time of the call: the system tells an error once, so the next fsync may succeed
	 * although entries that the failed one was to write, ours perhaps among them, are lost.
	 */
	sync(): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#waiting.push({ resolve, reject });
			if (!this.#running) void this.#run(); // it does not reject
		});
	}

	async #run(): Promise<void> {
		this.#running = true;
		while (this.#waiting.length > 0) {
			const covered = this.#takeWaiting();
			try {
				await syncDirectory(this.#fileSystem, this.#path);
				for (const { resolve } of covered) resolve();
			} catch (error) {
				for (const { reject } of [...covered, ...this.#takeWaiting()]) reject(error);
			}
		}
		this.#running = false;
	}

	#takeWaiting(): Waiter[] {
		const waiting = this.#waiting;
		this.#waiting = [];
		return waiting;
	}
}

/**
 * Makes the entries of a directory durable. It opens the directory each time: a descriptor that is kept would go on
 * standing for a directory that has been moved away.
 */
export async function syncDirectory(fileSystem: MaildirFileSystem, path: string): Promise<void> {
	const descriptor = await fileSystem.open(path, "r");
	try {
		await fileSystem.fsync(descriptor);
	} finally {
		await fileSystem.close(descriptor);
	}
}

interface Waiter {
	readonly resolve: () => void;
	readonly reject: (error: unknown) => void;
}
