/** The file of a large body while it arrives. */
import { type FileHandle, open, unlink } from "node:fs/promises";
import { Batches } from "../../body/batches.js";
import { queueError } from "./fault.js";

/** A file that is written once. */
export class BodyFile {
	/** Its name in the directory of bodies. */
	readonly name: string;
	readonly #path: string;
	#file: FileHandle | null = null;
	#made = false; // by us: there is no such file otherwise, or it is another delivery's
	readonly #batches = new Batches((views) => this.#write(views));
	#removal: Promise<void> | null = null;

	/** @param directory - With a slash at the end. */
	constructor(directory: string, name: string) {
		this.name = name;
		this.#path = directory + name;
	}

	/** Bytes in memory. */
	get heldBytes(): number {
		return this.#batches.heldBytes;
	}

	/**
	 * Takes over the next bytes. A promise means that a batch is full and the one before it is still being written.
	 *
	 * @throws QueueError if the file could not be written; the promise rejects with it too.
	 */
	write(bytes: Uint8Array): void | Promise<void> {
		return this.#batches.add(bytes);
	}

	/** Resolves when everything is in the file, on the disk. It rejects with a QueueError if that could not be. */
	async end(): Promise<void> {
		await this.#batches.end();
		const file = this.#file as FileHandle;
		try {
			await file.sync();
			// Somebody has taken it for the left-over of a process that is gone: across containers, or after a leap of the clock.
			if ((await file.stat()).nlink === 0) throw queueError(new Error("the file of the body was removed"));
		} finally {
			this.#file = null;
			await file.close();
		}
	}

	/** Removes the file when the write under way has ended. It does not reject, and may be called more than once. */
	remove(): Promise<void> {
		this.#removal ??= this.#remove();
		return this.#removal;
	}

	async #write(views: Uint8Array[]): Promise<void> {
		try {
			this.#file ??= await this.#make();
			await writeAll(this.#file, views);
		} catch (error) {
			throw queueError(error);
		}
	}

	async #make(): Promise<FileHandle> {
		const file = await open(this.#path, "wx", FILE_MODE);
		this.#made = true;
		return file;
	}

	async #remove(): Promise<void> {
		await this.#batches.stop();
		const file = this.#file;
		this.#file = null;
		await file?.close().catch(ignore);
		if (this.#made) await unlink(this.#path).catch(ignore); // else it is removed with the left-overs
	}
}

/** Writes all of the views, however many calls that takes. It may change the array. */
async function writeAll(file: FileHandle, views: Uint8Array[]): Promise<void> {
	for (let first = 0; first < views.length; ) {
		let { bytesWritten } = await file.writev(first === 0 ? views : views.slice(first));
		for (; first < views.length; first++) {
			const view = views[first] as Uint8Array;
			if (bytesWritten < view.length) {
				views[first] = view.subarray(bytesWritten);
				break;
			}
			bytesWritten -= view.length;
		}
	}
}

function ignore(): void {}

const FILE_MODE = 0o600;
