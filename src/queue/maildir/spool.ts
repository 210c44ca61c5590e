/**
 * The body of a large message in a file of tmp/, while its recipients are not known. One write is under way while the
 * bytes for the next one are gathered, so it holds about two batches in memory, whatever the size of the body.
 */
import { UsageError } from "../../errors.js";
import { queueError } from "./fault.js";
import { type MaildirFileSystem, writeAll } from "./file-system.js";
import type { NewFile } from "./new-file.js";

/** A file that is written once, read any number of times, and removed. */
export class Spool {
	readonly #fileSystem: MaildirFileSystem;
	readonly #create: () => Promise<NewFile>;
	#file: NewFile | null = null;
	#size = 0; // bytes that were handed over
	#batch: Uint8Array[] = []; // to be written next
	#batchSize = 0;
	#held = 0; // bytes of the batch, and of the one that is being written
	#writing: Promise<void> | null = null; // of the batch before; it does not reject
	#fault: Error | null = null;
	#removal: Promise<void> | null = null;

	/** @param create - Makes the file, open for reading and writing. Called with the first write. */
	constructor(fileSystem: MaildirFileSystem, create: () => Promise<NewFile>) {
		this.#fileSystem = fileSystem;
		this.#create = create;
	}

	/** Bytes in memory. */
	get heldBytes(): number {
		return this.#held;
	}

	/**
	 * Takes over the next bytes. A promise means that a batch is full and the one before it is still being written.
	 *
	 * @throws QueueError if the file could not be written; the promise rejects with it too.
	 */
	write(bytes: Uint8Array): void | Promise<void> {
		if (this.#fault !== null) throw this.#fault;
		this.#batch.push(bytes);
		this.#batchSize += bytes.length;
		this.#held += bytes.length;
		this.#size += bytes.length;
		if (this.#writing === null) this.#writing = this.#writeBatch();
		else if (this.#batchSize >= BATCH_BYTES || this.#batch.length >= BATCH_VIEWS) return this.#room();
	}

	/** Resolves when everything is in the file. It rejects with a QueueError if that could not be. */
	async end(): Promise<void> {
		while (this.#writing !== null) await this.#writing;
		if (this.#fault !== null) throw this.#fault;
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

	async #room(): Promise<void> {
		await this.#writing;
		if (this.#fault !== null) throw this.#fault;
	}

	async #writeBatch(): Promise<void> {
		const views = this.#batch;
		const bytes = this.#batchSize;
		this.#batch = [];
		this.#batchSize = 0;
		try {
			this.#file ??= await this.#create();
			await writeAll(this.#fileSystem, this.#file.descriptor, views);
		} catch (error) {
			this.#fault = queueError(error);
		}
		this.#held -= bytes;
		const more = this.#batch.length > 0 && this.#fault === null && this.#removal === null;
		this.#writing = more ? this.#writeBatch() : null;
	}

	async #remove(): Promise<void> {
		while (this.#writing !== null) await this.#writing;
		const file = this.#file;
		this.#file = null;
		this.#batch = [];
		this.#held = 0;
		if (file === null) return;
		await this.#fileSystem.close(file.descriptor).catch(ignore);
		await this.#fileSystem.unlink(file.path).catch(ignore); // else it is cleared away with the left-overs
	}
}

function ignore(): void {}

const BATCH_BYTES = 256 * 1024; // into a tmpfs, 1 MiB is a fifth faster and 64 KiB a quarter slower; a disk hides it
const BATCH_VIEWS = 1024; // as many as one writev takes; and each view may pin a chunk larger than itself
