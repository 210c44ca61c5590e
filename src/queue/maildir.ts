/**
 * The subpath `qmtp/queue/maildir`: a queue that stores mail in a maildir, one file for each recipient, as serialmail's
 * maildirserial and serialqmtp send it on; and a source that hands such mail out to a relay.
 *
 * A file is `Return-Path: <SENDER>`, `Delivered-To: RECIPIENT`, each with its LF, and the message. Sources:
 * D. J. Bernstein, "Using maildir format", and serialqmtp.c of serialmail 0.75.
 */
import { hostname as osHostname } from "node:os";
import { resolve } from "node:path";
import { QueueError } from "../errors.js";
import type { MessageInfo } from "../protocol/message-info.js";
import { textOption, wholeNumberOption } from "../protocol/options.js";
import {
	type DeliveryLimits,
	LARGEST_IN_MEMORY,
	MaildirDelivery,
	messageTooLarge,
} from "./maildir/delivery.js";
import { NO_SPACE, queueError } from "./maildir/fault.js";
import { type MaildirFileSystem, nodeFileSystem } from "./maildir/file-system.js";
import { encodeHost } from "./maildir/name.js";
import { MaildirStore } from "./maildir/store.js";
import type { Delivery, Queue } from "./queue.js";

export { type MaildirSource, type MaildirSourceOptions, maildirSource } from "./maildir/source.js";
export type { Job, Source, TakeOptions } from "./source.js";

/** Options of {@link maildirQueue}. */
export interface MaildirQueueOptions {
	/** The maildir. It is made if it is missing, and so are the directories above it, all with mode 0700. */
	readonly path: string;
	/**
	 * The most copies of one message. Recipients beyond them get Z (#4.5.3).
	 * @defaultValue 100
	 */
	readonly maxCopies?: number;
	/**
	 * The most bytes that all copies of one message take. As many recipients as fit get theirs, the rest gets Z (#4.5.3).
	 * A message that is larger than this by itself gets D (#5.3.4), since trying again cannot help.
	 * @defaultValue 1073741824 (1 GiB)
	 */
	readonly maxBytesPerMessage?: number;
	/**
	 * The bytes that must stay free on the disk. A message that would leave less gets Z (#4.3.1): at its declared length,
	 * reckoned for one recipient, and once more when its recipients are known. Messages that arrive at the same time do
	 * not see each other, so leave room for as many as there may be.
	 * @defaultValue not checked
	 */
	readonly minFree?: number;
	/**
	 * This host in the names of files. Hosts that share the maildir need different names, and so do containers that do
	 * not see each other's processes.
	 * @defaultValue `os.hostname()`
	 */
	readonly hostname?: string;
	/**
	 * The system calls, for tests.
	 * @internal
	 */
	readonly fileSystem?: MaildirFileSystem;
}

/** A queue that stores mail in a maildir. */
export interface MaildirQueue extends Queue {
	/** The maildir, as an absolute path. */
	readonly path: string;
	/** Makes the directories that are missing, and clears tmp/ of left-overs. */
	prepare(): Promise<void>;
	/** Waits for the clearing of tmp/ if that is under way. Deliveries under way must have ended. */
	close(): Promise<void>;
}

/**
 * A queue that stores each message in a maildir, once for each recipient.
 *
 * K is said when the copy is whole, named, and synced to the disk with its name; so mail that was acknowledged survives
 * a crash, and what survives without having been acknowledged is a duplicate at worst. Messages that arrive together
 * share the sync of the directory. An fsync that failed is not tried again: its messages get Z and are removed.
 *
 * A body of up to 256 KiB is kept in memory until it is stored. A larger one goes to a file in tmp/ as it arrives, of
 * which about 512 KiB are in memory at a time, and is copied from there; so while it is stored it takes the disk's room
 * once more.
 *
 * Responses: K `ok <seconds since 1970> qp <id>`. D (#5.1.3) for a recipient, and D (#5.1.7) for all if the sender, holds
 * an LF, a CR or a NUL. Z (#4.3.1) when the disk is full, Z (#4.3.0) when the maildir is missing or not writable, and Z
 * (#4.5.3) or D (#5.3.4) by the limits. If only faults of the disk kept every copy from being stored, `commit` rejects
 * with a `QueueError` whose `cause` is the first of them.
 *
 * Left-overs in tmp/ are removed when the first message comes, and hourly while messages come: those of processes of
 * this host that have ended, and those that nobody has touched for 36 hours.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if an option has no meaning.
 */
export function maildirQueue(options: MaildirQueueOptions): MaildirQueue {
	return new Maildir(options);
}

class Maildir implements MaildirQueue {
	readonly path: string;
	readonly #store: MaildirStore;
	readonly #limits: DeliveryLimits;
	#closed = false;

	constructor(options: MaildirQueueOptions) {
		const { path, hostname = osHostname(), fileSystem = nodeFileSystem } = options;
		this.#limits = {
			maxCopies: wholeNumberOption("maxCopies", options.maxCopies ?? DEFAULT_MAX_COPIES, 1),
			maxBytesPerMessage: wholeNumberOption(
				"maxBytesPerMessage",
				options.maxBytesPerMessage ?? DEFAULT_MAX_BYTES,
				1,
			),
			minFree: options.minFree === undefined ? undefined : wholeNumberOption("minFree", options.minFree, 0),
		};
		this.path = resolve(textOption("path", path));
		this.#store = new MaildirStore(fileSystem, this.path, encodeHost(textOption("hostname", hostname)));
	}

	async prepare(): Promise<void> {
		try {
			await this.#store.prepare();
		} catch (error) {
			throw queueError(error);
		}
	}

	open(message: MessageInfo): Delivery | Promise<Delivery> {
		if (this.#closed) throw new QueueError("ERR_QMTP_QUEUE", "mail system is closing (#4.3.2)");
		const { length, exact } = message;
		if (length !== undefined && exact && length > this.#limits.maxBytesPerMessage) throw messageTooLarge();
		const wait = this.#store.prepare();
		if (wait !== undefined || this.#limits.minFree !== undefined) return this.#openSlowly(message, wait);
		return new MaildirDelivery(this.#store, message, this.#limits);
	}

	async close(): Promise<void> {
		this.#closed = true;
		await this.#store.settled();
	}

	async #openSlowly(message: MessageInfo, wait: Promise<void> | undefined): Promise<Delivery> {
		const { minFree } = this.#limits;
		try {
			await wait;
			if (minFree !== undefined) {
				const length = message.length ?? 0;
				const needed = length > LARGEST_IN_MEMORY ? 2 * length : length; // in tmp/, and in new/
				if ((await this.#store.freeBytes()) - needed < minFree) {
					throw new QueueError("ERR_QMTP_QUEUE_FULL", NO_SPACE);
				}
			}
		} catch (error) {
			throw queueError(error);
		}
		return new MaildirDelivery(this.#store, message, this.#limits);
	}
}

const DEFAULT_MAX_COPIES = 100;
const DEFAULT_MAX_BYTES = 1024 * 1024 * 1024;
