/**
 * qmail's control files: what one says, which is a line, a number or a list, and the directory of them, as far as a
 * server of QMTP looks at it. Strings have one character a byte (Latin-1).
 *
 * Source: qmail-control(5), qmail-smtpd(8); which bytes count as blanks is what qmail's programs do
 */
import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.js";
import { Cdb } from "./cdb.js";
import { leadingNumber } from "./leading-number.js";
import { RecipientHosts } from "./rcpthosts.js";
import { withoutTrailingBlanks } from "./trailing-blanks.js";
import { WatchedFile, type WatchedFileOptions } from "./watched-file.js";

/** The first line without the spaces and tabs at its end; empty for an empty file. */
export function controlLine(bytes: Uint8Array): string {
	return linesOf(bytes)[0] as string;
}

/** The number that the first line starts with, else 0. One that is too large becomes `Number.MAX_SAFE_INTEGER`. */
export function controlNumber(bytes: Uint8Array): number {
	return leadingNumber(controlLine(bytes));
}

/** All lines without the spaces and tabs at their ends, but no empty ones and no comments (`#` as first character). */
export function controlLines(bytes: Uint8Array): string[] {
	return linesOf(bytes).filter((line) => line !== "" && !line.startsWith("#"));
}

/**
 * A control file, for programs that read it once when they start. Null if there is none.
 *
 * @throws UsageError `ERR_QMTP_CONTROL` if it cannot be read.
 */
export function readControl(path: string): Uint8Array | null {
	try {
		return readFileSync(path);
	} catch (cause) {
		const { code, message } = cause as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") return null;
		throw new UsageError("ERR_QMTP_CONTROL", `unable to read ${path}: ${message}`, { cause });
	}
}

/** What a {@link ControlDirectory} needs to know. */
export interface ControlDirectoryOptions {
	/** Told once of each file that cannot be used any more, or has vanished, while what it said stays in force. */
	onFault(error: Error): void;
}

/**
 * The files of a control directory, each with its last good state. Before the first refresh that succeeds, all are null,
 * and must not be taken for what the directory says.
 */
export class ControlDirectory {
	readonly #path: string;
	readonly #me: WatchedFile<string>;
	readonly #databytes: WatchedFile<number>;
	readonly #domains: WatchedFile<string[]>;
	readonly #more: WatchedFile<Cdb>;
	#hosts: { readonly domains: string[]; readonly more: Cdb | null; readonly all: RecipientHosts } | null =
		null;
	#wasThere = false;

	constructor(path: string, options: ControlDirectoryOptions) {
		const watched: WatchedFileOptions = { onFault: (error) => options.onFault(error), mayBeMissing: true };
		this.#path = path;
		this.#me = new WatchedFile(join(path, "me"), controlLine, watched);
		this.#databytes = new WatchedFile(join(path, "databytes"), controlNumber, watched);
		this.#domains = new WatchedFile(join(path, "rcpthosts"), controlLines, watched);
		this.#more = new WatchedFile(join(path, "morercpthosts.cdb"), (bytes) => new Cdb(bytes), watched);
	}

	/** The name of this host. Null if there is no such file. */
	get me(): string | null {
		return this.#me.value;
	}

	/** The limit for messages in bytes; 0 is none. Null if there is no such file. */
	get databytes(): number | null {
		return this.#databytes.value;
	}

	/** The domains that mail is taken for. Null if there is no rcpthosts: then qmail takes mail for all. */
	get recipientHosts(): RecipientHosts | null {
		return this.#hosts?.all ?? null;
	}

	/**
	 * Takes in what has changed.
	 *
	 * It rejects with a UsageError if a file that is there was never loaded and cannot be; the others are taken in all
	 * the same. `ERR_QMTP_CONTROL` for one that cannot be read, and for a directory that was never there; `ERR_QMTP_CDB`.
	 */
	async refresh(): Promise<void> {
		if (!this.#wasThere) await this.#mustBeThere();
		const results = await Promise.allSettled([
			this.#me.refresh(),
			this.#databytes.refresh(),
			this.#refreshHosts(),
		]);
		for (const result of results) if (result.status === "rejected") throw result.reason;
	}

	/** The cdb counts only behind a list, as in qmail. One that is broken from the start leaves the hosts as they were. */
	async #refreshHosts(): Promise<void> {
		await this.#domains.refresh();
		const domains = this.#domains.value;
		if (domains === null) return;
		await this.#more.refresh();
		const more = this.#more.value;
		if (this.#hosts?.domains === domains && this.#hosts.more === more) return;
		this.#hosts = { domains, more, all: new RecipientHosts(domains, more) };
	}

	/** Without a directory all files would be missing, which lets pass everything: a path with a slip must not. */
	async #mustBeThere(): Promise<void> {
		try {
			await stat(join(this.#path, "."));
			this.#wasThere = true;
		} catch (cause) {
			const reason = (cause as NodeJS.ErrnoException).code;
			throw new UsageError("ERR_QMTP_CONTROL", `${this.#path}: no such directory (${reason})`, { cause });
		}
	}
}

function linesOf(bytes: Uint8Array): string[] {
	const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
	return text.split("\n").map(withoutTrailingBlanks);
}
