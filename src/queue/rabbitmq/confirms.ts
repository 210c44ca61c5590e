/**
 * One confirm channel, for publishes to one queue, and what became of each of them. One queue confirms in the order of
 * its publishes, near enough for amqplib's list of unconfirmed ones to stay short: with several on one channel it grows
 * without an end.
 *
 * A publish that the broker cannot route comes back before its confirm, and is confirmed all the same; so each has a mark
 * of its own, by which it is known when it comes back.
 *
 * amqplib copies what it is given, and keeps that until the socket takes it, however much it is: it says "full" after 1024
 * frames, which may have 128 KiB each, and has room for as many again behind them. So no more than 16 MiB, or one message,
 * are with it that the broker has not confirmed. What comes then waits here, until its deadline; and when one has waited
 * for so long and nothing moved, those that follow fail at once, until something moves.
 */
import type { ConfirmChannel, Message } from "amqplib";
import type { QueueError } from "../../errors.js";
import { brokerError, messageTooLarge } from "./fault.js";
import type { MessageProperties } from "./message.js";

/** How a channel is used. */
export interface ConfirmSettings {
	readonly queue: string;
	/** How long a publish may take, in ms. */
	readonly timeout: number;
	/** After how many publishes another channel should take over. */
	readonly publishes: number;
	/** Why the connection ended, if it did. */
	readonly fault: () => Error | null;
	/** Told when the broker says how large a message may be. */
	readonly onLargest: (bytes: number) => void;
	/** Told when a publish came back. */
	readonly onReturned: () => void;
}

/** A confirm channel. */
export class Confirms {
	readonly #channel: ConfirmChannel;
	readonly #settings: ConfirmSettings;
	readonly #inFlight = new Map<string, Publish>(); // by mark, in the order of their publishes
	readonly #waiting = new Map<string, Publish>(); // by mark, until amqplib may have more
	#count = 0;
	#written = 0; // of them to amqplib
	#bytes = 0; // with amqplib or the broker, and not confirmed
	#full = false; // as amqplib says
	#stalled = false;
	#late = false;
	#retired = false;
	#closed = false;
	#fault: Error | null = null;

	constructor(channel: ConfirmChannel, settings: ConfirmSettings) {
		this.#channel = channel;
		this.#settings = settings;
		// Before amqplib's own, which would take any number. What is thrown here ends the connection.
		channel.prependListener("ack", (fields) => this.#checkTag(fields));
		channel.prependListener("nack", (fields) => this.#checkTag(fields));
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

	/**
	 * Resolves when the broker has confirmed it. No closure here may use the body: it would keep it until the confirm.
	 *
	 * @param mark - What no other publish of this connection has.
	 * @param deadline - By the clock of `performance.now`.
	 */
	publish(mark: string, { body, properties }: Content, deadline: number): Promise<void> {
		if (this.#closed) return Promise.reject(brokerError("notSent", this.#fault ?? undefined));
		if (this.#stalled) return Promise.reject(brokerError("notSent", new Error("the connection has stalled")));
		const publish = new Publish(mark, body, properties);
		publish.writtenBefore = this.#written;
		const left = Math.max(0, deadline - performance.now());
		publish.timer = setTimeout(() => this.#tooLate(mark), left);
		this.#inFlight.set(mark, publish);
		this.#count++;
		if (this.#isFull) this.#waiting.set(mark, publish);
		else this.#send(publish);
		return publish.done;
	}

	/** Closes it when all that is under way has come to its end. */
	retire(): void {
		this.#retired = true;
		this.#closeWhenDone();
	}

	get #isFull(): boolean {
		return this.#full || this.#bytes >= MOST_BYTES;
	}

	#send(publish: Publish): void {
		const { mark, body, properties, size } = publish;
		if (body === null) return;
		publish.body = null; // what follows holds the publish, but need not hold the message
		const options = { ...properties, persistent: true, mandatory: true, correlationId: mark };
		this.#bytes += size;
		try {
			this.#full = !this.#channel.publish("", this.#settings.queue, body, options, (error) => {
				this.#bytes -= size;
				this.#confirmed(mark, error);
				const isEnd = error !== null && error.message !== NACKED;
				if (!isEnd && !this.#isFull) this.#sendWaiting();
			});
			this.#written++;
		} catch (cause) {
			this.#bytes -= size;
			this.#settle(mark, brokerError("notSent", cause));
			if ((cause as Error).name === ILLEGAL) this.#gone(cause);
		}
	}

	#drain(): void {
		this.#full = false;
		if (!this.#isFull) this.#sendWaiting();
	}

	#sendWaiting(): void {
		this.#stalled = false;
		for (const [mark, publish] of this.#waiting) {
			if (this.#isFull || this.#closed) return;
			this.#waiting.delete(mark);
			this.#send(publish);
		}
	}

	/** amqplib is closing it, which it tells of only when the broker has answered. What was sent may still be confirmed. */
	#gone(cause: unknown): void {
		this.#closed = true;
		for (const mark of [...this.#waiting.keys()]) this.#settle(mark, brokerError("notSent", cause));
	}

	#checkTag({ deliveryTag }: { readonly deliveryTag: number }): void {
		if (deliveryTag >= 1 && deliveryTag <= this.#written) return;
		throw new Error("the broker confirmed what was not published");
	}

	#returned({ properties }: Message): void {
		const publish = this.#inFlight.get(properties.correlationId);
		if (publish === undefined) return;
		publish.returned = true;
		this.#settings.onReturned();
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
		if (wasSent) this.#late = true;
		else if (this.#written === publish.writtenBefore && publish.waited >= this.#settings.timeout / 2)
			this.#stalled = true;
		this.#settle(mark, brokerError(wasSent ? "unconfirmed" : "notSent"));
	}

	#settle(mark: string, error: QueueError | null): void {
		const publish = this.#inFlight.get(mark);
		if (publish === undefined) return; // its time was up
		this.#inFlight.delete(mark);
		this.#waiting.delete(mark);
		publish.body = null;
		clearTimeout(publish.timer);
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

/** What is published. */
interface Content {
	readonly body: Buffer;
	readonly properties: MessageProperties;
}

/** One publish. */
class Publish {
	readonly mark: string;
	body: Buffer | null; // null: amqplib has it, or nobody needs it any more
	readonly properties: MessageProperties;
	readonly size: number;
	readonly done: Promise<void>;
	returned = false;
	timer: NodeJS.Timeout | undefined;
	writtenBefore = 0; // by the channel
	resolve!: () => void;
	reject!: (error: QueueError) => void;
	readonly #at = performance.now();

	constructor(mark: string, body: Buffer, properties: MessageProperties) {
		this.mark = mark;
		this.body = body;
		this.properties = properties;
		this.size = body.length;
		this.done = new Promise((resolve, reject) => {
			this.resolve = resolve;
			this.reject = reject;
		});
	}

	/** In ms. */
	get waited(): number {
		return performance.now() - this.#at;
	}
}

const MOST_BYTES = 16 * 1024 ** 2;
const NACKED = "message nacked"; // amqplib's word for it, the same error being used for a channel that ends
const ILLEGAL = "IllegalOperationError"; // what amqplib's closed and closing channels throw
const TOO_LARGE = /message size \d+ .*larger than .*?(\d+)/;
