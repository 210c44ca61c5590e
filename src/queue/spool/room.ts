/**
 * How much more a spool may take. The disk is asked once a second at most; in between, what was stored since counts, so
 * that messages that come together see each other.
 */
import { statfs } from "node:fs/promises";
import { QueueError } from "../../errors.js";
import { NO_SPACE } from "./fault.js";
import type { SpoolStore } from "./store.js";

/** The bounds of a spool, in bytes. */
export interface RoomLimits {
	/** What must stay free on the disk. */
	readonly minFree: number;
	/** What the messages may take. */
	readonly maxBytes: number;
}

/** The room that is left. */
export class Room {
	readonly #store: SpoolStore;
	readonly #limits: RoomLimits;
	#free = 0; // on the disk
	#left = 0; // of what the messages may take
	#askedAt = Number.NEGATIVE_INFINITY; // by the monotonic clock, in ms
	#asking: Promise<void> | null = null;

	constructor(store: SpoolStore, limits: RoomLimits) {
		this.#store = store;
		this.#limits = limits;
	}

	/**
	 * Makes sure that there is room for so many bytes.
	 *
	 * @param onDisk - How many of them the disk has not got yet.
	 * @param reserve - Take them: the next call finds that much less.
	 * @returns A promise if the disk must be asked. @throws QueueError `ERR_QMTP_QUEUE_FULL`; the promise rejects with it too,
	 * or with the system's error.
	 */
	check(bytes: number, reserve: boolean, onDisk: number = bytes): void | Promise<void> {
		if (performance.now() - this.#askedAt > INTERVAL_MS) return this.#checkSlowly(bytes, reserve, onDisk);
		if (bytes > this.#left || onDisk > this.#free) throw new QueueError("ERR_QMTP_QUEUE_FULL", NO_SPACE);
		if (!reserve) return;
		this.#left -= bytes;
		this.#free -= onDisk;
	}

	async #checkSlowly(bytes: number, reserve: boolean, onDisk: number): Promise<void> {
		this.#asking ??= this.#ask().finally(() => {
			this.#asking = null;
		});
		await this.#asking;
		await this.check(bytes, reserve, onDisk);
	}

	async #ask(): Promise<void> {
		const { minFree, maxBytes } = this.#limits;
		const { bavail, bsize } = await statfs(this.#store.bodies.path);
		this.#free = bavail * bsize - minFree;
		this.#left = maxBytes - this.#store.usedBytes();
		this.#askedAt = performance.now();
	}
}

const INTERVAL_MS = 1000;
