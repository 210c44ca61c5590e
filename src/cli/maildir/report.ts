/**
 * The log on standard error, in the lines of maildirserial, so that what reads its log goes on working; and what has
 * become of the mail as an exit code.
 */
import { DONE, TEMPORARY } from "../command.js";
import type { Progress } from "../progress.js";

/** Writes lines such as `maildirserial: info: new/1 succeeded: 192.0.2.1 said: ok`. */
export class Report {
	/** The bar that lines must not be written into. */
	progress: Progress | null = null;
	/** Something is left that should not be. */
	trouble = false;

	get exitCode(): number {
		return this.trouble ? TEMPORARY : DONE;
	}

	info(text: string): void {
		this.#write(`info: ${text}`);
	}

	warning(text: string): void {
		this.#write(`warning: ${text}`);
	}

	fatal(text: string): void {
		this.trouble = true;
		this.#write(`fatal: ${text}`);
	}

	#write(text: string): void {
		this.progress?.clear();
		// Names of files are bytes, and so are the lines.
		process.stderr.write(Buffer.from(`maildirserial: ${text.replace(CONTROL, "?")}\n`, "latin1"));
	}
}

/**
 * What a server said as it stands in the log: `192.0.2.1 said: TEXT`, in which what is not printable ASCII is a
 * question mark for each byte, and which is cut.
 */
export function serverSaid(address: string, description: string): string {
	// What was no UTF-8 was decoded as U+FFFD; it stands for one byte, mostly.
	const bytes = Buffer.from(description.replaceAll("\ufffd", "?")).toString("latin1");
	return `${address} said: ${bytes}`.slice(0, LONGEST_TEXT).replace(NOT_PRINTABLE, "?");
}

/** Why the system refused, in the words of qmail's programs. */
export function reasonOf(error: unknown): string {
	const { code, message } = error as NodeJS.ErrnoException;
	return REASONS[code ?? ""] ?? message;
}

const REASONS: Readonly<Record<string, string>> = {
	ENOENT: "file does not exist",
	ENOTDIR: "not a directory",
	EISDIR: "is a directory",
	EACCES: "access denied",
	EPERM: "permission denied",
	EIO: "input/output error",
	EROFS: "read-only file system",
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\x00-\x1f\x7f]/g;
const NOT_PRINTABLE = /[^\x20-\x7e]/g;
const LONGEST_TEXT = 1999; // serialqmtp cuts at 2000, with the status
