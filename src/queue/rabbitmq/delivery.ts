/** One message on its way to a broker. It is kept as the views that came, and copied once into its package. */
import { UsageError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { MessageInfo } from "../../protocol/message-info.js";
import type { QmtpResponse } from "../../protocol/response.js";
import type { Delivery } from "../queue.js";
import { receipt } from "../receipt.js";
import { encodeStoredPackage, plannedResponses, planRecipients } from "../stored-package.js";
import { messageTooLarge, queueError } from "./fault.js";
import { properties } from "./message.js";
import type { Publisher } from "./publisher.js";

/** What a delivery is made with. */
export interface DeliveryPlace {
	readonly publisher: Publisher;
	/** The name of the main queue. */
	readonly queue: string;
	readonly maxBytesPerMessage: number;
	readonly maxRecipients: number;
	/** ms since 1970. */
	readonly now: () => number;
}

/** A delivery to a broker. */
export class RabbitmqDelivery implements Delivery {
	readonly #place: DeliveryPlace;
	readonly #message: MessageInfo;
	#pieces: Uint8Array[] = []; // the first #joined are copies, the others views
	#joined = 0;
	#size = 0; // of the body so far
	#state: "open" | "committing" | "ended" = "open";

	constructor(place: DeliveryPlace, message: MessageInfo) {
		this.#place = place;
		this.#message = message;
	}

	/** The body, until the broker has it: the views, and then the package. */
	get heldBytes(): number {
		return this.#state === "ended" ? 0 : this.#size;
	}

	write(bytes: Uint8Array): void {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "write() after commit() or abort()");
		if (this.#size + bytes.length > this.#place.maxBytesPerMessage) throw messageTooLarge();
		this.#size += bytes.length;
		this.#pieces.push(bytes);
		if (this.#pieces.length - this.#joined < MOST_VIEWS) return;
		this.#pieces.push(Buffer.concat(this.#pieces.splice(this.#joined)));
		this.#joined = this.#pieces.length;
	}

	async commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "commit() after commit() or abort()");
		this.#state = "committing";
		try {
			return await this.#publish(envelope);
		} catch (error) {
			throw queueError(error, "notSent");
		} finally {
			this.#pieces = [];
			this.#state = "ended";
		}
	}

	async abort(): Promise<void> {
		if (this.#state === "committing") return; // it comes to its own end
		this.#state = "ended";
		this.#pieces = [];
	}

	async #publish({ sender, recipients }: Envelope): Promise<QmtpResponse[]> {
		const { publisher, queue, maxRecipients, now } = this.#place;
		const { id, addressEncoding: encoding } = this.#message;
		const plan = planRecipients({ sender, recipients }, encoding, maxRecipients);
		if (plan.stored.length === 0) return plan.refusals as QmtpResponse[];
		const envelope = { sender, recipients: plan.stored };
		const { bytes } = encodeStoredPackage(envelope, encoding, { pieces: this.#pieces, length: this.#size });
		this.#pieces = [];
		const state = { id, encoding, queuedAt: now(), attempts: 0, nextAttempt: 0 };
		await publisher.publish({ queue, body: bytes, properties: properties(state) });
		return plannedResponses(plan, receipt(id));
	}
}

const MOST_VIEWS = 1023; // each may pin a chunk
