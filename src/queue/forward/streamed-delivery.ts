/**
 * A large message, which goes out while it arrives: on both sides its length comes first, and its envelope last. Nothing of
 * it is stored.
 */
import { QueueError, UsageError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { MessageInfo } from "../../protocol/message-info.js";
import { encodePackage } from "../../protocol/package-encoder.js";
import type { Encoding } from "../../protocol/package-event.js";
import { deferred, type QmtpResponse } from "../../protocol/response.js";
import type { Delivery } from "../queue.js";
import { allResponses, wireEnvelope } from "./envelope.js";
import { queueError, reasonOf } from "./failure.js";
import type { LoopGuard } from "./loop-guard.js";
import { passedOn } from "./next-hop.js";
import type { PackageConnection } from "./package-connection.js";

/** What a delivery needs of its queue. */
export interface StreamedDeliveryContext {
	/** For this package alone. The delivery ends it. */
	readonly connection: PackageConnection;
	readonly guard: LoopGuard;
	/** Told of the commit, and returns it: a queue that is closed waits for it. */
	track<T>(commit: Promise<T>): Promise<T>;
	/** How the body is encoded. */
	readonly encoding: Encoding;
	/** How many bytes will be written. */
	readonly length: number;
}

/** A delivery of a message that is not stored. */
export class StreamedDelivery implements Delivery {
	readonly #message: MessageInfo;
	readonly #context: StreamedDeliveryContext;
	#left: number; // bytes to come
	#begun = false;
	#state: "open" | "committing" | "aborted" = "open";

	constructor(message: MessageInfo, context: StreamedDeliveryContext) {
		this.#message = message;
		this.#context = context;
		this.#left = context.length;
	}

	get heldBytes(): number {
		return this.#context.connection.heldBytes;
	}

	write(bytes: Uint8Array): void | Promise<void> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "write() after commit() or abort()");
		const { connection, guard } = this.#context;
		guard.watch(bytes);
		if (bytes.length > this.#left) throw lengthError();
		this.#left -= bytes.length;
		try {
			if (!this.#begun) this.#begin();
			return connection.write(bytes)?.catch(throwQueueError);
		} catch (error) {
			throw queueError(error);
		}
	}

	async commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "commit() after commit() or abort()");
		this.#state = "committing";
		return await this.#context.track(this.#commit(envelope));
	}

	async abort(): Promise<void> {
		if (this.#state !== "open") return; // it comes to its own end, or has
		this.#state = "aborted";
		this.#context.connection.destroy();
	}

	async #commit(all: Envelope): Promise<readonly QmtpResponse[]> {
		const { connection, encoding, length } = this.#context;
		try {
			const { addressEncoding } = this.#message;
			const { envelope, refusals } = wireEnvelope(all, addressEncoding);
			if (envelope === null) return refusals as QmtpResponse[]; // nobody was left out
			if (this.#left > 0) throw lengthError();
			if (connection.error !== null) throw queueError(connection.error);
			const { tail } = encodePackage(envelope, { encoding, length }, "latin1");
			return allResponses(refusals, await this.#answers(tail, envelope.recipients.length));
		} finally {
			connection.destroy();
		}
	}

	#begin(): void {
		this.#begun = true;
		const { connection, encoding, length } = this.#context;
		connection.write(encodePackage(NOBODY, { encoding, length }).head); // a new socket takes it without a wait
	}

	async #answers(tail: Uint8Array, recipients: number): Promise<readonly QmtpResponse[]> {
		try {
			return (await this.#context.connection.finish(tail, recipients)).map(passedOn);
		} catch (error) {
			// It may have been accepted, so this must not be an error.
			return new Array(recipients).fill(deferred(reasonOf(error)));
		}
	}
}

/** Who opened the delivery did not keep its word about the length, on which the next hop relies. */
function lengthError(): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "the message has not the length that was announced (#4.3.0)");
}

function throwQueueError(error: unknown): never {
	throw queueError(error);
}

const NOBODY: Envelope = { sender: "", recipients: [] };
