/**
 * One call of `send` under way. It goes out as one package or as several, `OutgoingPackage`s, and settles when each
 * recipient has its result.
 */
import { spool } from "../body/spool.js";
import { ProtocolError, type QmtpError } from "../errors.js";
import type { AddressEncoding } from "../protocol/envelope.js";
import { type EncodedPackage, encodePackage } from "../protocol/package-encoder.js";
import type { QmtpResponse } from "../protocol/response.js";
import { type PreparedMessage, sourceError } from "./message.js";
import { type RecipientResult, type SendResult, sendResult } from "./result.js";

/** A message with its recipients' results. */
export class OutgoingMessage {
	readonly sender: string;
	readonly recipients: readonly string[];
	readonly addressEncoding: AddressEncoding;
	/** Settles when each recipient has its result; rejects if the caller gets none. */
	readonly result: Promise<SendResult>;
	/** True when `result` has settled: nothing more of it is to be sent. */
	settled = false;
	/** True when a byte of it has been handed to a connection. */
	begun = false;
	onProgress: ((bytes: number, total: number) => void) | undefined;

	#message: PreparedMessage | null = null;
	#closed = false;
	readonly #results: (RecipientResult | undefined)[];
	#missing: number;
	#resolve!: (result: SendResult) => void;
	#reject!: (reason: unknown) => void;

	constructor(sender: string, recipients: readonly string[], addressEncoding: AddressEncoding) {
		this.sender = sender;
		this.recipients = recipients;
		this.addressEncoding = addressEncoding;
		this.#results = new Array(recipients.length);
		this.#missing = recipients.length;
		this.result = new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
		this.result.catch(() => {}); // it may reject before somebody waits for it
	}

	/** What is sent, once it is prepared. */
	get message(): PreparedMessage {
		return this.#message as PreparedMessage;
	}

	/** A package for all recipients. */
	get whole(): OutgoingPackage {
		return new OutgoingPackage(this, 0, this.recipients.length);
	}

	/** Gives it what is sent. It is let go of at once if nobody wants the result any more. */
	prepare(message: PreparedMessage): Promise<void> | undefined {
		this.#message = message;
		return this.#closed ? message.body.close() : undefined;
	}

	/** Lets go of what is sent. */
	async close(): Promise<void> {
		this.#closed = true;
		await this.#message?.body.close();
	}

	/** Gives a recipient its result. */
	settle(index: number, result: RecipientResult): void {
		if (this.settled || this.#results[index] !== undefined) return;
		this.#results[index] = result;
		if (--this.#missing > 0) return;
		this.settled = true;
		this.#resolve(sendResult(this.#results as RecipientResult[]));
	}

	/** So many bytes of its body were handed to a connection. */
	progress(bytes: number): void {
		if (this.onProgress === undefined || this.settled) return;
		try {
			this.onProgress(bytes, this.message.body.length);
		} catch (error) {
			this.reject(error);
		}
	}

	/** The caller gets no result, but `reason`. */
	reject(reason: unknown): void {
		if (this.settled) return;
		this.settled = true;
		this.#reject(reason);
	}

	/** Spools a body that can be read only once. @throws UsageError `ERR_QMTP_MESSAGE_SOURCE`. */
	async makeRepeatable(): Promise<void> {
		const { body, encoding } = this.message;
		if (body.repeatable) return;
		try {
			await this.prepare({ encoding, body: await spool(body.chunks()) });
		} catch (error) {
			throw sourceError(error);
		}
	}
}

/** A package: a message with some of its recipients. */
export class OutgoingPackage {
	readonly outgoing: OutgoingMessage;
	readonly #first: number;
	/** How many recipients it has. */
	readonly recipients: number;
	/** How often its transmission was begun, or given up before it began. */
	attempts = 0;

	/** @param first - The index of its first recipient among the message's. */
	constructor(outgoing: OutgoingMessage, first: number, recipients: number) {
		this.outgoing = outgoing;
		this.#first = first;
		this.recipients = recipients;
	}

	/** True if its body can be sent once more. */
	get repeatable(): boolean {
		return this.outgoing.message.body.repeatable;
	}

	/** What stands around its body on the wire. @throws UsageError `ERR_QMTP_ADDRESS`. */
	encode(): EncodedPackage {
		const { sender, recipients, addressEncoding, message } = this.outgoing;
		const mine =
			this.recipients === recipients.length
				? recipients
				: recipients.slice(this.#first, this.#first + this.recipients);
		const { encoding, body } = message;
		return encodePackage({ sender, recipients: mine }, { encoding, length: body.length }, addressEncoding);
	}

	/** The same as packages of at most so many recipients each. */
	split(most: number): OutgoingPackage[] {
		const parts: OutgoingPackage[] = [];
		for (let offset = 0; offset < this.recipients; offset += most) {
			const count = Math.min(most, this.recipients - offset);
			parts.push(new OutgoingPackage(this.outgoing, this.#first + offset, count));
		}
		return parts;
	}

	/** Gives its recipients the server's responses, in order; there may be fewer than recipients. */
	answer(responses: readonly QmtpResponse[]): void {
		responses.forEach((response, index) => {
			this.#settle(index, response);
		});
	}

	/** Gives those of its recipients that have no response a Z. */
	defer(error: QmtpError, possiblyAccepted: boolean): void {
		const description = describe(error);
		for (let index = 0; index < this.recipients; index++) {
			this.#settle(index, { status: "Z", description, error, possiblyAccepted });
		}
	}

	#settle(index: number, result: Omit<RecipientResult, "recipient">): void {
		const at = this.#first + index;
		const recipient = this.outgoing.recipients[at] as string;
		this.outgoing.settle(at, { recipient, ...result });
	}
}

function describe(error: QmtpError): string {
	if (error instanceof ProtocolError) return "the server does not speak proper QMTP (#4.3.0)";
	switch (error.code) {
		case "ERR_QMTP_RESPONSE_TIMEOUT":
			return "the server did not answer in time (#4.4.2)";
		case "ERR_QMTP_RESPONSE_COUNT":
			return "the server did not answer for each recipient (#4.3.0)";
		case "ERR_QMTP_CONNECT":
		case "ERR_QMTP_CONNECT_TIMEOUT":
			return "no connection to the server (#4.4.1)";
		default:
			return "the connection ended before the answer (#4.4.2)";
	}
}
