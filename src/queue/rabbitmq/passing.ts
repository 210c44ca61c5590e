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
import { textOf } from "./fault.js";
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
	/** Aborted when the source is closed. */
	readonly signal: AbortSignal;
}

/** What is left of a message after an attempt. */
export interface Remainder {
	/** At least one. */
	readonly recipients: readonly string[];
	/** In ms since 1970. */
	readonly nextAttempt: number;
}

/** Passes messages on. */
export class Passing {
	readonly #settings: PassingSettings;
	readonly #name = randomUUID();
	#copies = 0;

	constructor(settings: PassingSettings) {
		this.#settings = settings;
	}

	/** Publishes what is left after an attempt. The message itself stays. @throws QueueError if it may not be stored. */
	async retry(
		{ state, attempts, envelope, body }: Mail,
		{ recipients, nextAttempt }: Remainder,
	): Promise<void> {
		const { publisher, names, delays, now } = this.#settings;
		const time = Math.min(Math.max(0, Math.ceil(nextAttempt)), LATEST);
		const { sender } = envelope;
		const { head, tail } = encodePackage(
			{ sender, recipients },
			{ encoding: "lf", length: body.length },
			state.encoding,
		);
		await publisher.publish({
			queue: delays.queueFor(time - now()) ?? names.main,
			body: Buffer.concat([head, body, tail]),
			properties: this.#properties({ ...state, attempts: attempts + 1, nextAttempt: time }),
		});
	}

	/**
	 * Passes a message on as it is, which is no attempt. While it cannot be published it stays here, for some time: given
	 * back, it would come again at once, over and over, until the delivery limit has it parked.
	 */
	async onward(mail: Mail, queue: string): Promise<void> {
		const { publisher, settled, onFault, signal } = this.#settings;
		const { arrival, state, attempts, key } = mail;
		const { content: body } = arrival.message;
		for (let failures = 0; arrival.isHere; failures++) {
			try {
				if (publisher.problem !== null) throw publisher.problem;
				await publisher.publish({ queue, body, properties: this.#properties({ ...state, attempts }) });
				settled.add(key);
				await arrival.ack();
				return;
			} catch (error) {
				if (failures === 0 && error !== publisher.problem) onFault(error as Error); // a problem is told by what has it
			}
			if (signal.aborted || performance.now() - arrival.at > LONGEST_HELD_MS) arrival.giveBack();
			else await pause(failures, signal);
		}
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

async function pause(failures: number, signal: AbortSignal): Promise<void> {
	const ms = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
	await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
}

/** An id that may be anybody's text. */
function shownId(id: unknown): string {
	return typeof id === "string" ? JSON.stringify(id.slice(0, SHOWN_CHARACTERS)) : "without message-id";
}

const LATEST = 8_640_000_000_000_000; // as a Date has it
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Below the 30 minutes after which the broker takes everything back by closing the channel. */
export const LONGEST_HELD_MS: number = 10 * 60 * 1000;
const SHOWN_CHARACTERS = 100;
