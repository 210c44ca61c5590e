/**
 * One confirm channel, for publishes to one queue, and what became of each of them. One queue confirms in the order of
 * its publishes, near enough for amqplib's list of unconfirmed ones to stay short: with several on one channel it grows
 * without an end.
 *
 * A publish that the broker cannot route comes back before its confirm, and is confirmed all the same; so each has a mark
 * of its own, by which it is known when it comes back.
 */
import type { ConfirmChannel, Message } from "amqplib";
import type { QueueError } from "../../errors.js";
import { brokerError, messageTooLarge } from "./fault.js";
import type { MessageProperties } from "./message.js";

/** How a channel is used. */
export interface ConfirmSettings {
	readonly queue: string;
	/** For a confirm, in ms. */
	readonly timeout: number;
	/** After how many publishes another channel should take over. */
	readonly publishes: number;
	/** Why the connection ended, if it did. */
	readonly fault: () => Error | null;
	/** Told when the broker says how large a message may be. */
	readonly onLargest: (bytes: number) => void;
}

/** A confirm channel. */
export class Confirms {
	readonly #channel: ConfirmChannel;
	readonly #settings: ConfirmSettings;
	readonly #inFlight = new Map<string, Publish>(); // by mark, in the order of their publishes
	#waiting: Publish[] = []; // until amqplib has written what it has
	#count = 0;
	#full = false;
	#late = false;
	#retired = false;
	#closed = false;
	#fault: Error | null = null;

	constructor(channel: ConfirmChannel, settings: ConfirmSettings) {
		this.#channel = channel;
		this.#settings = settings;
		channel.on("return", (message) => this.#returned(message));
		channel.on("drain", () => this.#drain());
		channel.on("error", (error) => {
			this.#fault = error; // it is told with "close", which follows
		});
		channel.on("close", () => this.#end());
	}

	/** True if it can publish no more. */
	get closed(): boolean {
		return this.#closed;
	}

	/** True if another should take over: it has done enough, or a confirm did not come, so that it might not forget that one. */
	get isWorn(): boolean {
		return this.#late || this.#count >= this.#settings.publishes;
	}

	/** Resolves when the broker has confirmed it. @param mark - What no other publish of this connection has. */
	publish(mark: string, body: Buffer, properties: MessageProperties): Promise<void> {
		if (this.#closed) return Promise.reject(brokerError("notSent", this.#fault ?? undefined));
		return new Promise((resolve, reject) => {
			const deadline = setTimeout(() => this.#tooLate(mark), this.#settings.timeout);
			const size = body.length;
			const publish = { mark, body, properties, size, returned: false, deadline, resolve, reject };
			this.#inFlight.set(mark, publish);
			this.#count++;
			if (this.#full) this.#waiting.push(publish);
			else this.#send(publish);
		});
	}

	/** Closes it when all that is under way has come to its end. */
	retire(): void {
		this.#retired = true;
		this.#closeWhenDone();
	}

	#send(publish: Publish): void {
		const { mark, body, properties } = publish;
		if (body === null) return; // its time was up meanwhile
		publish.body = null; // what follows holds the publish, but need not hold the message
		const options = { ...properties, persistent: true, mandatory: true, correlationId: mark };
		try {
			this.#full = !this.#channel.publish("", this.#settings.queue, body, options, (error) =>
				this.#confirmed(mark, error),
			);
		} catch (cause) {
			this.#settle(mark, brokerError("notSent", cause));
		}
	}

	/** Writes what waited. amqplib would take it at any time, and keep a second copy of it. */
	#drain(): void {
		this.#full = false;
		let sent = 0;
		while (!this.#full && sent < this.#waiting.length) this.#send(this.#waiting[sent++] as Publish);
		this.#waiting.splice(0, sent);
	}

	#returned({ properties }: Message): void {
		const publish = this.#inFlight.get(properties.correlationId);
		if (publish !== undefined) publish.returned = true;
	}

	#confirmed(mark: string, error: Error | null): void {
		if (error === null) {
			const returned = this.#inFlight.get(mark)?.returned === true;
			this.#settle(mark, returned ? brokerError("returned") : null);
		} else if (error.message === NACKED) {
			this.#settle(mark, brokerError("refused"));
		} // else the channel ends, and #end settles all that are under way
	}

	#tooLate(mark: string): void {
		const publish = this.#inFlight.get(mark);
		if (publish === undefined) return;
		const wasSent = publish.body === null;
		publish.body = null;
		if (wasSent) this.#late = true;
		this.#settle(mark, brokerError(wasSent ? "unconfirmed" : "notSent"));
	}

	#settle(mark: string, error: QueueError | null): void {
		const publish = this.#inFlight.get(mark);
		if (publish === undefined) return; // its time was up
		this.#inFlight.delete(mark);
		clearTimeout(publish.deadline);
		if (error === null) publish.resolve();
		else publish.reject(error);
		this.#closeWhenDone();
	}

	#end(): void {
		this.#closed = true;
		const largest = this.#largest();
		const cause = this.#fault ?? this.#settings.fault() ?? undefined;
		for (const [mark, { body, size }] of this.#inFlight) {
			if (size > largest) this.#settle(mark, messageTooLarge());
			else this.#settle(mark, brokerError(body === null ? "lost" : "notSent", cause));
		}
		this.#waiting = [];
	}

	/** How large a message may be, if it is for one that was larger that the broker has closed the channel. */
	#largest(): number {
		const [, largest] = TOO_LARGE.exec(this.#fault?.message ?? "") ?? [];
		if (largest === undefined) return Number.POSITIVE_INFINITY;
		this.#settings.onLargest(Number(largest));
		return Number(largest);
	}

	#closeWhenDone(): void {
		if (!this.#retired || this.#closed || this.#inFlight.size > 0) return;
		this.#closed = true;
		this.#channel.close().catch(() => {}); // the connection has ended, and the channel with it
	}
}

/** One publish. */
interface Publish {
	readonly mark: string;
	body: Buffer | null; // null: amqplib has it, or nobody needs it any more
	readonly properties: MessageProperties;
	readonly size: number;
	returned: boolean;
	readonly deadline: NodeJS.Timeout;
	readonly resolve: () => void;
	readonly reject: (error: QueueError) => void;
}

const NACKED = "message nacked"; // amqplib's word for it, the same error being used for a channel that ends
const TOO_LARGE = /message size \d+ .*larger than .*?(\d+)/;
