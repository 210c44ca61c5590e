/**
 * One message on its way into a maildir. A small body is kept as the views that came; a large one goes through a spool
 * file, since its first lines, which name a recipient, are known last.
 */
import { QueueError, UsageError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { MessageInfo } from "../../protocol/message-info.js";
import { deferred, type QmtpResponse } from "../../protocol/response.js";
import type { Delivery } from "../queue.js";
import { receipt } from "../receipt.js";
import { MESSAGE_TOO_LARGE, planCopies } from "./copies.js";
import { queueError, reasonOf } from "./fault.js";
import type { Spool } from "./spool.js";
import type { MaildirStore } from "./store.js";

/** What one message may take. */
export interface DeliveryLimits {
	readonly maxCopies: number;
	readonly maxBytesPerMessage: number;
	/** The bytes that must stay free on the disk, or undefined if nobody asked. */
	readonly minFree: number | undefined;
}

/** The largest body that is kept in memory, in bytes. */
export const LARGEST_IN_MEMORY: number = 256 * 1024;

/** A delivery into a maildir. */
export class MaildirDelivery implements Delivery {
	readonly #store: MaildirStore;
	readonly #message: MessageInfo;
	readonly #limits: DeliveryLimits;
	#views: Uint8Array[] = [];
	#spool: Spool | null = null; // if the body is large; then #views is empty
	#size = 0; // of the body so far
	#state: "open" | "committing" | "aborted" = "open";

	constructor(store: MaildirStore, message: MessageInfo, limits: DeliveryLimits) {
		this.#store = store;
		this.#message = message;
		this.#limits = limits;
	}

	get heldBytes(): number {
		return this.#spool === null ? this.#size : this.#spool.heldBytes;
	}

	write(bytes: Uint8Array): void | Promise<void> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "write() after commit() or abort()");
		if (this.#size + bytes.length > this.#limits.maxBytesPerMessage) throw messageTooLarge();
		this.#size += bytes.length;
		if (this.#spool !== null) return this.#spool.write(bytes);
		if (this.#size > LARGEST_IN_MEMORY) return this.#startSpool(bytes);
		this.#views.push(bytes);
		if (this.#views.length === MOST_VIEWS) this.#views = [Buffer.concat(this.#views)];
	}

	async commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "commit() after commit() or abort()");
		this.#state = "committing";
		try {
			await this.#spool?.end();
			return await this.#storeCopies(envelope);
		} catch (error) {
			throw queueError(error);
		} finally {
			await this.#spool?.remove();
			this.#views = [];
		}
	}

	async abort(): Promise<void> {
		if (this.#state === "committing") return; // it comes to its own end
		this.#state = "aborted";
		this.#views = [];
		await this.#spool?.remove();
	}

	#startSpool(bytes: Uint8Array): void | Promise<void> {
		this.#spool = this.#store.spool();
		if (this.#views.length > 0) this.#spool.write(Buffer.concat(this.#views)); // the first write never waits
		this.#views = [];
		return this.#spool.write(bytes);
	}

	/** It rejects if there is no copy, and that only because of faults. */
	async #storeCopies(envelope: Envelope): Promise<QmtpResponse[]> {
		const { maxCopies: copies, maxBytesPerMessage: bytes, minFree } = this.#limits;
		const room = minFree === undefined ? Number.POSITIVE_INFINITY : (await this.#store.freeBytes()) - minFree;
		const plan = planCopies(envelope, this.#message.addressEncoding, this.#size, { copies, bytes, room });
		const body = this.#spool ?? this.#views;
		const faults: unknown[] = [];
		const storeCopy = async (head: Uint8Array) => {
			try {
				await this.#store.storeCopy(head, body);
				return receipt(this.#message.id);
			} catch (error) {
				faults.push(error);
				return deferred(reasonOf(error));
			}
		};
		const responses = await Promise.all(
			plan.map((step) => (step instanceof Uint8Array ? storeCopy(step) : step)),
		);
		if (faults.length > 0 && faults.length === responses.length) throw faults[0];
		return responses;
	}
}

/** The error for a message that is larger than one message may be. */
export function messageTooLarge(): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", MESSAGE_TOO_LARGE, { permanent: true });
}

const MOST_VIEWS = 1023; // with the head, as many as one writev takes; and each view may pin a chunk
