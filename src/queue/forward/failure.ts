/** What a failure becomes: a reason that may be told to the sender of the mail, without names of hosts. */
import { ProtocolError, QueueError } from "../../errors.js";

/** The text of the Z that answers this error. */
export function reasonOf(error: unknown): string {
	if (error instanceof ProtocolError) return "the next hop does not speak proper QMTP (#4.3.0)";
	return REASONS[codeOf(error)] ?? "the next hop cannot be used (#4.3.0)";
}

/** The error for a message that nobody has stored, with what went wrong as its cause. */
export function queueError(cause: unknown): QueueError {
	if (cause instanceof QueueError) return cause;
	const reason = reasonOf(cause);
	return new QueueError(reason === NO_SPACE ? "ERR_QMTP_QUEUE_FULL" : "ERR_QMTP_QUEUE", reason, { cause });
}

/**
 * True for an error of a client, which gave no results with it, behind which some recipients may have got the message all
 * the same: it cannot be read any more, so those whose package came later get none.
 */
export function mayBePartial(error: unknown): boolean {
	const code = codeOf(error);
	return code === "ERR_QMTP_MESSAGE_SOURCE" || code === "ERR_QMTP_MESSAGE_SIZE";
}

function codeOf(error: unknown): string {
	return (error as NodeJS.ErrnoException | null)?.code ?? "";
}

const NO_CONNECTION = "no connection to the next hop (#4.4.1)";
const CONNECTION_ENDED = "the connection to the next hop ended before its answer (#4.4.2)";
const NOT_KEPT = "cannot keep the message until it is sent (#4.3.0)";
const NO_SPACE = "insufficient disk space (#4.3.1)";

const REASONS: Readonly<Record<string, string>> = {
	ERR_QMTP_CONNECT: NO_CONNECTION,
	ERR_QMTP_CONNECT_TIMEOUT: NO_CONNECTION,
	ERR_QMTP_CONNECTION_CLOSED: CONNECTION_ENDED,
	ERR_QMTP_CONNECTION_LOST: CONNECTION_ENDED,
	ERR_QMTP_DESTROYED: CONNECTION_ENDED,
	ERR_QMTP_RESPONSE_TIMEOUT: "the next hop did not answer in time (#4.4.2)",
	ERR_QMTP_RESPONSE_COUNT: "the next hop did not answer for each recipient (#4.3.0)",
	ERR_QMTP_CLIENT_CLOSED: "mail system is closing (#4.3.2)",
	ENOSPC: NO_SPACE,
	EDQUOT: NO_SPACE,
	ERR_QMTP_MESSAGE_SOURCE: NOT_KEPT,
	ERR_QMTP_MESSAGE_SIZE: NOT_KEPT,
	EMFILE: "out of file descriptors (#4.3.0)",
	ENFILE: "out of file descriptors (#4.3.0)",
	EACCES: NOT_KEPT,
	ENOENT: NOT_KEPT,
	EROFS: NOT_KEPT,
	EIO: "disk error (#4.3.0)",
};
