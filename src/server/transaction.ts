/**
 * One package on its way through a server: its hooks, its message's intake, and the response to each recipient.
 *
 * Nothing may be answered before the package's last byte, so a refusal is remembered, and the rest is read and dropped.
 * Which refusal a recipient sees is decided at the end, in the order of qmail-qmtpd: its own, the message's (its size,
 * then the `message` hook), the sender's, the queue's.
 *
 * Each step returns nothing, or a promise if the session must wait before the next. Steps never throw, and these
 * promises never reject: what a hook throws is an answer, and is told as a fault.
 */
import { QueueError } from "../errors.js";
import type { Envelope } from "../protocol/envelope.js";
import { LineDecoder } from "../protocol/line-decoder.js";
import type { MessageInfo } from "../protocol/message-info.js";
import type { PackageDecoder } from "../protocol/package-decoder.js";
import { BAD_RECIPIENT, BAD_SENDER } from "../protocol/refusals.js";
import type { QmtpResponse } from "../protocol/response.js";
import { decodeAddress } from "./addresses.js";
import type { ConnectionBytes } from "./held-bytes.js";
import { Intake, type IntakeOwner, isPromise, type Wait } from "./intake.js";
import type { ServerSettings } from "./options.js";
import { PackageBytes } from "./package-bytes.js";
import type { PackageTrace } from "./package-trace.js";
import { COMMIT_TIMEOUT, NOT_STORED, TOO_LARGE, TOO_MANY_RECIPIENTS } from "./refusals.js";
import type { PackageReport } from "./reports.js";
import { relaySuffix } from "./rights.js";
import type { Counts } from "./stats.js";
import { askHook, withoutRecipientHook } from "./verdict.js";

/** What a transaction needs of its session. */
export interface TransactionContext {
	readonly settings: ServerSettings;
	readonly messageBytes: number;
	readonly bytes: ConnectionBytes;
	readonly counts: Counts;
	/** True if somebody is told of packages. */
	readonly reportsPackages: boolean;
	/** If set, all recipients get it, whatever else is known. */
	readonly refusal: QmtpResponse | null;
	/** The field to put on top of the message that is being read, if one is. */
	readonly received: Uint8Array | null;
	/** Takes the responses: once, at the package's end or later. */
	answer(transaction: Transaction, responses: readonly QmtpResponse[]): void;
	/** Tells of a hook or queue that failed. */
	fault(error: Error, message: MessageInfo): void;
	/** Bytes of the body will be handed up no more. */
	skipBody(): void;
}

/** A recipient of a package. */
export interface Recipient {
	/** Null if it could not be read. */
	readonly address: string | null;
	/** What it gets whatever becomes of the message. */
	refusal: QmtpResponse | null;
}

/** A package from its message to its responses. */
export class Transaction implements IntakeOwner {
	readonly info: MessageInfo;
	/** The package's number on its connection. */
	readonly number: number;
	/** The sender, or null if it could not be read. */
	sender: string | null = null;
	/** The recipients in the client's order. */
	recipients: Recipient[] = [];
	/** How many bytes of body were taken in so far: after line decoding where the queue or the limit asked for it. */
	bodyBytes = 0;
	/** When the queue has taken too long to commit, on the clock of the timers. */
	deadline: number = Number.POSITIVE_INFINITY;
	/** True when the context has the responses. */
	answered = false;
	/** Null if nobody traces it. */
	trace: PackageTrace | null = null;

	readonly #context: TransactionContext;
	readonly #asSent: boolean;
	readonly #bytes: PackageBytes;
	readonly #intake: Intake;
	readonly #begun: number; // 0 if nobody is told: looking at the clock takes 50 ns each time
	#committing = 0; // when its commit began
	#committed = 0; // and ended
	#lines: LineDecoder | null = null;
	#messageRefusal: QmtpResponse | null = null;
	#senderRefusal: QmtpResponse | null = null;

	constructor(info: MessageInfo, number: number, context: TransactionContext) {
		const { queue } = context.settings;
		this.info = info;
		this.number = number;
		this.#context = context;
		this.#asSent = queue.lines === "as-sent";
		this.#begun = context.reportsPackages ? performance.now() : 0;
		this.#bytes = new PackageBytes(context.bytes);
		this.#intake = new Intake(queue, info, this, this.#bytes);
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
		const answer = askHook(() => hooks.message?.(info), this);
		return isPromise(answer) ? answer.then((known) => this.#answered(known)) : this.#answered(answer);
	}

	/** Bytes of the body, a view. */
	body(bytes: Uint8Array): Wait {
		// Behind a queue that failed, what is still to be counted is counted: the size comes before the queue's answer.
		if (this.#lines !== null) return this.#write(bytes, this.#lines.decode(bytes));
		if (this.#intake.open) return this.#write(bytes, bytes);
	}

	/** The sender's address is what `decoder` came upon. */
	sentBy(decoder: PackageDecoder): Wait {
		const rest = this.#lines?.end();
		const wait = rest !== undefined && rest.length > 0 ? this.#write(NOTHING, rest) : undefined;
		this.sender = this.#address(decoder, 0);
		const address = this.sender;
		const { hooks } = this.#context.settings;
		if (address === null) {
			this.#senderRefusal = BAD_SENDER;
			return wait;
		}
		if (hooks.sender === undefined || this.#context.refusal !== null) return wait;
		return wait === undefined ? this.#askSender(address) : wait.then(() => this.#askSender(address));
	}

	/** A recipient's address is what `decoder` came upon. */
	sentTo(decoder: PackageDecoder): Wait {
		const { hooks, limits, addressEncoding } = this.#context.settings;
		if (this.recipients.length >= limits.recipients) return this.#tooMany();
		const suffix = relaySuffix(this.info.access);
		const more = suffix === "" ? 0 : Buffer.byteLength(suffix, addressEncoding);
		const address = this.#address(decoder, more);
		const recipient: Recipient = { address, refusal: this.#context.refusal };
		this.recipients = withLast(this.recipients, recipient);
		if (recipient.refusal !== null) return;
		if (address === null) {
			recipient.refusal = BAD_RECIPIENT;
		} else if (hooks.recipient !== undefined) {
			const refusal = askHook(() => hooks.recipient?.(address, this.info), this);
			if (!isPromise(refusal)) recipient.refusal = refusal;
			else {
				return refusal.then((known) => {
					recipient.refusal = known;
				});
			}
		} else {
			recipient.refusal = withoutRecipientHook(this.info);
		}
	}

	/** The package is complete: `answer` is called now, or when the queue has committed. */
	end(): void {
		const suffix = relaySuffix(this.info.access);
		let taken: string[] = [];
		for (const { address, refusal } of this.recipients) {
			if (refusal === null) taken = withLast(taken, address + suffix);
		}
		const shared = this.#shared;
		if (this.#intake.open && shared === null && taken.length > 0) {
			const envelope = { sender: this.sender as string, recipients: taken };
			this.#commit(envelope);
			return;
		}
		const aborted = this.#intake.abort(NOBODY);
		if (aborted === undefined) this.#answer([], shared ?? NOT_STORED);
		else aborted.then(() => this.#answer([], shared ?? NOT_STORED));
	}

	/** The queue takes too long: Z for all whom it was to answer. What it says later is dropped. */
	timeOut(): void {
		if (this.answered) return; // it only waits for the answers before it
		this.fault(new QueueError("ERR_QMTP_QUEUE_COMMIT_TIMEOUT", "the queue did not commit a message in time"));
		this.#answer([], this.#shared ?? COMMIT_TIMEOUT);
	}

	/** The package will never be complete: throws away what was made for it. */
	abandon(reason: Error): Wait {
		this.trace?.failed(reason);
		this.trace?.ended();
		this.#bytes.letGoEnvelope();
		return this.#intake.abort(reason);
	}

	/** The queue has answered, or has failed. */
	committed(answers: readonly (QmtpResponse | undefined)[], missing: QmtpResponse): void {
		this.#context.counts.committing--;
		if (this.#begun > 0) this.#committed = performance.now();
		this.#answer(answers, missing);
	}

	/** A hook or the queue has failed. */
	fault(error: Error): void {
		this.trace?.failed(error);
		this.#context.fault(error, this.info);
	}

	/** What its delivery holds may have become less. */
	recount(): void {
		this.#intake.recount();
	}

	/** Its responses have been handed to the transport. */
	sent(): void {
		this.#bytes.letGoEnvelope();
	}

	/** What became of it. */
	report(responses: readonly QmtpResponse[]): PackageReport {
		const { info: message, sender, bodyBytes } = this;
		const now = this.#begun > 0 ? performance.now() : 0;
		const commitDuration = (this.#committed || now) - this.#committing;
		return {
			peer: message.peer,
			message,
			sender,
			recipients: this.recipients.map(({ address }) => address),
			responses,
			bodyBytes,
			duration: now - this.#begun,
			...(this.#committing > 0 ? { commitDuration } : {}),
		};
	}

	/** One more recipient than are taken: there may be 350,000 of them in a list of 1 MiB. */
	#tooMany(): void {
		this.#bytes.unnamed();
		const { refusal } = this.#context;
		this.recipients = withLast(this.recipients, refusal === null ? ONE_TOO_MANY : { address: null, refusal });
	}

	#commit(envelope: Envelope): void {
		this.#context.counts.committing++;
		if (this.#begun > 0) this.#committing = performance.now();
		this.#intake.commit(envelope);
	}

	/** The message hook has. */
	#answered(refusal: QmtpResponse | null): Wait {
		return refusal === null ? this.#open() : this.#refuseMessage(refusal);
	}

	#askSender(address: string): Wait {
		const { hooks } = this.#context.settings;
		const refusal = askHook(() => hooks.sender?.(address, this.info), this);
		if (!isPromise(refusal)) this.#senderRefusal = refusal;
		else {
			return refusal.then((known) => {
				this.#senderRefusal = known;
			});
		}
	}

	/** What all recipients get that have no refusal of their own, if anything is known to be wrong. */
	get #shared(): QmtpResponse | null {
		return this.#messageRefusal ?? this.#senderRefusal ?? this.#intake.refusal;
	}

	/** @param more - How many bytes will be appended to it. */
	#address(decoder: PackageDecoder, more: number): string | null {
		const { limits, addressEncoding } = this.#context.settings;
		this.#bytes.address(decoder.end - decoder.start);
		if (decoder.tooLong || decoder.end - decoder.start + more > limits.addressBytes) return null;
		return decodeAddress(decoder.chunk, decoder.start, decoder.end, addressEncoding);
	}

	#refuseMessage(response: QmtpResponse): Wait {
		this.#messageRefusal = response;
		this.#context.skipBody();
		return this.#intake.abort(new QueueError("ERR_QMTP_QUEUE", response.description));
	}

	#open(): Wait {
		return this.#intake.begin(this.#context.received);
	}

	#write(sent: Uint8Array, decoded: Uint8Array): Wait {
		this.bodyBytes += decoded.length;
		if (this.bodyBytes > this.#context.messageBytes) return this.#refuseMessage(TOO_LARGE);
		const bytes = this.#asSent ? sent : decoded;
		if (bytes.length > 0) return this.#intake.write(bytes);
	}

	/** Gives each recipient its response: its own refusal, else the queue's next answer, else `missing`. */
	#answer(answers: readonly (QmtpResponse | undefined)[], missing: QmtpResponse): void {
		if (this.answered) return;
		this.answered = true;
		let next = 0;
		const responses = this.recipients.map(({ refusal }) => refusal ?? answers[next++] ?? missing);
		this.#context.answer(this, responses);
	}
}

/** The list with one more. `push` to an empty array makes room for 17, and most packages have one recipient. */
function withLast<T>(list: T[], last: T): T[] {
	if (list.length === 0) return [last];
	list.push(last);
	return list;
}

const ONE_TOO_MANY: Recipient = { address: null, refusal: TOO_MANY_RECIPIENTS };
const NOBODY = new QueueError("ERR_QMTP_QUEUE", "nobody is to get this message");
const NOTHING = new Uint8Array(0);
