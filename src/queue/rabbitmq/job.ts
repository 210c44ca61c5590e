/** A job of a queue of RabbitMQ. */
import { type Body, bytesBody, ownChunks } from "../../body/body.js";
import { UsageError } from "../../errors.js";
import type { AddressEncoding, Envelope } from "../../protocol/envelope.js";
import type { QmtpResponse } from "../../protocol/response.js";
import { settlement } from "../settlement.js";
import type { Job } from "../source.js";
import type { Out } from "./out.js";

/** A message, as the source hands it out. */
export class RabbitmqJob implements Job {
	readonly id: string;
	readonly envelope: Envelope;
	readonly addressEncoding: AddressEncoding;
	readonly body: Body & AsyncIterable<Uint8Array>;
	readonly size: number;
	readonly attempts: number;
	readonly queuedAt: number;
	readonly #out: Out;
	readonly #now: () => number;
	#settled = false;

	constructor(out: Out, now: () => number) {
		const { state, envelope, body, attempts } = out.mail;
		this.id = state.id;
		this.envelope = envelope;
		this.addressEncoding = state.encoding;
		const bytes = bytesBody(body);
		const chunks = () => ownChunks(bytes); // what is left of the message is stored out of the same bytes
		this.body = { ...bytes, chunks, [Symbol.asyncIterator]: chunks };
		this.size = body.length;
		this.attempts = attempts;
		this.queuedAt = state.queuedAt;
		this.#out = out;
		this.#now = now;
	}

	async settle(responses: readonly QmtpResponse[], nextAttempt?: number | Date): Promise<void> {
		if (this.#settled) throw new UsageError("ERR_QMTP_ENDED", "settle() after it has settled");
		const { recipients } = this.envelope;
		const settled = settlement(recipients.length, responses, { nextAttempt, now: this.#now() });
		const left = [...recipients.keys()].filter((index) => settled.finished[index] === false);
		this.#settled = true;
		try {
			await this.#out.settle(
				left.length === 0
					? null
					: {
							recipients: left.map((index) => recipients[index] as string),
							left,
							nextAttempt: settled.nextAttempt,
						},
			);
		} catch (error) {
			this.#settled = false;
			throw error;
		}
	}
}
