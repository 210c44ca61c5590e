/**
 * One message on its way into a spool. A small body is kept as the views that came, and copied once into its package; a
 * large one goes to a file as it arrives.
 */
import { QueueError, UsageError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { MessageInfo } from "../../protocol/message-info.js";
import type { QmtpResponse } from "../../protocol/response.js";
import type { Delivery } from "../queue.js";
import { receipt } from "../receipt.js";
import { encodeStoredPackage, plannedResponses, planRecipients } from "../stored-package.js";
import type { BodyFile } from "./body-file.js";
import { queueError } from "./fault.js";
import type { Room } from "./room.js";
import { frontSize, type State, writeFront } from "./state.js";
import type { NewMessage, SpoolStore } from "./store.js";

/** What one message may take. */
export interface DeliveryLimits {
	readonly maxBytesPerMessage: number;
	readonly maxRecipients: number;
}

/** What a delivery is made with. */
export interface DeliveryPlace {
	readonly store: SpoolStore;
	readonly room: Room;
	readonly limits: DeliveryLimits;
	/** ms since 1970. */
	readonly now: () => number;
}

/** The largest body that is kept in memory and in the database, in bytes. */
export const LARGEST_IN_DATABASE: number = 256 * 1024;

/** A delivery into a spool. */
export class SpoolDelivery implements Delivery {
	readonly #place: DeliveryPlace;
	readonly #message: MessageInfo;
	#views: Uint8Array[] = NONE;
	#file: BodyFile | null = null; // if the body is large; then #views is empty
	#size = 0; // of the body so far
	#state: "open" | "committing" | "aborted" = "open";

	constructor(place: DeliveryPlace, message: MessageInfo) {
		this.#place = place;
		this.#message = message;
	}

	get heldBytes(): number {
		return this.#file === null ? this.#size : this.#file.heldBytes;
	}

	write(bytes: Uint8Array): void | Promise<void> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "write() after commit() or abort()");
		if (this.#size + bytes.length > this.#place.limits.maxBytesPerMessage) throw messageTooLarge();
		this.#size += bytes.length;
		if (this.#file !== null) return this.#file.write(bytes);
		if (this.#size > LARGEST_IN_DATABASE) return this.#startFile(bytes);
		if (this.#views.length === 0) this.#views = [bytes];
		else if (this.#views.push(bytes) === MOST_VIEWS) this.#views = [Buffer.concat(this.#views)];
	}

	/** It is no async function, and calls none when it need not wait: each makes some promises more for a message. */
	commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		if (this.#state !== "open") {
			return Promise.reject(new UsageError("ERR_QMTP_ENDED", "commit() after commit() or abort()"));
		}
		this.#state = "committing";
		try {
			return this.#store(envelope);
		} catch (error) {
			return this.#failed(error);
		}
	}

	async abort(): Promise<void> {
		if (this.#state === "committing") return; // it comes to its own end
		this.#state = "aborted";
		this.#views = NONE;
		await this.#file?.remove();
	}

	#startFile(bytes: Uint8Array): void | Promise<void> {
		this.#file = this.#place.store.bodies.create(this.#message.id);
		if (this.#views.length > 0) this.#file.write(Buffer.concat(this.#views)); // the first write never waits
		this.#views = NONE;
		return this.#file.write(bytes);
	}

	#store({ sender, recipients }: Envelope): Promise<readonly QmtpResponse[]> {
		const { store, room, limits } = this.#place;
		const { id, addressEncoding } = this.#message;
		const plan = planRecipients({ sender, recipients }, addressEncoding, limits.maxRecipients);
		if (plan.stored.length === 0) return this.#storeNothing(plan.refusals as QmtpResponse[]);
		const message = this.#newMessage({ sender, recipients: plan.stored });
		this.#views = NONE;
		const onDisk = message.record.length; // what a file has is there, for the most part
		const wait = room.check(this.#file === null ? onDisk : onDisk + this.#size, true, onDisk);
		const storing =
			wait === undefined && this.#file === null ? store.insert(message) : this.#insertAfter(wait, message);
		return storing.then(
			(isNew) => (isNew ? plannedResponses(plan, receipt(id)) : this.#refuse(message)),
			(error) => this.#failed(error),
		);
	}

	async #storeNothing(responses: readonly QmtpResponse[]): Promise<readonly QmtpResponse[]> {
		this.#views = NONE;
		await this.#file?.remove();
		return responses;
	}

	async #insertAfter(wait: void | Promise<void>, message: NewMessage): Promise<boolean> {
		const { store } = this.#place;
		await wait;
		if (this.#file !== null) {
			await this.#file.end();
			await store.bodies.sync();
		}
		return await store.insert(message);
	}

	#newMessage(envelope: Envelope): NewMessage {
		const { addressEncoding, id } = this.#message;
		const body = { pieces: this.#views, length: this.#size };
		const file = this.#file?.name;
		const { bytes, bodyAt } = encodeStoredPackage(envelope, addressEncoding, body, frontSize(file));
		const now = this.#place.now();
		const state: State = {
			queuedAt: now,
			size: this.#size,
			bodyAt,
			due: now,
			attempts: 0,
			...(addressEncoding === "latin1" ? LATIN1 : null),
			...(file === undefined ? null : { file }),
		};
		writeFront(bytes, state);
		return { id, state, record: bytes };
	}

	/** Its id is in use. */
	async #refuse({ id, state }: NewMessage): Promise<never> {
		await this.#place.store.removePlace(id, state.due).catch(() => {}); // it goes when its time has come
		return await this.#failed(new QueueError("ERR_QMTP_QUEUE", "message id is in use (#4.3.0)"));
	}

	async #failed(error: unknown): Promise<never> {
		this.#views = NONE;
		await this.#removeFile();
		throw queueError(error);
	}

	/** Removes the file, unless the message was stored all the same: LMDB may fail behind the point of no return. */
	async #removeFile(): Promise<void> {
		const file = this.#file;
		if (file === null) return;
		try {
			if (this.#place.store.isNamed(this.#message.id, file.name)) return;
		} catch {
			return; // nobody knows; it is removed with the left-overs
		}
		await file.remove();
	}
}

/** The error for a message that is larger than one message may be. */
export function messageTooLarge(): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "message too large (#5.3.4)", { permanent: true });
}

const MOST_VIEWS = 1023; // each may pin a chunk
const NONE: Uint8Array[] = []; // never pushed to
const LATIN1 = { latin1: true } as const;
