/**
 * One message on its way into a spool. A small body is kept as the views that came, and copied once into its package; a
 * large one goes to a file as it arrives.
 */
import { QueueError, UsageError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { MessageInfo } from "../../protocol/message-info.js";
import { encodePackage } from "../../protocol/package-encoder.js";
import type { QmtpResponse } from "../../protocol/response.js";
import type { Delivery } from "../queue.js";
import { receipt } from "../receipt.js";
import { planRecipients } from "../stored-package.js";
import type { BodyFile } from "./body-file.js";
import { queueError } from "./fault.js";
import type { Room } from "./room.js";
import type { State } from "./state.js";
import type { SpoolStore } from "./store.js";

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
	#views: Uint8Array[] = [];
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
		this.#views.push(bytes);
		if (this.#views.length === MOST_VIEWS) this.#views = [Buffer.concat(this.#views)];
	}

	async commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "commit() after commit() or abort()");
		this.#state = "committing";
		try {
			return await this.#store(envelope);
		} catch (error) {
			await this.#removeFile();
			throw queueError(error);
		} finally {
			this.#views = [];
		}
	}

	async abort(): Promise<void> {
		if (this.#state === "committing") return; // it comes to its own end
		this.#state = "aborted";
		this.#views = [];
		await this.#file?.remove();
	}

	#startFile(bytes: Uint8Array): void | Promise<void> {
		this.#file = this.#place.store.bodies.create(this.#message.id);
		if (this.#views.length > 0) this.#file.write(Buffer.concat(this.#views)); // the first write never waits
		this.#views = [];
		return this.#file.write(bytes);
	}

	async #store({ sender, recipients }: Envelope): Promise<QmtpResponse[]> {
		const { store, room, limits } = this.#place;
		const { id, addressEncoding } = this.#message;
		const plan = planRecipients({ sender, recipients }, addressEncoding, limits.maxRecipients);
		const stored = recipients.filter((_, index) => plan[index] === null);
		if (stored.length === 0) {
			await this.#file?.remove();
			return plan as QmtpResponse[];
		}
		const message = { encoding: "lf", length: this.#size } as const;
		const { head, tail } = encodePackage({ sender, recipients: stored }, message, addressEncoding);
		const around = head.length + tail.length;
		const onDisk = this.#file === null ? this.#size + around : around; // what a file has is there, for the most part
		const wait = room.check(this.#size + around, true, onDisk);
		if (wait !== undefined) await wait;
		await this.#file?.end();
		if (this.#file !== null) await store.bodies.sync();
		const bytes = Buffer.concat([head, ...this.#views, tail]);
		const isNew = await store.insert({ id, package: bytes, state: this.#newState(head.length) });
		if (!isNew) throw new QueueError("ERR_QMTP_QUEUE", "message id is in use (#4.3.0)");
		return plan.map((response) => response ?? receipt(id));
	}

	#newState(bodyAt: number): State {
		const now = this.#place.now();
		return {
			queuedAt: now,
			size: this.#size,
			bodyAt,
			...(this.#message.addressEncoding === "latin1" ? { latin1: true } : {}),
			...(this.#file === null ? {} : { file: this.#file.name }),
			due: now,
			attempts: 0,
		};
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
