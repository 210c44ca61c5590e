/** A message that the broker has handed to this process, until it is acked or given back. */
import type { ConsumeMessage } from "amqplib";
import { skippedBytes } from "./content-limit.js";

/** Where it came from, and where its end is told. */
export interface ArrivalChannel {
	/** False when it has gone, and with it all its messages: the broker hands them out again. */
	readonly isOpen: boolean;
	/** Resolves when the broker has read it, or the channel has gone since it was sent. Rejects if it had gone before. */
	ack(message: ConsumeMessage): Promise<void>;
	/** @param requeue - False parks it. */
	nack(message: ConsumeMessage, requeue: boolean): void;
}

/** A message that is here. */
export class Arrival {
	readonly message: ConsumeMessage;
	/** When it came, in ms of a clock that never goes back. */
	readonly at: number = performance.now();
	/** The bytes of its body if that was too large to be taken in; else 0. */
	readonly skipped: number;
	readonly #channel: ArrivalChannel;
	#ended = false;

	constructor(message: ConsumeMessage, channel: ArrivalChannel) {
		this.message = message;
		this.skipped = skippedBytes(message);
		this.#channel = channel;
	}

	/** False when it was acked or given back, or its channel has gone. */
	get isHere(): boolean {
		return !this.#ended && this.#channel.isOpen;
	}

	/**
	 * Takes it out of the queue, unless it is here no longer. Resolves when the broker has read that; it does not confirm it,
	 * so if the connection breaks in that moment the message may come again all the same.
	 *
	 * @returns False if it comes again for sure.
	 */
	async ack(): Promise<boolean> {
		if (!this.isHere) return false;
		this.#ended = true;
		try {
			await this.#channel.ack(this.message);
			return true;
		} catch {
			return false;
		}
	}

	/** Lets go of its body, when there is another one with the same. */
	dropContent(): void {
		this.message.content = NOTHING;
	}

	/** Has the broker hand it out again, to anybody. That counts towards the delivery limit. */
	giveBack(): void {
		this.#nack(true);
	}

	/** Has the broker put it into the parking queue. */
	park(): void {
		this.#nack(false);
	}

	#nack(requeue: boolean): void {
		if (!this.isHere) return;
		this.#ended = true;
		this.#channel.nack(this.message, requeue);
	}
}

const NOTHING = Buffer.alloc(0);
