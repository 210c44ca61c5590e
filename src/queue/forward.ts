/** The subpath `qmtp/queue/forward`: a queue that is the next hop. Nothing stays here. */
import { QueueError } from "../errors.js";
import type { MessageInfo } from "../protocol/message-info.js";
import { queueError } from "./forward/failure.js";
import { LoopGuard } from "./forward/loop-guard.js";
import { Memory } from "./forward/memory.js";
import type { NextHop } from "./forward/next-hop.js";
import { type ForwardQueueOptions, type ForwardSettings, forwardSettings } from "./forward/options.js";
import type { PackageConnection } from "./forward/package-connection.js";
import { QmtpHop } from "./forward/qmtp-hop.js";
import { SmtpHop } from "./forward/smtp-hop.js";
import { StoredDelivery } from "./forward/stored-delivery.js";
import { StreamedDelivery, type StreamedDeliveryContext } from "./forward/streamed-delivery.js";
import type { Delivery, Queue } from "./queue.js";

export type { ForwardLimits, ForwardQueueOptions } from "./forward/options.js";

/** A queue that hands messages on. */
export interface ForwardQueue extends Queue {
	/** What the next hop speaks. */
	readonly protocol: "qmtp" | "smtp";
	/** Its name or address. */
	readonly host: string;
	/** Its port. */
	readonly port: number;
	/** Loads what the next hop's protocol needs. It does not ask whether the next hop is there. */
	prepare(): Promise<void>;
	/** Takes no more messages, waits for the commits under way, and closes the connections. */
	close(): Promise<void>;
}

/**
 * A queue that hands each message to another host, and answers what that host answers, for each recipient.
 *
 * To a QMTP next hop, a message of up to 256 KiB is held in memory until it is whole, and then goes out on one connection
 * that all of them share. A larger one goes out while it arrives, on a connection of its own, and is not stored; but one
 * whose length is not known before its end, or for which no connection is free, is stored until then, in a file above 256
 * KiB. To an SMTP next hop all messages are stored like this. So nobody waits for another's slow sender. A connection that
 * is left idle is closed.
 *
 * Without an answer a recipient gets Z: (#4.4.1) if there was no connection, (#4.4.2) if it ended before the answer or
 * took too long, (#4.3.0) if the next hop answered nonsense, or not each recipient. `open`, `write` or `commit` reject
 * with a `QueueError`, whose `cause` says what happened, if surely nobody has got the message. A message with too many
 * Received fields gets D (#5.4.6), a recipient that its address encoding cannot express D (#5.1.3).
 *
 * @throws UsageError `ERR_QMTP_OPTION` for an option that does not exist or has no meaning.
 */
export function forwardQueue(options: ForwardQueueOptions): ForwardQueue {
	return new ForwardingQueue(forwardSettings(options));
}

class ForwardingQueue implements ForwardQueue {
	readonly lines: "lf" | "as-sent";
	readonly protocol: "qmtp" | "smtp";
	readonly host: string;
	readonly port: number;
	readonly #settings: ForwardSettings;
	readonly #hop: NextHop;
	readonly #streams: QmtpHop | null; // the same, if large messages need not be stored
	readonly #memory: Memory;
	readonly #largestHeld: number;
	readonly #commits = new Set<Promise<unknown>>();
	#closing: Promise<void> | null = null;

	constructor(settings: ForwardSettings) {
		const { protocol, host, port, transmit, maxRecipientsPerPackage, limits } = settings;
		this.#settings = settings;
		this.protocol = protocol;
		this.host = host;
		this.port = port;
		this.lines = transmit;
		const hop = protocol === "qmtp" ? new QmtpHop(settings) : new SmtpHop(settings);
		this.#hop = hop;
		const splits = maxRecipientsPerPackage !== Number.POSITIVE_INFINITY;
		this.#streams = hop instanceof QmtpHop && !splits ? hop : null;
		this.#memory = new Memory(limits.memory);
		this.#largestHeld = Math.min(LARGEST_HELD, limits.memory);
	}

	async prepare(): Promise<void> {
		try {
			await this.#hop.prepare();
		} catch (error) {
			throw queueError(error);
		}
	}

	open(message: MessageInfo): Delivery | Promise<Delivery> {
		if (this.#closing !== null) throw closing();
		const { length, received = 0 } = message;
		const total = length === undefined ? Number.POSITIVE_INFINITY : length + received;
		const known = message.exact && total !== Number.POSITIVE_INFINITY;
		if (known && total > this.#largestHeld && this.#streams !== null) {
			const connecting = this.#streams.connect();
			if (connecting !== null) return this.#stream(connecting, message, total);
		}
		// Who finds no room in memory, or no connection, is stored in a file: it must not wait for a sender that is slow.
		const wanted = Math.min(total, this.#largestHeld);
		return this.#store(message, this.#memory.take(wanted) ? wanted : 0);
	}

	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #stream(
		connecting: Promise<PackageConnection>,
		message: MessageInfo,
		length: number,
	): Promise<Delivery> {
		try {
			const connection = await connecting;
			if (this.#closing === null) {
				return new StreamedDelivery(message, { connection, length, ...this.#aspects(message) });
			}
			connection.destroy();
			throw closing();
		} catch (error) {
			throw queueError(error);
		}
	}

	#store(message: MessageInfo, room: number): Delivery {
		const ended = () => this.#memory.give(room);
		if (this.#closing === null) {
			return new StoredDelivery(message, { hop: this.#hop, room, ended, ...this.#aspects(message) });
		}
		ended();
		throw closing();
	}

	#aspects({ encoding, received = 0 }: MessageInfo): Aspects {
		return {
			guard: new LoopGuard(this.#settings.maxReceived, received),
			encoding: this.lines === "as-sent" ? encoding : "lf",
			track: this.#track,
		};
	}

	readonly #track = <T>(commit: Promise<T>): Promise<T> => {
		this.#commits.add(commit);
		const done = () => this.#commits.delete(commit);
		commit.then(done, done);
		return commit;
	};

	async #close(): Promise<void> {
		await Promise.allSettled(this.#commits);
		await this.#hop.close();
	}
}

/** What both kinds of deliveries need. */
type Aspects = Pick<StreamedDeliveryContext, "guard" | "encoding" | "track">;

function closing(): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "mail system is closing (#4.3.2)");
}

// Above it a connection for one message costs little beside the message; below it memory for many costs little.
const LARGEST_HELD = 256 * 1024;
