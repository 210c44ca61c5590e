/**
 * A message that is out for delivery. When the connection breaks meanwhile, the broker hands it out again: it is not a
 * second job then, but what the first is settled with.
 */
import { QueueError } from "../../errors.js";
import type { Arrival } from "./arrival.js";
import type { Mail } from "./mail.js";
import type { Passing, Remainder } from "./passing.js";
import type { SettledMemory } from "./settled.js";

/** What a message that is out needs. */
export interface OutSettings {
	readonly passing: Passing;
	readonly settled: SettledMemory;
	/** How long a settle that failed may be called again, in ms. */
	readonly patience: number;
	/** Called once, when it is out no longer. */
	readonly onEnd: (out: Out) => void;
}

/** A message that is out. */
export class Out {
	readonly mail: Mail;
	readonly #settings: OutSettings;
	#arrival: Arrival;
	#ended = false;
	#givingUp: NodeJS.Timeout | null = null;

	constructor(mail: Mail, settings: OutSettings) {
		this.mail = mail;
		this.#arrival = mail.arrival;
		this.#settings = settings;
	}

	/** True if the broker hands it out again. */
	get isLost(): boolean {
		return !this.#arrival.isHere;
	}

	/** It has come again. */
	rebind(arrival: Arrival): void {
		this.#arrival = arrival;
	}

	/** @param remainder - Null if nobody is left. @throws QueueError if the message comes again with everybody. */
	async settle(remainder: Remainder | null): Promise<void> {
		const { passing, settled } = this.#settings;
		if (this.#givingUp !== null) clearTimeout(this.#givingUp);
		try {
			if (remainder !== null) await passing.retry(this.mail, remainder);
			// Settled before, it may have come again since, and have been acked then.
			const isGone = settled.isGone(this.mail.key);
			if (!isGone) settled.add(this.mail.key);
			const isSent = await this.#arrival.ack();
			if (!isSent && !isGone && remainder === null) throw lost();
		} catch (error) {
			this.#giveUpLater();
			throw error;
		}
		this.#end();
	}

	#giveUpLater(): void {
		if (this.#ended) return;
		this.#givingUp = setTimeout(() => {
			this.#arrival.giveBack();
			this.#end();
		}, this.#settings.patience).unref();
	}

	#end(): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#settings.onEnd(this);
	}
}

function lost(): QueueError {
	const message = "connection to the message broker was lost, and the message comes again (#4.3.0)";
	return new QueueError("ERR_QMTP_QUEUE", message);
}
