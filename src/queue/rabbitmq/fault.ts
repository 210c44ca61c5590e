/** What a broker's failures become: a reason that may be told to the sender of the mail, without hosts and names. */
import { QmtpError, QueueError } from "../../errors.js";

/** The reasons. None of them tells where the broker is. */
export const REASONS = {
	notConnected: "message broker cannot be reached (#4.3.0)",
	blocked: "message broker has no room (#4.3.1)",
	refused: "queue is full (#4.3.1)",
	returned: "message broker has no such queue (#4.3.0)",
	mismatch: "queue of the message broker is not the one that is expected (#4.3.0)",
	notSent: "message broker did not take the message (#4.3.0)",
	lost: "connection to the message broker was lost, and the message may have been stored (#4.3.0)",
	unconfirmed: "message broker did not confirm in time, and the message may have been stored (#4.3.0)",
	closing: "mail system is closing (#4.3.2)",
} as const;

/** A temporary error for the reason. */
export function brokerError(reason: keyof typeof REASONS, cause?: unknown): QueueError {
	const code = FULL.has(reason) ? "ERR_QMTP_QUEUE_FULL" : "ERR_QMTP_QUEUE";
	return new QueueError(code, REASONS[reason], cause === undefined ? {} : { cause });
}

/** The error for a message that is larger than one message may be. */
export function messageTooLarge(): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "message too large (#5.3.4)", { permanent: true });
}

/** Errors of this package stay what they are, others become one for the reason. */
export function queueError(cause: unknown, reason: keyof typeof REASONS): QmtpError {
	return cause instanceof QmtpError ? cause : brokerError(reason, cause);
}

/** What an error says, for those who run the system. */
export function textOf(error: unknown): string {
	if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(textOf).join(", "); // one for each address of a name
	if (!(error instanceof Error)) return String(error);
	return error.message === "" ? error.name : error.message;
}

const FULL: ReadonlySet<string> = new Set<keyof typeof REASONS>(["blocked", "refused"]);
