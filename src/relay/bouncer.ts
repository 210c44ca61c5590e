/**
 * Puts bounces into a queue. A message that cannot be delivered is told to its sender, a bounce that cannot be delivered
 * to the postmaster, and of one to the postmaster nobody is told.
 */
import { QueueError } from "../errors.js";
import type { AddressEncoding, Envelope } from "../protocol/envelope.js";
import type { QmtpResponse } from "../protocol/response.js";
import type { Queue } from "../queue/queue.js";
import type { Job } from "../queue/source.js";
import { newMessageId } from "../server/message-id.js";
import { readableAddress } from "./addresses.js";
import { type Composer, type FailedRecipient, loadComposer, type Original, readOriginal } from "./bounce.js";

/** What has become of a bounce. */
export type Bounced =
	| { readonly type: "bounced"; readonly to: string; readonly description: string }
	| { readonly type: "dropped"; readonly reason: string };

/** Who sends bounces, and where they go. */
export interface BouncerSettings {
	readonly bounces: Queue;
	readonly hostname: string;
	readonly postmaster: string;
	/** Told of a message that cannot be read, and of which the bounce shows nothing. */
	readonly fault: (error: Error, id: string) => void;
}

/** Sends mail back. */
export class Bouncer {
	readonly #settings: BouncerSettings;
	#composer: Composer | null = null;

	constructor(settings: BouncerSettings) {
		this.#settings = settings;
	}

	/** Makes ready what is needed. @throws UsageError `ERR_QMTP_PACKAGE`; QueueError if the queue cannot be used. */
	async prepare(): Promise<void> {
		this.#composer ??= await loadComposer();
		await this.#settings.bounces.prepare?.();
	}

	/**
	 * Tells that recipients of a message were given up. When it resolves the bounce is stored, and they may be forgotten.
	 *
	 * @param date - ms since 1970.
	 * @throws An error if the bounce could not be stored; it may be tried again.
	 */
	async bounce(job: Job, failed: readonly FailedRecipient[], date: number): Promise<Bounced> {
		const { sender } = job.envelope;
		const { postmaster } = this.#settings;
		if (sender === DOUBLE_BOUNCE) return { type: "dropped", reason: "it is a double bounce" };
		if (sender === "") {
			const isTriple = failed.every(({ address }) => address.toLowerCase() === postmaster.toLowerCase());
			if (isTriple) return { type: "dropped", reason: "the postmaster cannot be told" };
			return await this.#bounceTo(postmaster, job, failed, date);
		}
		const response = await this.#store({ to: sender, encoding: job.addressEncoding }, job, failed, date);
		if (response.status === "K") return { type: "bounced", to: sender, description: response.description };
		return await this.#bounceTo(postmaster, job, failed, date); // no mail can be for that sender
	}

	async #bounceTo(
		postmaster: string,
		job: Job,
		failed: readonly FailedRecipient[],
		date: number,
	): Promise<Bounced> {
		const to = { to: postmaster, encoding: "utf-8" } as const;
		const { status, description } = await this.#store(to, job, failed, date);
		if (status === "K") return { type: "bounced", to: postmaster, description };
		return { type: "dropped", reason: `the postmaster cannot be told: ${description}` };
	}

	/** @returns K or D. @throws An error for all else. */
	async #store(
		{ to, encoding }: Addressee,
		job: Job,
		failed: readonly FailedRecipient[],
		date: number,
	): Promise<QmtpResponse> {
		const { hostname } = this.#settings;
		this.#composer ??= await loadComposer();
		const bytes = await this.#composer({
			hostname,
			to: readableAddress(to, encoding),
			isDouble: job.envelope.sender === "",
			failed,
			arrival: job.queuedAt,
			date,
			original: await this.#original(job),
		});
		try {
			return await this.#commit(bytes, { sender: "", recipients: [to] }, encoding);
		} catch (error) {
			if (error instanceof QueueError && error.permanent) return { status: "D", description: error.message };
			throw error;
		}
	}

	async #original({ id, body, size }: Job): Promise<Original | null> {
		try {
			return await readOriginal(body, size);
		} catch (error) {
			this.#settings.fault(error as Error, id);
			return null;
		}
	}

	async #commit(bytes: Buffer, envelope: Envelope, addressEncoding: AddressEncoding): Promise<QmtpResponse> {
		const delivery = await this.#settings.bounces.open({
			id: newMessageId(),
			peer: { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 0 },
			access: {},
			encoding: "lf",
			length: bytes.length,
			exact: true,
			addressEncoding,
		});
		try {
			await delivery.write(bytes);
		} catch (error) {
			await delivery.abort(error as Error);
			throw error;
		}
		const [response] = await delivery.commit(envelope);
		if (response?.status === "K" || response?.status === "D") return response;
		throw new QueueError("ERR_QMTP_QUEUE", response?.description ?? "no response (#4.3.0)");
	}
}

/** Who gets a bounce. */
interface Addressee {
	readonly to: string;
	readonly encoding: AddressEncoding;
}

/** The sender of qmail's double bounces. */
const DOUBLE_BOUNCE = "#@[]";
