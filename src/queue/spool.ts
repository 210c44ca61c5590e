/**
 * The subpath `qmtp/queue/spool`: a queue that keeps mail until it is delivered, in an LMDB database, and the source that
 * hands it out again. It needs the package lmdb.
 *
 * A message is one QMTP package. Bodies of up to 256 KiB are in the database, larger ones in files beside it.
 */
import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { QueueError } from "../errors.js";
import type { MessageInfo } from "../protocol/message-info.js";
import { onlyOptions, textOption, wholeNumberOption } from "../protocol/options.js";
import type { Delivery, Queue } from "./queue.js";
import type { Job, Source, TakeOptions } from "./source.js";
import { type DeliveryPlace, messageTooLarge, SpoolDelivery } from "./spool/delivery.js";
import { type SpoolChange, type SpooledMessage, type SpoolStats, spooledMessage } from "./spool/entry.js";
import { queueError } from "./spool/fault.js";
import { Jobs } from "./spool/jobs.js";
import { type OpenedSpool, openSpool } from "./spool/opened.js";
import { Room } from "./spool/room.js";
import type { SpoolStore } from "./spool/store.js";
import { isPlaceOf, type Place } from "./spool/tables.js";

export type { Delivery, Queue } from "./queue.js";
export type { Job, Source, TakeOptions } from "./source.js";
export type { SpoolChange, SpooledMessage, SpoolStats } from "./spool/entry.js";

/** Options of {@link spoolQueue}. */
export interface SpoolQueueOptions {
	/** The directory. It is made if it is missing, and so are the directories above it, all with mode 0700. */
	readonly path: string;
	/**
	 * The largest body, in bytes. A larger message gets D (#5.3.4).
	 * @defaultValue 1073741824 (1 GiB)
	 */
	readonly maxBytesPerMessage?: number;
	/**
	 * The most recipients of one message. Those beyond them get Z (#4.5.3).
	 * @defaultValue 10000
	 */
	readonly maxRecipients?: number;
	/**
	 * The bytes that all messages together may take. More get Z (#4.3.1). It is looked up once a second; what is stored
	 * in between by this process counts.
	 * @defaultValue Infinity
	 */
	readonly maxBytes?: number;
	/**
	 * The bytes that must stay free on the disk: a message that would leave less gets Z (#4.3.1). Not 0 by itself, since
	 * LMDB needs room to take a message out, too.
	 * @defaultValue 67108864 (64 MiB)
	 */
	readonly minFree?: number;
	/**
	 * How long after the death of a process the messages that it had taken are handed to others, in ms. A process that
	 * lives keeps them for as long as it needs, but must not stand still for that long.
	 * @defaultValue 60000
	 */
	readonly lease?: number;
	/**
	 * How often to look for messages that other processes stored, in ms. Those of this process are seen at once.
	 * @defaultValue 1000
	 */
	readonly poll?: number;
	/**
	 * The clock, in ms since 1970, for tests.
	 * @internal
	 */
	readonly now?: () => number;
}

/** A queue that keeps mail until it is delivered, and the source that hands it out. */
export interface SpoolQueue extends Queue, Source {
	/** The directory, as an absolute path. */
	readonly path: string;
	/**
	 * Opens the database, and removes what crashed deliveries left. It rejects with a `QueueError`, or with a UsageError
	 * `ERR_QMTP_PACKAGE` if the package lmdb is not installed.
	 */
	prepare(): Promise<void>;
	/** Hands out messages. See {@link Source.take}. */
	take(options?: TakeOptions): AsyncIterableIterator<Job>;
	/** The messages that are there, those that are due first coming first; what comes or goes meanwhile may be missing. */
	list(): AsyncIterableIterator<SpooledMessage>;
	/** One message, or undefined if there is none with that id. */
	find(id: string): Promise<SpooledMessage | undefined>;
	/** Makes a message due now, unless somebody has taken it. */
	retry(id: string): Promise<SpoolChange>;
	/** Removes a message, unless somebody has taken it. Nobody is told. */
	remove(id: string): Promise<SpoolChange>;
	/** How much there is. */
	stats(): Promise<SpoolStats>;
	/**
	 * Ends `take`, and closes the database when what is under way is stored. Deliveries and jobs must have ended: a job
	 * that was not settled comes again when its lease has run out.
	 */
	close(): Promise<void>;
}

/**
 * A queue that keeps messages until they are delivered.
 *
 * K is said when the message is in the database and that is synced to the disk. Messages that arrive together share the
 * sync. A larger body than 256 KiB is written to a file as it arrives, of which about 512 KiB are in memory at a time,
 * and the file and its name are synced before the database is. A sync that failed is not tried again: its messages get Z.
 *
 * Any number of processes of one machine may use one spool, some to put mail in and some to take it out; they must see
 * each other's process numbers, as containers by default do not, and the directory must not be on a network file system.
 *
 * Responses: K `ok <seconds since 1970> qp <id>`. Z (#4.3.1) when the disk or the spool is full, Z (#4.3.0) when it
 * cannot be written, Z (#4.5.3), D (#5.3.4), D (#5.1.3) and D (#5.1.7) by the limits.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if an option has no meaning.
 */
export function spoolQueue(options: SpoolQueueOptions): SpoolQueue {
	return new Spool(options);
}

class Spool implements SpoolQueue {
	readonly path: string;
	readonly #options: Required<SpoolQueueOptions>;
	#opening: Promise<OpenSpool> | null = null;
	#open: OpenSpool | null = null;
	#closed = false;

	constructor(options: SpoolQueueOptions) {
		onlyOptions(options, OPTIONS);
		const { maxBytes = Number.POSITIVE_INFINITY, now = Date.now } = options;
		this.path = resolve(textOption("path", options.path));
		this.#options = {
			path: this.path,
			maxBytesPerMessage: wholeNumberOption(
				"maxBytesPerMessage",
				options.maxBytesPerMessage ?? DEFAULT_MAX_BYTES,
				1,
			),
			maxRecipients: wholeNumberOption("maxRecipients", options.maxRecipients ?? DEFAULT_MAX_RECIPIENTS, 1),
			maxBytes: maxBytes === Number.POSITIVE_INFINITY ? maxBytes : wholeNumberOption("maxBytes", maxBytes, 0),
			minFree: wholeNumberOption("minFree", options.minFree ?? DEFAULT_MIN_FREE, 0),
			lease: wholeNumberOption("lease", options.lease ?? DEFAULT_LEASE_MS, 1, LONGEST_TIMER),
			poll: wholeNumberOption("poll", options.poll ?? DEFAULT_POLL_MS, 1, LONGEST_TIMER),
			now,
		};
	}

	async prepare(): Promise<void> {
		await this.#opened();
	}

	open(message: MessageInfo): Delivery | Promise<Delivery> {
		if (this.#closed) throw closing();
		const { id, length, exact } = message;
		const { maxBytesPerMessage } = this.#options;
		if (!ID.test(id)) throw new QueueError("ERR_QMTP_QUEUE", "message id cannot be stored (#5.3.0)");
		if (length !== undefined && exact && length > maxBytesPerMessage) throw messageTooLarge();
		const spool = this.#open;
		if (spool === null) return this.#openSlowly(message);
		const wait = spool.place.room.check(length ?? 0, false);
		if (wait === undefined) return new SpoolDelivery(spool.place, message);
		return wait.then(() => new SpoolDelivery(spool.place, message)).catch(throwQueueError);
	}

	async *take(options: TakeOptions = {}): AsyncIterableIterator<Job> {
		const concurrency = wholeNumberOption("concurrency", options.concurrency ?? DEFAULT_CONCURRENCY, 1);
		const { jobs } = await this.#opened();
		yield* jobs.take(options, concurrency);
	}

	async *list(): AsyncIterableIterator<SpooledMessage> {
		const { store } = await this.#opened();
		let after: Place | null = null;
		for (;;) {
			const keys = store.ids(after, LIST_AT_ONCE);
			for (const [due, id] of keys) {
				const message = spooledMessage(store, id, this.#options.now());
				if (message === undefined) continue;
				// A place that is not its own was that of another, which had the same id and was not stored.
				if (message.damage !== undefined || isPlaceOf(due, message.nextAttempt)) yield message;
			}
			if (keys.length === 0) return;
			after = keys.at(-1) as Place;
		}
	}

	async find(id: string): Promise<SpooledMessage | undefined> {
		const { store } = await this.#opened();
		return ID.test(id) ? spooledMessage(store, id, this.#options.now()) : undefined;
	}

	retry(id: string): Promise<SpoolChange> {
		return this.#change(id, (store, now) => store.retry(id, now));
	}

	remove(id: string): Promise<SpoolChange> {
		return this.#change(id, (store, now) => store.remove(id, now));
	}

	async stats(): Promise<SpoolStats> {
		const { store } = await this.#opened();
		const due = store.countDue(this.#options.now());
		return { messages: store.count(), due, bytes: store.usedBytes() };
	}

	async close(): Promise<void> {
		this.#closed = true;
		const opening = this.#opening;
		this.#opening = null;
		this.#open = null;
		const spool = await opening?.catch(() => null);
		spool?.jobs.close();
		await spool?.opened.close();
	}

	async #openSlowly(message: MessageInfo): Promise<Delivery> {
		await this.#opened();
		return await this.open(message);
	}

	async #change(
		id: string,
		change: (store: SpoolStore, now: number) => Promise<SpoolChange>,
	): Promise<SpoolChange> {
		const { store } = await this.#opened();
		if (!ID.test(id)) return "gone";
		try {
			return await change(store, this.#options.now());
		} catch (error) {
			throw queueError(error);
		}
	}

	async #opened(): Promise<OpenSpool> {
		if (this.#closed) throw closing();
		this.#opening ??= this.#openNow();
		try {
			const spool = await this.#opening;
			if (!this.#closed) this.#open = spool;
			return spool;
		} catch (error) {
			this.#opening = null; // the next message tries again
			throw queueError(error);
		}
	}

	async #openNow(): Promise<OpenSpool> {
		const { lease, poll, now } = this.#options;
		const opened = await openSpool(this.path);
		const { store } = opened;
		const jobs = new Jobs(store, { owner: randomUUID(), lease, poll, now });
		const room = new Room(store, this.#options);
		return { opened, store, jobs, place: { store, room, limits: this.#options, now } };
	}
}

/** What there is of a spool that is open. */
interface OpenSpool {
	readonly opened: OpenedSpool;
	readonly store: SpoolStore;
	readonly jobs: Jobs;
	readonly place: DeliveryPlace;
}

function closing(): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "mail system is closing (#4.3.2)");
}

function throwQueueError(error: unknown): never {
	throw queueError(error);
}

const OPTIONS = [
	"path",
	"maxBytesPerMessage",
	"maxRecipients",
	"maxBytes",
	"minFree",
	"lease",
	"poll",
	"now",
];
const ID = /^\d{1,100}$/; // as servers make them, and as file names and keys can hold them
const DEFAULT_MAX_BYTES = 1024 ** 3;
const DEFAULT_MAX_RECIPIENTS = 10_000;
const DEFAULT_MIN_FREE = 64 * 1024 ** 2;
const DEFAULT_LEASE_MS = 60_000;
const DEFAULT_POLL_MS = 1000;
const DEFAULT_CONCURRENCY = 20;
const LONGEST_TIMER = 2 ** 31 - 1;
const LIST_AT_ONCE = 1000;
