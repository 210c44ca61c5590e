/**
 * One package on its way through a server: its body into a delivery of the queue, its hooks, and the response to each
 * recipient.
 *
 * Nothing may be answered before the package's last byte, so a refusal is remembered, and the rest is read and dropped.
 * Which refusal a recipient sees is decided at the end, in the order of qmail-qmtpd: its own, the message's (its size,
 * then the `message` hook), the sender's, the queue's.
 *
 * Each step returns nothing, or a promise if the session must wait before the next. Steps never throw, and these
 * promises never reject: what a hook or a queue throws is an answer, and is told as a fault.
 */
import { QueueError } from "../errors.js";
import { LineDecoder } from "../protocol/line-decoder.js";
import type { MessageInfo } from "../protocol/message-info.js";
import type { PackageDecoder } from "../protocol/package-decoder.js";
import { deferred, type QmtpResponse, rejected, type Verdict } from "../protocol/response.js";
import type { Delivery } from "../queue/queue.js";
import { decodeAddress } from "./addresses.js";
import type { ServerSettings } from "./options.js";
import {
	BAD_RECIPIENT,
	BAD_SENDER,
	COMMIT_TIMEOUT,
	FAULT,
	NOT_ANSWERED,
	NOT_MY_DOMAIN,
	NOT_STORED,
	TOO_LARGE,
	TOO_MANY_RECIPIENTS,
} from "./refusals.js";

type Wait = void | Promise<void>;

/** What a transaction needs of its session. */
export interface TransactionContext {
	readonly settings: ServerSettings;
	readonly messageBytes: number;
	/** If set, all recipients get it, whatever else is known. */
	readonly refusal: QmtpResponse | null;
	/** The field to put on top of the message, if one is. */
	readonly received: Uint8Array | null;
	/** Tells of a hook or queue that failed. */
	fault(error: Error, message: MessageInfo): void;
	/** Bytes of the body will be handed up no more. */
	skipBody(): void;
}

/** A package from its message to its responses. */
export class Transaction {
	readonly info: MessageInfo;
	/** The recipients in the client's order; null for those that could not be read. */
	readonly recipients: (string | null)[] = [];
	/** The sender, or null if it could not be read. */
	senderAddress: string | null = null;

	readonly #context: TransactionContext;
	readonly #asSent: boolean;
	#delivery: Delivery | null = null;
	#opening = false; // `open` was called and has not returned
	#lines: LineDecoder | null = null;
	#bodyBytes = 0; // after line decoding
	#refusals: (QmtpResponse | null)[] = []; // of each recipient, its own
	#taken: string[] = [];
	#messageRefusal: QmtpResponse | null = null;
	#senderRefusal: QmtpResponse | null = null;
	#queueRefusal: QmtpResponse | null = null;
	#abandoned: Error | null = null;

	constructor(info: MessageInfo, context: TransactionContext) {
		this.info = info;
		this.#context = context;
		this.#asSent = context.settings.queue.lines === "as-sent";
	}

	/** How many bytes of body were taken in so far, after line decoding. */
	get bodyBytes(): number {
		return this.#bodyBytes;
	}

	/** The message's length is known. */
	begin(): Wait {
		const { info } = this;
		const { refusal, messageBytes } = this.#context;
		const { length = 0 } = info;
		if (refusal !== null) return this.#context.skipBody();
		// Decoding can at most halve a body.
		if ((info.encoding === "lf" ? length : length / 2) > messageBytes) return this.#refuseMessage(TOO_LARGE);
		// Line ends are decoded for the queue, or only for the count.
		if (info.encoding === "crlf" && (!this.#asSent || length > messageBytes)) this.#lines = new LineDecoder();
		const { hooks } = this.#context.settings;
		if (hooks.message === undefined) return this.#open();
		return this.#decide(
			() => hooks.message?.(info),
			(refusal) => (refusal === null ? this.#open() : this.#refuseMessage(refusal)),
		);
	}

	/** Bytes of the body, a view. */
	body(bytes: Uint8Array): Wait {
		if (this.#delivery === null) return;
		const decoded = this.#lines === null ? bytes : this.#lines.decode(bytes);
		return this.#write(bytes, decoded);
	}

	/** The sender's address is what `decoder` came upon. */
	sender(decoder: PackageDecoder): Wait {
		const rest = this.#lines?.end();
		const wait = rest !== undefined && rest.length > 0 ? this.#write(NOTHING, rest) : undefined;
		this.senderAddress = this.#address(decoder);
		const address = this.senderAddress;
		const { hooks } = this.#context.settings;
		if (address === null) {
			this.#senderRefusal = BAD_SENDER;
			return wait;
		}
		if (hooks.sender === undefined || this.#context.refusal !== null) return wait;
		const ask = () =>
			this.#decide(
				() => hooks.sender?.(address, this.info),
				(refusal) => {
					this.#senderRefusal = refusal;
				},
			);
		return wait === undefined ? ask() : wait.then(ask);
	}

	/** A recipient's address is what `decoder` came upon. */
	recipient(decoder: PackageDecoder): Wait {
		const { hooks, limits } = this.#context.settings;
		if (this.recipients.length >= limits.recipients) {
			this.recipients.push(null);
			this.#refusals.push(this.#context.refusal ?? TOO_MANY_RECIPIENTS);
			return;
		}
		const address = this.#address(decoder, Buffer.byteLength(this.#suffix));
		this.recipients.push(address);
		if (this.#context.refusal !== null) {
			this.#refusals.push(this.#context.refusal);
			return;
		}
		if (address === null) {
			this.#refusals.push(BAD_RECIPIENT);
			return;
		}
		if (hooks.recipient === undefined) {
			if (this.info.access.relay === true) return this.#take(address);
			this.#refusals.push(NOT_MY_DOMAIN);
			return;
		}
		const index = this.#refusals.push(null) - 1;
		return this.#decide(
			() => hooks.recipient?.(address, this.info),
			(refusal) => {
				this.#refusals[index] = refusal;
				if (refusal === null) this.#taken.push(address + this.#suffix);
			},
		);
	}

	/** The package is complete: one response for each recipient, now or when the queue has committed. */
	end(): readonly QmtpResponse[] | Promise<readonly QmtpResponse[]> {
		const delivery = this.#delivery;
		const shared = this.#shared;
		if (delivery === null || shared !== null || this.#taken.length === 0) {
			const responses = this.#responses([], shared ?? NOT_STORED);
			const aborted = this.#abort(new QueueError("ERR_QMTP_QUEUE", "nobody is to get this message"));
			return aborted === undefined ? responses : aborted.then(() => responses);
		}
		this.#delivery = null;
		const envelope = { sender: this.senderAddress as string, recipients: this.#taken };
		try {
			return Promise.resolve(delivery.commit(envelope)).then(
				(answers) => this.#responses(this.#checked(answers), NOT_ANSWERED),
				(error) => this.#responses([], this.#failed(error)),
			);
		} catch (error) {
			return this.#responses([], this.#failed(error));
		}
	}

	/** The responses if the queue takes too long: Z for all whom it was to answer. */
	timedOut(): readonly QmtpResponse[] {
		this.#context.fault(
			new QueueError("ERR_QMTP_QUEUE_COMMIT_TIMEOUT", "the queue did not commit a message in time"),
			this.info,
		);
		return this.#responses([], this.#shared ?? COMMIT_TIMEOUT);
	}

	/** The package will never be complete: throws away what was made for it. */
	abandon(reason: Error): Wait {
		this.#abandoned = reason;
		if (!this.#opening) return this.#abort(reason);
	}

	get #suffix(): string {
		const { relay, suffix } = this.info.access;
		return relay === true && suffix !== undefined ? suffix : "";
	}

	/** What all recipients get that have no refusal of their own, if anything is known to be wrong. */
	get #shared(): QmtpResponse | null {
		return this.#messageRefusal ?? this.#senderRefusal ?? this.#queueRefusal;
	}

	#take(address: string): void {
		this.#refusals.push(null);
		this.#taken.push(address + this.#suffix);
	}

	#address(decoder: PackageDecoder, more = 0): string | null {
		const { limits, addressEncoding } = this.#context.settings;
		if (decoder.tooLong || decoder.end - decoder.start + more > limits.addressBytes) return null;
		return decodeAddress(decoder.chunk, decoder.start, decoder.end, addressEncoding);
	}

	#refuseMessage(response: QmtpResponse): Wait {
		this.#messageRefusal = response;
		this.#context.skipBody();
		return this.#abort(new QueueError("ERR_QMTP_QUEUE", response.description));
	}

	#open(): Wait {
		this.#opening = true;
		return this.#ask(
			() => this.#context.settings.queue.open(this.info),
			(delivery) => {
				this.#opening = false;
				if (typeof delivery?.write !== "function") return this.#refuseQueue(this.#failed(NO_DELIVERY));
				this.#delivery = delivery;
				if (this.#abandoned !== null) return this.#abort(this.#abandoned);
				const { received } = this.#context;
				if (received !== null) return this.#deliver(received);
			},
			(failure) => {
				this.#opening = false;
				this.#refuseQueue(failure);
			},
		);
	}

	#write(sent: Uint8Array, decoded: Uint8Array): Wait {
		this.#bodyBytes += decoded.length;
		if (this.#bodyBytes > this.#context.messageBytes) return this.#refuseMessage(TOO_LARGE);
		const bytes = this.#asSent ? sent : decoded;
		if (bytes.length > 0) return this.#deliver(bytes);
	}

	#deliver(bytes: Uint8Array): Wait {
		const delivery = this.#delivery;
		if (delivery === null) return;
		try {
			const wait = delivery.write(bytes);
			return wait?.then(undefined, (error: unknown) => this.#writeFailed(error));
		} catch (error) {
			return this.#writeFailed(error);
		}
	}

	#writeFailed(error: unknown): Wait {
		if (this.#abandoned !== null) return; // it was aborted under way
		this.#refuseQueue(this.#failed(error));
		return this.#abort(error instanceof Error ? error : new Error(String(error)));
	}

	#refuseQueue(response: QmtpResponse): void {
		this.#queueRefusal = response;
		this.#context.skipBody();
	}

	#abort(reason: Error): Wait {
		const delivery = this.#delivery;
		this.#delivery = null;
		if (delivery === null) return;
		try {
			return Promise.resolve(delivery.abort(reason)).catch((error) => void this.#tell(error));
		} catch (error) {
			this.#tell(error);
		}
	}

	/** Asks a hook; `use` gets the refusal that its answer is, or null. */
	#decide(hook: () => Verdict | Promise<Verdict>, use: (refusal: QmtpResponse | null) => Wait): Wait {
		return this.#ask(hook, (verdict) => use(this.#refusal(verdict)), use);
	}

	#refusal(verdict: Verdict): QmtpResponse | null {
		if (verdict === undefined || verdict === null) return null;
		if (!isResponse(verdict)) return this.#failed(NO_VERDICT);
		// A hook cannot accept in the queue's place: mail that nobody stored would get a K.
		return verdict.status === "K" ? null : verdict;
	}

	/** Calls a hook or a queue, and uses what it says now or later. */
	#ask<T>(call: () => T | Promise<T>, use: (answer: T) => Wait, failed: (as: QmtpResponse) => Wait): Wait {
		let answer: T | Promise<T>;
		try {
			answer = call();
		} catch (error) {
			return failed(this.#failed(error));
		}
		if (!isPromise(answer)) return use(answer);
		return Promise.resolve(answer).then(use, (error) => failed(this.#failed(error)));
	}

	/** The response that a throw is. */
	#failed(thrown: unknown): QmtpResponse {
		const error = this.#tell(thrown);
		if (!(error instanceof QueueError)) return FAULT;
		return error.permanent ? rejected(error.message) : deferred(error.message);
	}

	#tell(thrown: unknown): Error {
		const error = thrown instanceof Error ? thrown : new Error(String(thrown));
		this.#context.fault(error, this.info);
		return error;
	}

	/** A queue's answers, without those that are none. */
	#checked(answers: readonly QmtpResponse[]): readonly (QmtpResponse | undefined)[] {
		const valid =
			Array.isArray(answers) && answers.length === this.#taken.length && answers.every(isResponse);
		if (valid) return answers;
		const message = `the queue gave no valid response for each of ${this.#taken.length} recipients`;
		this.#tell(new QueueError("ERR_QMTP_QUEUE_RESPONSES", message));
		return Array.isArray(answers) ? answers.map((answer) => (isResponse(answer) ? answer : undefined)) : [];
	}

	/** One response for each recipient: its own refusal, else the queue's next answer, else `missing`. */
	#responses(answers: readonly (QmtpResponse | undefined)[], missing: QmtpResponse): readonly QmtpResponse[] {
		let next = 0;
		return this.#refusals.map((own) => own ?? answers[next++] ?? missing);
	}
}

function isResponse(value: unknown): value is QmtpResponse {
	const response = value as QmtpResponse | null | undefined;
	const status = response?.status;
	return (status === "K" || status === "Z" || status === "D") && typeof response?.description === "string";
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
	return typeof (value as Promise<T> | undefined)?.then === "function";
}

const NO_VERDICT = new QueueError("ERR_QMTP_HOOK", "a hook's answer is no response (#4.3.0)");
const NO_DELIVERY = new QueueError("ERR_QMTP_QUEUE", "the queue opened no delivery (#4.3.0)");
const NOTHING = new Uint8Array(0);
