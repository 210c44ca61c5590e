/**
 * The contract between whoever takes mail in and whoever keeps it: `Queue` opens one `Delivery` a message, which takes
 * the body first and the envelope last, as QMTP sends them.
 */
import type { Envelope } from "../protocol/envelope.js";
import type { MessageInfo } from "../protocol/message-info.js";
import type { QmtpResponse } from "../protocol/response.js";

/** Where mail goes. */
export interface Queue {
	/**
	 * What bodies the queue takes: `"lf"`, lines that end in LF whatever was sent, or `"as-sent"`, the bytes of the
	 * wire, with `MessageInfo.encoding` telling what they are.
	 * @defaultValue "lf"
	 */
	readonly lines?: "lf" | "as-sent";
	/**
	 * Makes what the queue needs, if that is missing. Not needed before `open`; it tells whoever starts a server whether
	 * the queue can be used. It rejects with a `QueueError`.
	 */
	prepare?(): Promise<void>;
	/**
	 * Begins one message. To refuse it, throw a `QueueError` or reject with one: Z, or D if `permanent`.
	 */
	open(message: MessageInfo): Delivery | Promise<Delivery>;
	/** Lets go of what the queue holds. Deliveries under way must have ended. */
	close?(): Promise<void>;
}

/** One message on its way into a queue. */
export interface Delivery {
	/**
	 * How many of the bytes that it was given it holds in memory now; 0 if it holds none. Servers bound what is in memory,
	 * and cannot know: without it they take it to hold what it was given since the wait before the last that `write` asked
	 * for, and all of it if `write` never does.
	 */
	readonly heldBytes?: number;
	/**
	 * Hands over the next bytes of the message. Nobody changes them from now on: the queue may keep the view, which
	 * pins the chunk around it, and must not write into it.
	 *
	 * @returns Nothing, or a promise if the caller is to wait before the next call. It throws or rejects with a
	 * `QueueError` if the message cannot be stored; only `abort` follows then.
	 */
	write(bytes: Uint8Array): void | Promise<void>;
	/**
	 * Ends the message and stores it for these recipients. It resolves when the message is as durable as the queue
	 * makes it, with one response for each recipient, in order.
	 *
	 * Once anything is durable it must not reject. A rejection means that nothing was stored for anybody, and that what
	 * was made for the message is gone: `abort` does not follow.
	 */
	commit(envelope: Envelope): Promise<readonly QmtpResponse[]>;
	/**
	 * Throws the message away, and all that was made for it. Called at most until `commit` is, and perhaps more than
	 * once.
	 */
	abort(reason: Error): Promise<void>;
}
