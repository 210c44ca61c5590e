/**
 * Passes messages on: into the queues where they wait, with those recipients who are left, and into the parking queue. Each
 * is published, confirmed, and only then taken out of the queue that it came from; so it may be there twice, and never not
 * at all.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { encodePackage } from "../../protocol/package-encoder.js";
import type { Arrival } from "./arrival.js";
import type { Delays } from "./delays.js";
import { REASONS, textOf } from "./fault.js";
import { COPY, type Mail } from "./mail.js";
import { type MessageProperties, type MessageState, parkedProperties, properties } from "./message.js";
import type { Publisher } from "./publisher.js";
import type { SettledMemory } from "./settled.js";
import type { TopologyNames } from "./topology.js";

/** Where messages go. */
export interface PassingSettings {
	readonly publisher: Publisher;
	readonly names: TopologyNames;
	readonly delays: Delays;
	readonly settled: SettledMemory;
	/** In ms since 1970. */
	readonly now: () => number;
	readonly onFault: (error: Error) => void;
	/** Aborted when the source is closed, and has no more messages come. */
	readonly signal: AbortSignal;
}

/** What is left of a message after an attempt. */
export interface Remainder {
	/** At least one. */
	readonly recipients: readonly string[];
	/** Their positions among the recipients of the mail. */
	readonly left: readonly number[];
	/** In ms since 1970. */
	readonly nextAttempt: number;
}

/** Passes messages on. */
export class Passing {
	readonly #settings: PassingSettings;
	readonly #name = randomUUID();
	#copies = 0;
	#told = ""; // the latest fault
	#toldAt = 0;

	constructor(settings: PassingSettings) {
		this.#settings = settings;
	}

	/** Publishes what is left after an attempt. The message itself stays. @throws QueueError if it may not be stored. */
	async retry(mail: Mail, { recipients, nextAttempt }: Remainder): Promise<void> {
		const { state, attempts } = mail;
		const { names, delays, now } = this.#settings;
		const present = now();
		const time = Math.min(Math.max(0, Math.ceil(nextAttempt)), present + LONGEST_WAIT_MS);
		const queue = delays.queueFor(time - present);
		await this.#publish(
			queue === null ? [names.main] : delays.from(queue),
			packageFor(mail, recipients),
			this.#properties({ ...state, attempts: attempts + 1, nextAttempt: time }),
		);
	}

	/** Puts a message that nobody has begun back at the end of its queue: given back, it would be counted. It never rejects. */
	async back(mail: Mail): Promise<void> {
		await this.#copy(mail, [this.#settings.names.main]).catch(() => mail.arrival.giveBack());
	}

	/**
	 * Passes a message on as it is, which is no attempt. While nothing can be published it stays here: given back, it would
	 * come again at once, over and over, until the delivery limit has it parked. If only the queues in which it could wait
	 * take nothing, it soon goes to the end of the one that it came from, out of the way of what is due.
	 */
	async onward(mail: Mail, queue: string): Promise<void> {
		const { publisher, names, delays, signal } = this.#settings;
		const { arrival } = mail;
		const waits = delays.from(queue);
		for (let failures = 0, pauses = 0; arrival.isHere; pauses++) {
			const isEnding = signal.aborted;
			const isPossible = publisher.problem === null; // a problem is told by what has it
			try {
				if (isPossible)
					return await this.#copy(mail, failures < PATIENT && !isEnding ? waits : [...waits, names.main]);
			} catch (error) {
				this.#tell(error as Error);
				failures++;
			}
			const isTooLong = isPossible && performance.now() - arrival.at > LONGEST_HELD_MS;
			if (isEnding || isTooLong) arrival.giveBack();
			else await pause(pauses, signal);
		}
	}

	/** Tells of a fault, unless that was told lately: it may be the same for each of many messages. */
	#tell(error: Error): void {
		const time = performance.now();
		if (error.message === this.#told && time - this.#toldAt < TELLING_MS) return;
		this.#told = error.message;
		this.#toldAt = time;
		this.#settings.onFault(error);
	}

	/** Has another queue have it as it is, and takes it out of its own. */
	async #copy(mail: Mail, queues: readonly string[]): Promise<void> {
		const { arrival, state, attempts, envelope, positions, key } = mail;
		const body = positions === null ? arrival.message.content : packageFor(mail, envelope.recipients);
		await this.#publish(queues, body, this.#properties({ ...state, attempts }));
		this.#settings.settled.add(key);
		await arrival.ack();
	}

	/** Publishes to the first queue that takes it. @throws QueueError of the first if none does. */
	async #publish(queues: readonly string[], body: Buffer, properties: MessageProperties): Promise<void> {
		let first: unknown = null;
		for (const queue of queues) {
			try {
				return await this.#settings.publisher.publish({ queue, body, properties });
			} catch (error) {
				first ??= error;
				if (!NOT_TAKEN.has(textOf(error))) break; // else it is certain that it is not stored
			}
		}
		throw first;
	}

	/** Each copy that is passed on has a name, so that it is never taken for another one that was settled. */
	#properties(state: MessageState): MessageProperties {
		this.#copies++;
		return properties(state, { [COPY]: `${this.#name} ${this.#copies}` });
	}

	/** Parks a message. If it cannot be published with the reason, the broker does it without. */
	async park(arrival: Arrival, reason: string): Promise<void> {
		const { publisher, names, onFault } = this.#settings;
		const { message, skipped } = arrival;
		onFault(
			new Error(`message ${shownId(message.properties.messageId)} is parked in ${names.parked}: ${reason}`),
		);
		if (skipped > 0) {
			arrival.park();
			return;
		}
		try {
			const parked = parkedProperties(message, reason);
			await publisher.publish({ queue: names.parked, body: message.content, properties: parked });
			await arrival.ack();
		} catch (error) {
			onFault(new Error(`it is parked without the reason: ${textOf(error)}`, { cause: error }));
			arrival.park();
		}
	}
}

/** The message for some of its recipients. */
function packageFor({ state, envelope, body }: Mail, recipients: readonly string[]): Buffer {
	const { sender } = envelope;
	const shape = { encoding: "lf", length: body.length } as const;
	const { head, tail } = encodePackage({ sender, recipients }, shape, state.encoding);
	return Buffer.concat([head, body, tail]);
}

async function pause(pauses: number, signal: AbortSignal): Promise<void> {
	const ms = Math.min(FIRST_PAUSE_MS * 2 ** pauses, LONGEST_PAUSE_MS);
	await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
}

/** An id that may be anybody's text. */
function shownId(id: unknown): string {
	return typeof id === "string" ? JSON.stringify(id.slice(0, SHOWN_CHARACTERS)) : "without message-id";
}

/** How long a message may wait for its next attempt: a clock that is wrong must not put mail out of sight for years. */
export const LONGEST_WAIT_MS: number = 24 * 60 * 60 * 1000;
/** After so many failures, a second and a half, the main queue will do. */
const PATIENT = 2;
const TELLING_MS = 60_000;
const NOT_TAKEN: ReadonlySet<string> = new Set([REASONS.refused, REASONS.returned]);
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Below the 30 minutes after which the broker takes everything back by closing the channel. */
export const LONGEST_HELD_MS: number = 10 * 60 * 1000;
const SHOWN_CHARACTERS = 100;
