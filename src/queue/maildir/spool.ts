/** The body of a large message in a file of tmp/, while its recipients are not known. */
import { Batches } from "../../body/batches.js";
import { UsageError } from "../../errors.js";
import { queueError } from "./fault.js";
import { type MaildirFileSystem, writeAll } from "./file-system.js";
import type { NewFile } from "./new-file.js";

/** A file that is written once, read any number of times, and removed. */
export class Spool {
	readonly #fileSystem: MaildirFileSystem;
	readonly #create: () => Promise<NewFile>;
	readonly #batches = new Batches((views) => this.#write(views));
	#file: NewFile | null = null;
	#size = 0; // bytes that were handed over
	#removal: Promise<void> | null = null;

	/** @param create - Makes the file, open for reading and writing. Called with the first write. */
	constructor(fileSystem: MaildirFileSystem, create: () => Promise<NewFile>) {
		this.#fileSystem = fileSystem;
		this.#create = create;
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
		this.#size += bytes.length;
		return this.#batches.add(bytes);
	}

	/** Resolves when everything is in the file. It rejects with a QueueError if that could not be. */
	end(): Promise<void> {
		return this.#batches.end();
	}

	/** Reads the file from its start into `block`, which each step fills anew. Throws the system's error. */
	async *read(block: Uint8Array): AsyncGenerator<Uint8Array> {
		if (this.#file === null)
			throw new UsageError("ERR_QMTP_ENDED", "read() before write() or after remove()");
		const { descriptor } = this.#file;
		for (let position = 0; position < this.#size; ) {
			const length = Math.min(block.length, this.#size - position);
			const read = await this.#fileSystem.read(descriptor, block, length, position);
			if (read === 0) throw new Error("the spool file is shorter than what was written to it");
			position += read;
			yield block.subarray(0, read);
		}
	}

	/** Removes the file when the write under way has ended. It does not reject, and may be called more than once. */
	remove(): Promise<void> {
		this.#removal ??= this.#remove();
		return this.#removal;
	}

	async #write(views: Uint8Array[]): Promise<void> {
		try {
			this.#file ??= await this.#create();
			await writeAll(this.#fileSystem, this.#file.descriptor, views);
		} catch (error) {
			throw queueError(error);
		}
	}

	async #remove(): Promise<void> {
		await this.#batches.stop();
		const file = this.#file;
		this.#file = null;
		if (file === null) return;
		await this.#fileSystem.close(file.descriptor).catch(ignore);
		await this.#fileSystem.unlink(file.path).catch(ignore); // else it is cleared away with the left-overs
	}
}

function ignore(): void {}
