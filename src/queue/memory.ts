/**
 * The subpath `qmtp/queue/memory`: a queue that keeps messages in memory, for tests and for programs that handle mail
 * at once. Nothing survives the process.
 */
import { QueueError, UsageError } from "../errors.js";
import type { Envelope } from "../protocol/envelope.js";
import type { MessageInfo } from "../protocol/message-info.js";
import type { QmtpResponse } from "../protocol/response.js";
import type { Delivery, Queue } from "./queue.js";
import { receipt } from "./receipt.js";

/** Options of {@link memoryQueue}. */
export interface MemoryQueueOptions {
	/**
	 * The most that the queue holds, in bytes: bodies, those of messages under way included, and a byte for each
	 * character of an address.
	 * @defaultValue 67108864 (64 MiB)
	 */
	readonly maxBytes?: number;
}

/** A message that a {@link memoryQueue} took, with its sender and recipients. */
export interface MemoryMessage extends Envelope {
	/** The id of the K response: that of `info`. */
	readonly id: string;
	/** The sender and the recipients once more, to be handed on. */
	readonly envelope: Envelope;
	/** The message, in an array of its own. */
	readonly body: Uint8Array;
	/** What the server knew of the message before its first byte. */
	readonly info: MessageInfo;
}

/** A queue in memory. */
export interface MemoryQueue extends Queue {
	/**
	 * The messages that were taken, in the order of their commits. It is the caller's to empty: what is removed from it
	 * makes room for more.
	 */
	readonly messages: MemoryMessage[];
}

/**
 * A queue that keeps what it takes in `messages`.
 *
 * A message that does not fit is refused with Z (#4.3.1), by its declared length if that is known. The queue copies
 * what is written to it: a view would pin the chunk that it points into.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if `maxBytes` is no whole number of bytes.
 */
export function memoryQueue(options: MemoryQueueOptions = {}): MemoryQueue {
	const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
	if (!Number.isSafeInteger(maxBytes) || maxBytes < 0) {
		throw new UsageError("ERR_QMTP_OPTION", `maxBytes must be a whole number of bytes, not ${maxBytes}`);
	}
	const store = new MemoryStore(maxBytes);
	return { messages: store.messages, open: (message) => store.open(message) };
}

/** The messages, and how many bytes they and those under way hold. */
class MemoryStore {
	readonly messages: MemoryMessage[] = [];
	readonly #maxBytes: number;
	#underWay = 0; // bytes of deliveries that have not ended
	#stored = 0; // bytes of `messages` when it had #counted of them
	#counted = 0;

	constructor(maxBytes: number) {
		this.#maxBytes = maxBytes;
	}

	open(message: MessageInfo): Delivery {
		if (message.exact && message.length !== undefined) this.#checkRoom(message.length);
		return new MemoryDelivery(this, message);
	}

	/** Takes `bytes` of room for a delivery. */
	reserve(bytes: number): void {
		this.#checkRoom(bytes);
		this.#underWay += bytes;
	}

	/** Gives room back. */
	release(bytes: number): void {
		this.#underWay -= bytes;
	}

	/** Stores a message whose room, `bytes`, its delivery has reserved. */
	store(message: MemoryMessage, bytes: number): void {
		this.messages.push(message);
		this.#counted++;
		this.#stored += bytes;
		this.release(bytes);
	}

	#checkRoom(bytes: number): void {
		if (this.#fits(bytes)) return;
		// The caller may have removed messages. Counting takes long when there are many, so not for each refusal.
		if (this.messages.length !== this.#counted) {
			this.#stored = this.messages.reduce((sum, message) => sum + sizeOf(message), 0);
			this.#counted = this.messages.length;
			if (this.#fits(bytes)) return;
		}
		throw new QueueError("ERR_QMTP_QUEUE_FULL", "mail system full (#4.3.1)");
	}

	#fits(bytes: number): boolean {
		return this.#underWay + this.#stored + bytes <= this.#maxBytes;
	}
}

class MemoryDelivery implements Delivery {
	readonly #store: MemoryStore;
	readonly #message: MessageInfo;
	#parts: Uint8Array[] = []; // copies
	#size = 0; // of the parts, in bytes; reserved in the store
	#ended = false;

	constructor(store: MemoryStore, message: MessageInfo) {
		this.#store = store;
		this.#message = message;
	}

	get heldBytes(): number {
		return this.#size;
	}

	write(bytes: Uint8Array): void {
		if (this.#ended) throw new UsageError("ERR_QMTP_ENDED", "write() after commit() or abort()");
		this.#store.reserve(bytes.length);
		this.#parts.push(new Uint8Array(bytes)); // a copy, also of a Buffer
		this.#size += bytes.length;
	}

	async commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		if (this.#ended) throw new UsageError("ERR_QMTP_ENDED", "commit() after commit() or abort()");
		const { sender } = envelope;
		const recipients = [...envelope.recipients];
		const message: MemoryMessage = {
			id: this.#message.id,
			envelope: { sender, recipients },
			sender,
			recipients,
			body: this.#body(),
			info: this.#message,
		};
		const addresses = sizeOf(message) - this.#size;
		try {
			this.#store.reserve(addresses);
		} catch (error) {
			this.#end();
			throw error;
		}
		this.#store.store(message, this.#size + addresses);
		this.#size = 0;
		this.#end();
		const response = receipt(this.#message.id);
		return recipients.map(() => response);
	}

	async abort(): Promise<void> {
		if (!this.#ended) this.#end();
	}

	#body(): Uint8Array {
		if (this.#parts.length === 1) return this.#parts[0] as Uint8Array;
		const body = new Uint8Array(this.#size);
		let filled = 0;
		for (const part of this.#parts) {
			body.set(part, filled);
			filled += part.length;
		}
		return body;
	}

	#end(): void {
		this.#ended = true;
		this.#store.release(this.#size);
		this.#size = 0;
		this.#parts = [];
	}
}

function sizeOf({ envelope, body }: MemoryMessage): number {
	return envelope.recipients.reduce(
		(sum, address) => sum + address.length,
		envelope.sender.length + body.length,
	);
}

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
