/**
 * A message on its way into the queue. Steps never throw, and their promises never reject: what the queue throws is
 * told as a fault, and becomes the response that its recipients get.
 */
import { QueueError } from "../errors.js";
import type { Envelope } from "../protocol/envelope.js";
import type { MessageInfo } from "../protocol/message-info.js";
import { deferred, type QmtpResponse, rejected } from "../protocol/response.js";
import type { Delivery, Queue } from "../queue/queue.js";
import type { PackageBytes } from "./package-bytes.js";
import { FAULT, NOT_ANSWERED } from "./refusals.js";

/** Nothing, or a promise if the session must wait before the next step. */
export type Wait = void | Promise<void>;

/** Told of what a hook or a queue threw. */
export interface Teller {
	fault(error: Error): void;
}

/** Whose message it is. */
export interface IntakeOwner extends Teller {
	/** The queue has answered, or has failed: takes its answers, and what they get who have none. Called once. */
	committed(answers: readonly (QmtpResponse | undefined)[], missing: QmtpResponse): void;
}

/** One delivery, from the queue's `open` to its `commit` or `abort`. */
export class Intake {
	/** What the queue refused the message with, if it did. */
	refusal: QmtpResponse | null = null;

	readonly #queue: Queue;
	readonly #message: MessageInfo;
	readonly #owner: IntakeOwner;
	readonly #bytes: PackageBytes | null;
	#delivery: Delivery | null = null;
	#opening = false; // `open` was called and has not returned
	#aborted: Error | null = null;

	/** @param bytes - Counts what the delivery keeps in memory, if somebody does. */
	constructor(queue: Queue, message: MessageInfo, owner: IntakeOwner, bytes: PackageBytes | null = null) {
		this.#bytes = bytes;
		this.#queue = queue;
		this.#message = message;
		this.#owner = owner;
	}

	/** True while a delivery takes bytes. */
	get open(): boolean {
		return this.#delivery !== null;
	}

	/** Opens a delivery and writes `first` into it, if there is anything to put on top. */
	begin(first: Uint8Array | null): Wait {
		this.#opening = true;
		let delivery: Delivery | Promise<Delivery>;
		try {
			delivery = this.#queue.open(this.#message);
		} catch (error) {
			return this.#openFailed(error);
		}
		if (!isPromise(delivery)) return this.#opened(delivery, first);
		return Promise.resolve(delivery).then(
			(opened) => this.#opened(opened, first),
			(error) => this.#openFailed(error),
		);
	}

	/** Hands bytes over, unless the delivery has ended. */
	write(bytes: Uint8Array): Wait {
		const delivery = this.#delivery;
		if (delivery === null) return;
		try {
			const wait = delivery.write(bytes);
			this.#bytes?.gave(bytes.length, delivery.heldBytes);
			return wait?.then(
				() => this.#bytes?.waited(delivery.heldBytes),
				(error: unknown) => this.#writeFailed(error),
			);
		} catch (error) {
			return this.#writeFailed(error);
		}
	}

	/** Looks again at what the delivery holds: that may have become less while nothing was written. */
	recount(): void {
		const held = this.#delivery?.heldBytes;
		if (held !== undefined) this.#bytes?.holds(held);
	}

	/** Commits; the owner gets the answers when the queue has answered or failed. */
	commit(envelope: Envelope): void {
		const delivery = this.#delivery as Delivery;
		this.#delivery = null;
		try {
			Promise.resolve(delivery.commit(envelope)).then(
				(answers) => this.#committed(answers, envelope.recipients.length),
				(error) => this.#commitFailed(error),
			);
		} catch (error) {
			this.#commitFailed(error);
		}
	}

	/** Throws the message away: now, or when the queue has opened its delivery. */
	abort(reason: Error): Wait {
		this.#aborted = reason;
		if (!this.#opening) return this.#abort(reason);
	}

	#opened(delivery: Delivery, first: Uint8Array | null): Wait {
		this.#opening = false;
		if (typeof delivery?.write !== "function") {
			this.refusal = failure(NO_DELIVERY, this.#owner);
			return;
		}
		this.#delivery = delivery;
		if (this.#aborted !== null) return this.#abort(this.#aborted);
		if (first !== null) return this.write(first);
	}

	#openFailed(error: unknown): void {
		this.#opening = false;
		this.refusal = failure(error, this.#owner);
	}

	#writeFailed(error: unknown): Wait {
		if (this.#aborted !== null) return; // it was aborted under way
		this.refusal = failure(error, this.#owner);
		return this.#abort(asError(error));
	}

	#committed(answers: readonly QmtpResponse[], recipients: number): void {
		this.#bytes?.letGoBody();
		this.#owner.committed(this.#checked(answers, recipients), NOT_ANSWERED);
	}

	#commitFailed(error: unknown): void {
		this.#bytes?.letGoBody();
		this.#owner.committed([], failure(error, this.#owner));
	}

	#abort(reason: Error): Wait {
		const delivery = this.#delivery;
		this.#delivery = null;
		if (delivery === null) return;
		const ended = () => this.#bytes?.letGoBody();
		try {
			return Promise.resolve(delivery.abort(reason))
				.catch((error) => this.#owner.fault(asError(error)))
				.then(ended);
		} catch (error) {
			this.#owner.fault(asError(error));
			ended();
		}
	}

	/** A queue's answers, without those that are none. */
	#checked(answers: readonly QmtpResponse[], recipients: number): readonly (QmtpResponse | undefined)[] {
		const valid = Array.isArray(answers) && answers.length === recipients && answers.every(isResponse);
		if (valid) return answers;
		const message = `the queue gave no valid response for each of ${recipients} recipients`;
		this.#owner.fault(new QueueError("ERR_QMTP_QUEUE_RESPONSES", message));
		return Array.isArray(answers) ? answers.map((answer) => (isResponse(answer) ? answer : undefined)) : [];
	}
}

/** Tells of what a hook or queue threw. @returns The response that it is. */
export function failure(thrown: unknown, teller: Teller): QmtpResponse {
	const error = asError(thrown);
	teller.fault(error);
	if (!(error instanceof QueueError)) return FAULT;
	return error.permanent ? rejected(error.message) : deferred(error.message);
}

/** True for what is a response, whoever made it. */
export function isResponse(value: unknown): value is QmtpResponse {
	const response = value as QmtpResponse | null | undefined;
	const status = response?.status;
	return (status === "K" || status === "Z" || status === "D") && typeof response?.description === "string";
}

/** True for a promise, whoever made it. */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
	return typeof (value as Promise<T> | undefined)?.then === "function";
}

/** What was thrown, as an error. */
export function asError(thrown: unknown): Error {
	return thrown instanceof Error ? thrown : new Error(String(thrown));
}

const NO_DELIVERY = new QueueError("ERR_QMTP_QUEUE", "the queue opened no delivery (#4.3.0)");
