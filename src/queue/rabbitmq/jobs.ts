/**
 * The source of a queue of RabbitMQ: loops that take jobs, each with as many messages here as it may have out.
 *
 * The broker counts how often it has handed out a message, whether it was given back, or its channel or process has gone, and
 * parks it at the delivery limit. So nothing is given back that can be kept: what is here for a loop when it ends is for the
 * next one. A relay whose next hop rests begins none for some time, and must not sit on messages: what nobody has drawn for
 * a while is passed on into the queue with the shortest wait, which is no attempt, and starts the broker's count anew. What
 * is here at the end is put back by `close` as a new copy, too. Only what could not be published is given back.
 *
 * While nothing can be published no job begins: who is left of it could not be stored.
 *
 * Nothing is asked for before a loop finds nothing here. So what was left is worked off first, however many loops come and
 * go.
 */
import { setMaxListeners } from "node:events";
import type { ChannelModel } from "amqplib";
import type { Job, TakeOptions } from "../source.js";
import type { Arrival } from "./arrival.js";
import { ByteWindow } from "./byte-window.js";
import type { Connection } from "./connection.js";
import { Consumer } from "./consumer.js";
import { Delays } from "./delays.js";
import { textOf } from "./fault.js";
import { RabbitmqJob } from "./job.js";
import { type Mail, readMail } from "./mail.js";
import { Out } from "./out.js";
import { LONGEST_HELD_MS, LONGEST_WAIT_MS, Passing } from "./passing.js";
import type { Publisher } from "./publisher.js";
import { Rests } from "./rests.js";
import { SettledMemory } from "./settled.js";
import { Taker } from "./taker.js";
import type { TopologyNames } from "./topology.js";

/** What the source needs. */
export interface JobsSettings {
	/** Over which messages come in. Nothing is published over it, since a broker that is short of room stops reading then. */
	readonly connection: Connection;
	readonly publisher: Publisher;
	readonly names: TopologyNames;
	/** Declares the queues again, which somebody may have deleted. */
	readonly declare: (model: ChannelModel) => Promise<void>;
	/** The largest message body. What is larger with its envelope is parked. */
	readonly maxBytes: number;
	/** In ms since 1970. */
	readonly now: () => number;
	/** Told of what is nobody's answer. */
	readonly onFault: (error: Error) => void;
	/** How long a message lies in the buffer while nobody draws from it, in ms, for tests. @defaultValue 30000 */
	readonly idle?: number;
	/** How long a settle that failed may be called again, in ms, for tests. @defaultValue 60000 */
	readonly patience?: number;
	/** How many bytes of messages are here before no more are asked for, for tests. @defaultValue 134217728 (128 MiB) */
	readonly heldBytes?: number;
}

/** The messages that are here. */
export class Jobs {
	readonly #settings: JobsSettings;
	readonly #idle: number;
	readonly #consumer: Consumer;
	readonly #passing: Passing;
	readonly #delays: Delays;
	readonly #settled = new SettledMemory();
	readonly #rests = new Rests();
	readonly #window: ByteWindow;
	readonly #closing = new AbortController();
	readonly #ending = new AbortController(); // when no more come
	readonly #takers = new Set<Taker>();
	readonly #out = new Map<string, Out>(); // by the mail's key
	readonly #underWay = new Set<Promise<void>>(); // messages that are passed on
	#left: Mail[] = []; // here for loops that have ended
	readonly #leftOut: Arrival[] = []; // for want of room; given back when there is room, so that they do not come at once
	#returning: NodeJS.Timeout | null = null; // some of those
	#waking: NodeJS.Timeout | null = null; // when it may be possible to publish again
	#drawnAt = 0; // by the clock that never goes back
	#sweeping: NodeJS.Timeout | null = null;

	constructor(settings: JobsSettings) {
		const { connection, publisher, names, declare, maxBytes, now, onFault, idle = IDLE_MS } = settings;
		this.#settings = settings;
		setMaxListeners(0, this.#closing.signal, this.#ending.signal); // one for each loop, and for each pause
		this.#idle = idle;
		this.#window = new ByteWindow(settings.heldBytes);
		this.#delays = new Delays(names.retries);
		this.#passing = new Passing({
			...{ publisher, names, now, onFault, delays: this.#delays, settled: this.#settled },
			signal: this.#ending.signal,
		});
		this.#consumer = new Consumer({
			...{ connection, declare, onFault, queue: names.main },
			mostBytes: () => (this.#window.isFull ? 0 : maxBytes + ENVELOPE_BYTES),
			onLost: () => this.#lose(),
		});
	}

	/** See {@link Source.take}. @param concurrency - How many may be out at a time. */
	async *take({ signal }: TakeOptions, concurrency: number): AsyncGenerator<Job, undefined> {
		const signals = [this.#closing.signal, ...(signal === undefined ? [] : [signal])];
		const taker = new Taker(concurrency, signals, this.#arrive);
		this.#takers.add(taker);
		try {
			while (!taker.isEnded) {
				const job = taker.hasRoom ? this.#draw(taker) : null;
				if (job === null) await taker.sleep();
				else yield job;
			}
		} finally {
			taker.end();
			this.#takers.delete(taker);
			this.#left.push(...taker.mails.splice(0));
			this.#ask(taker, 0);
			this.#adjust(); // the others may ask for more
			if (this.#left.length > 0) this.#wakeAll();
		}
	}

	/** Ends all loops, and puts back what is here, so that it does not count. Jobs that are out come again. */
	async close(): Promise<void> {
		this.#closing.abort();
		for (const taker of this.#takers) this.#ask(taker, 0);
		await this.#consumer.steady();
		this.#ending.abort();
		const deadline = performance.now() + PUTTING_BACK_MS;
		await Promise.all(Array.from(this.#out.values(), (out) => out.flush()));
		do {
			await this.#putBack(deadline);
			await Promise.all(this.#underWay); // else their acks would come too late
		} while (this.#here().length > 0 && performance.now() < deadline);
		for (const { arrival } of this.#here()) arrival.giveBack();
		this.#lose();
		await this.#consumer.close();
	}

	/** Begins none when the time is up: a publish that is under way must come to its end before the message may be given back. */
	async #putBack(deadline: number): Promise<void> {
		const mails = this.#here().values();
		const work = async () => {
			for (const mail of mails) {
				if (performance.now() > deadline || !mail.arrival.isHere) return;
				await this.#passing.back(mail);
			}
		};
		await Promise.all(Array.from({ length: PUT_BACK_AT_ONCE }, work));
		for (const { arrival } of this.#remove(({ arrival }) => !arrival.isHere)) this.#release(arrival);
	}

	#draw(taker: Taker): Job | null {
		if (this.#settings.publisher.problem !== null) {
			this.#wakeLater();
			return null;
		}
		this.#drawnAt = performance.now();
		const mail = this.#left.shift() ?? taker.mails.shift();
		if (mail === undefined) {
			taker.isDrawing = true;
			this.#adjust();
			return null;
		}
		taker.out++;
		const onEnd = (ended: Out) => {
			taker.out--;
			if (this.#out.get(mail.key) === ended) this.#out.delete(mail.key);
			this.#release(mail.arrival);
			taker.wake();
		};
		const { patience = PATIENCE_MS, now } = this.#settings;
		const out = new Out(mail, {
			...{ passing: this.#passing, settled: this.#settled, rests: this.#rests },
			...{ patience, onEnd },
		});
		this.#out.set(mail.key, out);
		return new RabbitmqJob(out, now);
	}

	readonly #arrive = (arrival: Arrival, taker: Taker): void => {
		if (!arrival.isHere) return; // its channel is about to close: whatever were done with it, its ack would come too late
		const { maxBytes, now } = this.#settings;
		if (arrival.skipped > 0 && arrival.skipped <= maxBytes + ENVELOPE_BYTES) {
			this.#window.leaveOut(arrival.skipped);
			this.#leftOut.push(arrival);
			this.#adjust();
			return;
		}
		this.#window.take(arrival.message.content.length);
		let mail: Mail;
		try {
			mail = this.#rests.of(readMail(arrival));
		} catch (error) {
			this.#while(arrival, this.#passing.park(arrival, textOf(error)));
			return;
		}
		if (arrival.message.fields.redelivered && this.#isKnown(mail)) return;
		const present = now();
		const latest = present + LONGEST_WAIT_MS;
		if (mail.state.nextAttempt > latest) mail = { ...mail, state: { ...mail.state, nextAttempt: latest } };
		const queue = this.#delays.onwards(mail.state.nextAttempt - present);
		if (queue !== null) {
			this.#while(arrival, this.#passing.onward(mail, queue));
			return;
		}
		this.#sweepLater();
		if (this.#takers.has(taker)) {
			taker.mails.push(mail);
			taker.wake();
		} else {
			this.#left.push(mail);
			this.#wakeAll();
		}
		this.#adjust();
	};

	#wakeAll(): void {
		for (const taker of this.#takers) taker.wake();
	}

	#wakeLater(): void {
		this.#waking ??= setTimeout(() => {
			this.#waking = null;
			this.#wakeAll();
		}, WAKING_MS).unref();
	}

	/** What nobody has drawn. */
	#here(): readonly Mail[] {
		return [...this.#left, ...[...this.#takers].flatMap(({ mails }) => mails)];
	}

	/** Whether it has come again because its channel has gone, and needs no job. */
	#isKnown({ arrival, key }: Mail): boolean {
		if (this.#settled.has(key)) {
			this.#while(
				arrival,
				arrival.ack().then((isSent) => {
					if (isSent) this.#settled.cameAgain(key);
				}),
			);
			return true;
		}
		const out = this.#out.get(key);
		if (out === undefined || !out.isLost) return false;
		out.rebind(arrival);
		this.#release(arrival); // the first counts
		arrival.dropContent();
		return true;
	}

	/** All messages have gone with their channel. */
	#lose(): void {
		for (const arrival of this.#leftOut.splice(0)) arrival.giveBack();
		const mails = this.#here();
		this.#left = [];
		for (const taker of this.#takers) taker.mails = [];
		for (const { arrival } of mails) this.#release(arrival);
	}

	#while(arrival: Arrival, work: Promise<void>): void {
		const done = work.finally(() => {
			this.#underWay.delete(done);
			this.#release(arrival);
		});
		this.#underWay.add(done);
	}

	#release({ message }: Arrival): void {
		this.#window.release(message.content.length);
		this.#adjust();
	}

	/** Has each loop ask for what it may have here. */
	#adjust(): void {
		const { messages } = this.#window;
		if (this.#leftOut.length > 0) this.#returnLater();
		let drawing = 0;
		for (const { isDrawing } of this.#takers) if (isDrawing) drawing++;
		if (this.#closing.signal.aborted) return;
		const share = messages === 0 ? 0 : Math.max(1, Math.floor(messages / drawing));
		for (const taker of this.#takers) {
			this.#ask(taker, taker.isDrawing ? Math.min(taker.concurrency, share) : 0);
		}
	}

	/** Gives back what was left out: as much as there is room for, and when the broker will send no more than that. */
	#returnLater(): void {
		this.#returning ??= setTimeout(() => {
			this.#returning = null;
			if (this.#consumer.isSteady) {
				for (const arrival of this.#leftOut.splice(0, this.#window.room)) arrival.giveBack();
			}
			if (this.#leftOut.length > 0) this.#returnLater();
		}, RETURNING_MS).unref();
	}

	#ask(taker: Taker, wanted: number): void {
		if (taker.wanted === wanted) return;
		taker.wanted = wanted;
		this.#consumer.changed(taker);
	}

	#sweepLater(): void {
		this.#sweeping ??= setTimeout(() => {
			this.#sweeping = null;
			this.#sweep();
			if (this.#here().length > 0) this.#sweepLater();
		}, this.#idle / 4).unref();
	}

	/** Passes on what nobody draws. While that is not possible nothing more is asked for, and what is here stays. */
	#sweep(): void {
		const time = performance.now();
		const isIdle = time - this.#drawnAt > this.#idle;
		const isStuck = this.#settings.publisher.problem !== null;
		const longest = isIdle ? this.#idle : LONGEST_HELD_MS;
		const isOld = ({ arrival }: Mail) => time - arrival.at > longest;
		const old = isStuck ? [] : this.#remove(isOld);
		if (old.length === 0 && !(isStuck && isIdle)) return;
		for (const taker of this.#takers) taker.isDrawing = false; // until it wants something
		this.#adjust();
		for (const mail of old) this.#while(mail.arrival, this.#passing.onward(mail, this.#delays.shortest));
	}

	/** Takes some of those out that nobody has drawn. */
	#remove(isOne: (mail: Mail) => boolean): readonly Mail[] {
		const removed = this.#here().filter(isOne);
		this.#left = this.#left.filter((mail) => !isOne(mail));
		for (const taker of this.#takers) taker.mails = taker.mails.filter((mail) => !isOne(mail));
		return removed;
	}
}

const IDLE_MS = 30_000;
const PATIENCE_MS = 60_000;
const WAKING_MS = 250;
const RETURNING_MS = 50;
const PUTTING_BACK_MS = 5000;
const PUT_BACK_AT_ONCE = 500;
/** More than the envelopes that are stored: 4 Mi characters, of up to three bytes, and the netstrings around them. */
const ENVELOPE_BYTES = 16 * 1024 ** 2;
