/** What a failed system call becomes: a reason that may be told to the sender of the mail, without paths and names. */
import { QueueError } from "../../errors.js";

/** The text of the Z response that answers this error. */
export function reasonOf(error: unknown): string {
	return REASONS[codeOf(error)] ?? "cannot write to the maildir (#4.3.0)";
}

/** A temporary error for a message that is stored for nobody, with the system's error as its cause. */
export function queueError(cause: unknown): QueueError {
	if (cause instanceof QueueError) return cause;
	const reason = reasonOf(cause);
	return new QueueError(reason === NO_SPACE ? "ERR_QMTP_QUEUE_FULL" : "ERR_QMTP_QUEUE", reason, { cause });
}

/** The system's name of an error, such as ENOENT; empty if it has none. */
export function codeOf(error: unknown): string {
	return (error as NodeJS.ErrnoException | null)?.code ?? "";
}

/** It is the fault of this process or this machine, whatever file it was about. */
export function isOfProcess(error: unknown): boolean {
	return OF_PROCESS.includes(codeOf(error));
}

/** The disk is full, or would be. */
export const NO_SPACE = "insufficient disk space (#4.3.1)";

/** There is no maildir. */
export const NOT_THERE = "maildir is missing or no directory (#4.3.0)";

const OF_PROCESS = ["EMFILE", "ENFILE", "ENOMEM"];
const NOT_WRITABLE = "maildir is not writable (#4.3.0)";
const NO_DESCRIPTORS = "out of file descriptors (#4.3.0)";

const REASONS: Readonly<Record<string, string>> = {
	ENOSPC: NO_SPACE,
	EDQUOT: NO_SPACE,
	EACCES: NOT_WRITABLE,
	EPERM: NOT_WRITABLE,
	EROFS: "maildir is on a read-only file system (#4.3.0)",
	ENOENT: NOT_THERE,
	ENOTDIR: NOT_THERE,
	ELOOP: NOT_THERE,
	EMFILE: NO_DESCRIPTORS,
	ENFILE: NO_DESCRIPTORS,
	EIO: "disk error (#4.3.0)",
};
