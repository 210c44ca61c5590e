/**
 * One AMQP channel over which messages come in, for several that take them. What the broker may push is the prefetch count
 * of a consumer: quorum queues know no other bound, and a consumer's cannot be changed. So consumers come and go with what
 * is wanted; messages of one that was cancelled stay here, and are acked as if it were still there.
 *
 * AMQP does not answer acks. After some of them a call is made that the broker answers in turn, so it has read them.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Channel, ChannelModel, ConsumeMessage } from "amqplib";
import { Arrival, type ArrivalChannel } from "./arrival.js";
import { limitContent } from "./content-limit.js";

/** What comes in, and who gets it. */
export interface InboundSettings {
	readonly queue: string;
	/** The largest body that is taken in now, in bytes. */
	readonly mostBytes: () => number;
}

/** One who takes messages. */
export interface Tap {
	/** How many of its messages may be here without having been acked. */
	readonly wanted: number;
	onArrival(arrival: Arrival): void;
}

/** A channel with consumers. It closes itself when nothing is wanted and nothing of it is here. */
export class Inbound implements ArrivalChannel {
	/** Resolves when it has gone: with the reason, or null if it was closed from here. It never rejects. */
	readonly ended: Promise<Error | null>;
	/** Whether a message has come. */
	isUsed = false;
	readonly #channel: Channel;
	readonly #settings: InboundSettings;
	readonly #consumers = new Map<Tap, TapConsumers>();
	readonly #cancelled: string[] = []; // their tags
	#open = true;
	#closing = false;
	#reason: Error | null = null;
	#adjusting: Promise<void> | null = null;
	#here = 0; // messages
	#lastCall: Promise<unknown> = Promise.resolve();
	#quiet: Promise<void> | null = null; // until then no acks are sent
	#busyAt = 0; // when something came, or was acked
	#ackedAt = Number.NEGATIVE_INFINITY;
	#unusedSince = 0;
	#closingLater: NodeJS.Timeout | null = null;
	#nextCall: Promise<void> | null = null; // the one that will tell of the latest acks

	private constructor(channel: Channel, settings: InboundSettings) {
		this.#channel = channel;
		this.#settings = settings;
		limitContent(channel, settings.mostBytes);
		channel.on("error", (error) => {
			this.#reason ??= error; // "close" follows
		});
		this.ended = new Promise((resolve) => {
			channel.on("close", () => {
				this.#open = false;
				if (this.#closingLater !== null) clearTimeout(this.#closingLater);
				resolve(this.#closing ? this.#reason : (this.#reason ?? new Error("the channel was closed")));
			});
		});
	}

	static async open(model: ChannelModel, settings: InboundSettings): Promise<Inbound> {
		return new Inbound(await model.createChannel(), settings);
	}

	get isOpen(): boolean {
		return this.#open && !this.#closing;
	}

	/** What a tap wants is another number than before. */
	changed(tap: Tap): void {
		if (!this.isOpen) return;
		const consumers = this.#consumers.get(tap);
		if (consumers === undefined) {
			if (tap.wanted > 0) this.#consumers.set(tap, { tap, all: [], credit: 0 });
			else return;
		} else if (consumers.credit === tap.wanted) return;
		this.#adjusting ??= this.#adjust()
			.catch((error) => this.#fail(error))
			.finally(() => {
				this.#adjusting = null;
				this.#closeIfUnused();
			});
	}

	/** True while there are not as many consumers, or not those, that are wanted. */
	get isAdjusting(): boolean {
		return this.#adjusting !== null;
	}

	/** Resolves when there are. */
	async adjusted(): Promise<void> {
		while (this.#adjusting !== null) await this.#adjusting;
	}

	async ack(message: ConsumeMessage): Promise<void> {
		try {
			if (this.#quiet !== null) await this.#quiet;
			this.#channel.ack(message);
			this.#ackedAt = this.#busyAt = performance.now();
			this.#nextCall ??= this.#call();
			await this.#nextCall.catch(() => {}); // nobody knows then whether it was read
		} finally {
			this.#leave();
		}
	}

	nack(message: ConsumeMessage, requeue: boolean): void {
		try {
			this.#channel.nack(message, false, requeue);
		} catch {
			// The channel has gone in this moment, and the message with it.
		}
		this.#leave();
	}

	/** Ends it, when the broker has read all acks. What is here comes again. */
	async close(): Promise<void> {
		if (!this.isOpen) return;
		this.#closing = true;
		try {
			const rest = this.#ackedAt + ACKS_MS - performance.now();
			if (rest > 0) await sleep(rest);
			await this.#channel.prefetch(1); // a channel's close overtakes what was sent right before it
			await this.#channel.close();
		} catch {
			// It has gone.
		}
	}

	async #adjust(): Promise<void> {
		for (;;) {
			const others = [...this.#consumers.values()].filter(({ tap, credit }) => credit !== wantedBy(tap));
			if (others.length === 0 || !this.isOpen) return;
			const [more] = others.filter(({ tap, credit }) => credit < wantedBy(tap));
			if (more !== undefined) await this.#consume(more);
			else await this.#cancelAll(others);
		}
	}

	async #consume(consumers: TapConsumers): Promise<void> {
		const { queue } = this.#settings;
		const { tap } = consumers;
		const credit = wantedBy(tap) - consumers.credit;
		const take = (message: ConsumeMessage | null) => {
			if (message === null) this.#fail(new Error(`the broker cancelled the consumer of ${queue}`));
			else this.#take(message, tap);
		};
		// Both at once, so that no call of an ack gets between them: the count is for the next consumer.
		const prefetch = this.#channel.prefetch(credit);
		const [, { consumerTag: tag }] = await Promise.all([prefetch, this.#channel.consume(queue, take)]);
		consumers.all.push({ tag, credit });
		consumers.credit += credit;
		this.#busyAt = performance.now();
	}

	/** Cancels what is too much, of all who have too much. */
	async #cancelAll(tooMany: readonly TapConsumers[]): Promise<void> {
		this.#quiet = this.#untilQuiet();
		await this.#quiet;
		for (const consumers of tooMany) {
			while (consumers.credit > wantedBy(consumers.tap)) await this.#cancel(consumers);
			if (consumers.credit === 0 && consumers.tap.wanted === 0) this.#consumers.delete(consumers.tap);
		}
		this.#quiet = null;
	}

	async #cancel(consumers: TapConsumers): Promise<void> {
		const { tag, credit } = consumers.all.pop() as { tag: string; credit: number };
		const channel = this.#channel as Channel & InnerChannel;
		await channel.cancel(tag);
		consumers.credit -= credit;
		// Quorum queues may still send what was under way, and amqplib closes a channel on which something comes for nobody.
		channel.registerConsumer(tag, (message) => message !== null && this.#take(message, consumers.tap));
		if (this.#cancelled.push(tag) > MOST_CANCELLED)
			channel.unregisterConsumer(this.#cancelled.shift() as string);
	}

	/**
	 * Waits until nothing is under way to us, as far as can be known: what comes to a cancelled consumer the broker takes
	 * back, and counts. Acks have it send more, so they wait.
	 */
	async #untilQuiet(): Promise<void> {
		const latest = performance.now() + LONGEST_QUIET_MS;
		for (;;) {
			const now = performance.now();
			const end = Math.min(this.#busyAt + QUIET_MS, latest);
			if (now >= end || !this.isOpen) return;
			await sleep(end - now, undefined, { ref: false });
		}
	}

	#take(message: ConsumeMessage, tap: Tap): void {
		this.isUsed = true;
		this.#busyAt = performance.now();
		this.#here++;
		tap.onArrival(new Arrival(message, this));
	}

	#leave(): void {
		this.#here--;
		this.#closeIfUnused();
	}

	/** Not at once: quorum queues may still send what was under way to a consumer, and a close would count for that. */
	#closeIfUnused(): void {
		if (this.#isUsed) return;
		this.#unusedSince = performance.now();
		this.#closingLater ??= setTimeout(() => this.#closeNow(), UNUSED_MS).unref();
	}

	get #isUsed(): boolean {
		return this.#consumers.size > 0 || this.#here > 0 || this.#adjusting !== null;
	}

	#closeNow(): void {
		this.#closingLater = null;
		if (this.#isUsed) return;
		const left = this.#unusedSince + UNUSED_MS - performance.now();
		if (left < 1) this.close();
		else this.#closingLater = setTimeout(() => this.#closeNow(), left).unref();
	}

	async #call(): Promise<void> {
		await this.#lastCall.catch(() => {}); // one at a time: what is acked meanwhile shares the next
		this.#nextCall = null;
		const call = this.#channel.prefetch(1);
		this.#lastCall = call;
		await call;
	}

	#fail(error: Error): void {
		this.#reason ??= error;
		this.close();
	}
}

/** The consumers of a tap. */
interface TapConsumers {
	readonly tap: Tap;
	readonly all: { readonly tag: string; readonly credit: number }[];
	credit: number; // of all of them
}

function wantedBy({ wanted }: Tap): number {
	return Math.min(wanted, LARGEST_PREFETCH);
}

/** What amqplib's channels have, but do not declare. */
interface InnerChannel {
	registerConsumer(tag: string, take: (message: ConsumeMessage | null) => void): void;
	unregisterConsumer(tag: string): void;
}

const QUIET_MS = 20; // a quorum queue writes an ack to its disk before it sends another message
const LONGEST_QUIET_MS = 200;
const UNUSED_MS = 30_000;
// The broker keeps acks back that a busy quorum queue cannot take yet, and forgets them with their channel: of 32,768 that
// were given right before a close 146 came again.
const ACKS_MS = 500;
const LARGEST_PREFETCH = 65_535;
const MOST_CANCELLED = 100;
