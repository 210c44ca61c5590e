/**
 * The other end of a `Queue` that keeps mail: `Source` hands out what is to be delivered, one job a message, and keeps
 * account of who got it. A relay takes jobs and settles them; how it delivers is its own business.
 *
 * Everything here is at least once. A recipient is finished with when a `settle` that says so has resolved, and not
 * before; so a process that dies between a delivery and its `settle` delivers again.
 */
import type { AddressEncoding, Envelope } from "../protocol/envelope.js";
import type { QmtpResponse } from "../protocol/response.js";

/** Mail that is to be delivered. */
export interface Source {
	/**
	 * Hands out messages whose time has come, those that have waited longest first, and waits for more when there are
	 * none. Nobody else, in this process or another, gets a message that is out.
	 *
	 * It ends when `signal` is aborted, when the source is closed, or with the loop over it. Jobs that were handed out
	 * stay with whoever has them, and are to be settled. While a `next()` waits for mail only the signal, or the source's
	 * end, ends it: a `return()` waits with it.
	 *
	 * @returns An iterator; several may run at once, each with its own bound. It throws a `QueueError` if the mail cannot
	 * be read or marked as taken.
	 */
	take(options?: TakeOptions): AsyncIterableIterator<Job>;
}

/** Options of {@link Source.take}. */
export interface TakeOptions {
	/** Ends it. That is no error: the loop over it just ends. */
	readonly signal?: AbortSignal;
	/**
	 * The most jobs that are out at a time: it waits for one to be settled before it hands out another. They are marked
	 * as taken as many at once as the bound allows, so who works them off one by one asks for 1.
	 * @defaultValue 20
	 */
	readonly concurrency?: number;
}

/** One message, on its way to those of its recipients who are not finished with. */
export interface Job {
	/** The message's id, which its client was told in the K. Decimal digits. */
	readonly id: string;
	/** The sender, and the recipients who are left, in the order of the message. */
	readonly envelope: Envelope;
	/** How the addresses were decoded, and so how they are to be encoded. */
	readonly addressEncoding: AddressEncoding;
	/**
	 * The message, line ends as LF. It is read while it is iterated, and each iteration begins at its start. Its chunks
	 * belong to whoever gets them. It throws if the message cannot be read, and after a `settle` that has removed it.
	 */
	readonly body: AsyncIterable<Uint8Array>;
	/** The bytes of the body. */
	readonly size: number;
	/** How many attempts were begun before this one, those included that ended with their process. */
	readonly attempts: number;
	/** When the message was stored, in ms since 1970. */
	readonly queuedAt: number;
	/**
	 * Ends this attempt: says what became of each recipient of `envelope`, in order. With K or D a recipient is finished
	 * with; those with Z stay, and make a job again at `nextAttempt`. When none is left, the message is removed.
	 *
	 * What is said with K or D is final when the promise resolves, durably. So whatever must not be lost comes first: for
	 * a D, the bounce is put into a queue, its K is awaited, and then the D is settled; if the bounce could not be stored,
	 * the recipient is settled with Z instead, and is tried again. A process that dies in between has the recipient again,
	 * and may send the bounce twice.
	 *
	 * It may come late, when the job was given to somebody else because this process seemed dead: K and D count all the
	 * same, and the rest is up to whoever has the job.
	 *
	 * @param nextAttempt - When those with Z are tried again: a time in ms since 1970, or a Date. Left out: in 5 minutes.
	 * @throws UsageError `ERR_QMTP_RESPONSES` unless there is one response for each recipient, `ERR_QMTP_OPTION` for what
	 * is no time, `ERR_QMTP_ENDED` after one that has resolved. QueueError if it could not be stored: then nothing of it
	 * counts. It may be called again; if it is not, the job comes again as that of a dead process does, at the latest after a restart.
	 */
	settle(responses: readonly QmtpResponse[], nextAttempt?: number | Date): Promise<void>;
}
