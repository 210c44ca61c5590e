/**
 * Bytes on their way into a file that is slower than they come: one write is under way while the bytes for the next one
 * are gathered, so about two batches are held in memory, whatever there is to write.
 */

/** Writes what it is given, in batches, one after the other. */
export class Batches {
	readonly #write: (views: Uint8Array[]) => Promise<void>;
	#views: Uint8Array[] = []; // to be written next
	#bytes = 0; // in them
	#held = 0; // in them, and in the batch that is being written
	#writing: Promise<void> | null = null; // of the batch before; it does not reject
	#fault: unknown = null;
	#isStopped = false;

	/** @param write - Writes a batch, which is its own: it may change the array. What it throws is thrown by all that follows. */
	constructor(write: (views: Uint8Array[]) => Promise<void>) {
		this.#write = write;
	}

	/** Bytes in memory. */
	get heldBytes(): number {
		return this.#held;
	}

	/**
	 * Takes over the next bytes. A promise means that a batch is full and the one before it is still being written. The
	 * first call never gives one.
	 */
	add(bytes: Uint8Array): void | Promise<void> {
		if (this.#fault !== null) throw this.#fault;
		this.#views.push(bytes);
		this.#bytes += bytes.length;
		this.#held += bytes.length;
		if (this.#writing === null) this.#writing = this.#writeBatch();
		else if (this.#bytes >= BATCH_BYTES || this.#views.length >= BATCH_VIEWS) return this.#room();
	}

	/** Resolves when everything is written. */
	async end(): Promise<void> {
		while (this.#writing !== null) await this.#writing;
		if (this.#fault !== null) throw this.#fault;
	}

	/** Writes nothing more. Resolves when the write under way has ended; never rejects. */
	async stop(): Promise<void> {
		this.#isStopped = true;
		while (this.#writing !== null) await this.#writing;
		this.#views = [];
		this.#held = 0;
	}

	async #room(): Promise<void> {
		await this.#writing;
		if (this.#fault !== null) throw this.#fault;
	}

	async #writeBatch(): Promise<void> {
		const views = this.#views;
		const bytes = this.#bytes;
		this.#views = [];
		this.#bytes = 0;
		try {
			await this.#write(views);
		} catch (error) {
			this.#fault = error;
		}
		this.#held -= bytes;
		const hasMore = this.#views.length > 0 && this.#fault === null && !this.#isStopped;
		this.#writing = hasMore ? this.#writeBatch() : null;
	}
}

const BATCH_BYTES = 256 * 1024; // into a tmpfs, 1 MiB is a fifth faster and 64 KiB a quarter slower; a disk hides it
const BATCH_VIEWS = 1024; // as many as one writev takes; and each view may pin a chunk larger than itself
