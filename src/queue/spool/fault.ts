/** What a failed write becomes: a reason that may be told to the sender of the mail, without paths and names. */
import { getSystemErrorName } from "node:util";
import { QmtpError, QueueError } from "../../errors.js";

/**
 * A temporary error for a message that is stored for nobody, with the system's or LMDB's error as its cause. Errors of this
 * package stay what they are.
 */
export function queueError(cause: unknown): QmtpError {
	if (cause instanceof QmtpError) return cause;
	const reason = REASONS[codeOf(cause)] ?? "cannot write to the spool (#4.3.0)";
	return new QueueError(reason === NO_SPACE ? "ERR_QMTP_QUEUE_FULL" : "ERR_QMTP_QUEUE", reason, { cause });
}

/** The system's name of an error, such as ENOENT, also of one that LMDB gives the number of; empty if it has none. */
export function codeOf(error: unknown): string {
	const code = (error as { code?: unknown } | null)?.code;
	if (typeof code === "string") return code;
	if (typeof code !== "number") return "";
	if (code === MDB_MAP_FULL) return "ENOSPC";
	return code > 0 ? getSystemErrorName(-code) : "";
}

/** The disk is full, or would be. */
export const NO_SPACE = "insufficient disk space (#4.3.1)";

const NOT_WRITABLE = "spool is not writable (#4.3.0)";
const NOT_THERE = "spool is missing or no directory (#4.3.0)";
const NO_DESCRIPTORS = "out of file descriptors (#4.3.0)";
const MDB_MAP_FULL = -30792;

const REASONS: Readonly<Record<string, string>> = {
	ENOSPC: NO_SPACE,
	EDQUOT: NO_SPACE,
	EFBIG: NO_SPACE,
	EACCES: NOT_WRITABLE,
	EPERM: NOT_WRITABLE,
	EROFS: "spool is on a read-only file system (#4.3.0)",
	ENOENT: NOT_THERE,
	ENOTDIR: NOT_THERE,
	ELOOP: NOT_THERE,
	EMFILE: NO_DESCRIPTORS,
	ENFILE: NO_DESCRIPTORS,
	EIO: "disk error (#4.3.0)",
};
