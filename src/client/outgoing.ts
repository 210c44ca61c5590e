/**
 * One call of `send` under way. It goes out as one package or as several, `OutgoingPackage`s, and settles when each
 * recipient has its result.
 */
import { spool } from "../body/spool.js";
import { ProtocolError, type QmtpError } from "../errors.js";
import type { AddressEncoding } from "../protocol/envelope.js";
import { type EncodedPackage, encodePackage } from "../protocol/package-encoder.js";
import type { QmtpResponse } from "../protocol/response.js";
import { type Calls, ignorable } from "./calls.js";
import { type PreparedMessage, sourceError } from "./message.js";
import { type RecipientResult, type SendResult, sendResult } from "./result.js";

/** A message with its recipients' results. */
export class OutgoingMessage {
	readonly sender: string;
	readonly recipients: readonly string[];
	readonly addressEncoding: AddressEncoding;
	/** True when what becomes of the call is known: nothing more of it is to be sent. */
	settled = false;
	/** True when a byte of it has been handed to a connection. */
	begun = false;
	onProgress: ((bytes: number, total: number) => void) | undefined;
	/** Lets go of what the call holds besides its body, such as the stream that the body is made of. */
	release: (() => void) | null = null;

	#message: PreparedMessage | null = null;
	#closed = false;
	readonly #results: (RecipientResult | undefined)[];
	#missing: number;
	#calls: Calls | null = null;
	#promise: Promise<SendResult> | null = null;
	#resolve: ((result: SendResult) => void) | null = null;
	#reject: ((reason: unknown) => void) | null = null;

	constructor(sender: string, recipients: readonly string[], addressEncoding: AddressEncoding) {
		this.sender = sender;
		this.recipients = recipients;
		this.addressEncoding = addressEncoding;
		this.#results = new Array(recipients.length);
		this.#missing = recipients.length;
	}

	/** Makes it one of the calls under way, until `result` settles. */
	begin(calls: Calls): void {
		this.#calls = calls;
		calls.add(this);
	}

	/**
	 * Resolves when each recipient has its result and what was held is let go of; rejects if the caller gets none. It is
	 * to be asked for before it settles.
	 */
	get result(): Promise<SendResult> {
		this.#promise ??= new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
		return this.#promise;
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

	/** Gives a recipient its result. */
	settle(index: number, result: RecipientResult): void {
		if (this.settled || this.#results[index] !== undefined) return;
		this.#results[index] = result;
		if (--this.#missing > 0) return;
		this.settled = true;
		const all = sendResult(this.#results as RecipientResult[]);
		if (this.#message !== null && this.#message.body.bytes !== null) {
			// The common case: what is in memory needs no close, and no promises for it.
			this.release?.();
			this.#fulfil(all);
		} else {
			// The server has said what became of it: a file that cannot be closed changes nothing about that.
			const fulfil = () => this.#fulfil(all);
			this.#letGo().then(fulfil, fulfil);
		}
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
		this.#letGo().then(
			() => this.#fail(reason),
			(error) => this.#fail(error),
		);
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

	async #letGo(): Promise<void> {
		this.#closed = true;
		try {
			await this.#message?.body.close();
		} finally {
			this.release?.();
		}
	}

	#fulfil(result: SendResult): void {
		this.#resolve?.(result);
		this.#calls?.delete(this);
	}

	#fail(reason: unknown): void {
		this.#reject?.(reason);
		if (this.#promise !== null) ignorable(this.#promise);
		this.#calls?.delete(this);
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

	/** Says that its transmission begins. */
	begin(): void {
		this.attempts++;
		this.outgoing.begun = true;
	}

	/** The addresses of its recipients. */
	get addresses(): readonly string[] {
		const { recipients } = this.outgoing;
		if (this.recipients === recipients.length) return recipients;
		return recipients.slice(this.#first, this.#first + this.recipients);
	}

	/** What stands around its body on the wire. @throws UsageError `ERR_QMTP_OPTION` if that has no proper length. */
	encode(): EncodedPackage {
		const { sender, addressEncoding, message } = this.outgoing;
		const { encoding, body } = message;
		const envelope = { sender, recipients: this.addresses };
		return encodePackage(envelope, { encoding, length: body.length }, addressEncoding);
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
		for (let index = 0; index < responses.length; index++) {
			const { status, description } = responses[index] as QmtpResponse;
			const at = this.#first + index;
			const recipient = this.outgoing.recipients[at] as string;
			this.outgoing.settle(at, { recipient, status, description });
		}
	}

	/** Gives those of its recipients that have no response a Z. */
	defer(error: QmtpError, possiblyAccepted: boolean): void {
		const description = describe(error);
		for (let index = 0; index < this.recipients; index++) {
			const at = this.#first + index;
			const recipient = this.outgoing.recipients[at] as string;
			this.outgoing.settle(at, { recipient, status: "Z", description, error, possiblyAccepted });
		}
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
