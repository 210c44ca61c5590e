/** A maildir as a source: the mail in new/, for a relay. */
import { setMaxListeners } from "node:events";
import { access, constants, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { QueueError, UsageError } from "../../errors.js";
import { onlyOptions, textOption, wholeNumberOption } from "../../protocol/options.js";
import type { Job, Source, TakeOptions } from "../source.js";
import { NOT_THERE, queueError } from "./fault.js";
import { type MaildirFileSystem, nodeFileSystem } from "./file-system.js";
import { Jobs } from "./jobs.js";
import { type FileLock, lock } from "./lock.js";

/** Options of {@link maildirSource}. */
export interface MaildirSourceOptions {
	/** The maildir, which must be there. */
	readonly path: string;
	/**
	 * How often to look for new mail, in ms. A folder that takes long to look through is looked through more seldom.
	 * @defaultValue 1000
	 */
	readonly poll?: number;
	/**
	 * Hand out the mail whose recipients begin with this, without it, and leave the rest alone: qmail-local writes
	 * `Delivered-To: alias-example-a@example.com` for a virtual domain. Bounces need another queue then, since those that
	 * `maildirQueue` writes have no prefix.
	 * @defaultValue ""
	 */
	readonly prefix?: string;
	/**
	 * Told of a file in new/ that cannot be delivered: one without the two lines, or with addresses that cannot be sent,
	 * which is left alone until it changes, and one that cannot be opened, which is tried again every five minutes. Once for
	 * each file, while this process runs.
	 *
	 * @param name - The name of the file, without its folder. Whoever wrote it chose it: escape it for logs and terminals.
	 * @param reason - Why.
	 * @defaultValue writes a line to console.error
	 */
	readonly onSkipped?: (name: string, reason: string) => void;
	/**
	 * The clock, in ms since 1970, for tests.
	 * @internal
	 */
	readonly now?: () => number;
	/**
	 * The system calls that remove mail, for tests.
	 * @internal
	 */
	readonly fileSystem?: MaildirFileSystem;
}

/** A source that hands out the mail of a maildir. */
export interface MaildirSource extends Source {
	/** The maildir, as an absolute path. */
	readonly path: string;
	/**
	 * Takes the lock. It rejects with a `QueueError`, whose `cause` tells more, if somebody else has it, or if there is no
	 * maildir, or if mail cannot be removed from it.
	 */
	prepare(): Promise<void>;
	/**
	 * Hands out mail, when it has the lock. It throws a `QueueError` when the lock's file is gone or another one by now, as
	 * when the maildir was moved away: then another process may have the mail. See {@link Source.take}.
	 */
	take(options?: TakeOptions): AsyncIterableIterator<Job>;
	/** Ends `take`, and lets go of the lock. Jobs must have been settled: another process may take them now. */
	close(): Promise<void>;
}

/**
 * The mail in a maildir, for a relay: each file in new/ is a job with one recipient, oldest first. Its first line is
 * `Return-Path: <SENDER>` and its second `Delivered-To: RECIPIENT`, as `maildirQueue` and qmail-local write them; they
 * are not part of the body. Mail that a mail reader has moved to cur/ is not touched, and neither are names that begin
 * with a dot.
 *
 * With K or D the file is removed, and the folder synced. With Z it stays; when it comes again, and how often it was
 * tried, is in memory only, about 200 bytes for each file. So after a restart all mail is tried at once. Its age is that
 * of the file.
 *
 * If a settle with K or D rejects, the file is there, and is not handed out again by this process: only its removal is
 * tried again, every five minutes. After a restart it is handed out. A file that was written to, or replaced, while it was
 * out is not removed: it is another one, and comes anew.
 *
 * Addresses are Latin-1: one character is one byte of the file. A message of a file of up to 256 KiB is read when its job
 * is handed out, and a larger one whenever its body is iterated.
 *
 * One process at a time: it takes the lock `seriallock` in the maildir, flock(2), as `qmtp maildir` and serialmail's
 * maildirqmtp under setlock do. That needs the program flock (of util-linux or busybox) or perl. A lock that whoever
 * started the process handed down to it counts as its own, so it must have been handed to nobody else.
 *
 * Message ids are the digits behind the Q in names of `maildirQueue`, else made of the name.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if an option has no meaning.
 */
export function maildirSource(options: MaildirSourceOptions): MaildirSource {
	return new LockedMaildir(options);
}

class LockedMaildir implements MaildirSource {
	readonly path: string;
	readonly #jobs: Jobs;
	readonly #closing = new AbortController();
	#lock: FileLock | null = null;
	#preparation: Promise<void> | null = null;

	constructor(options: MaildirSourceOptions) {
		onlyOptions(options, NAMES);
		const {
			path,
			poll = 1000,
			prefix = "",
			onSkipped,
			now = Date.now,
			fileSystem = nodeFileSystem,
		} = options;
		if (onSkipped !== undefined && typeof onSkipped !== "function")
			throw new UsageError("ERR_QMTP_OPTION", "onSkipped must be a function");
		if (typeof prefix !== "string") throw new UsageError("ERR_QMTP_OPTION", "prefix must be a text");
		this.path = resolve(textOption("path", path));
		setMaxListeners(0, this.#closing.signal); // one for each loop
		this.#jobs = new Jobs(`${this.path}/new/`, {
			poll: wholeNumberOption("poll", poll, 1, LONGEST_TIMER),
			prefix: Buffer.from(prefix).toString("latin1"),
			check: () => this.#mustHaveLock(),
			onSkipped: onSkipped ?? ((name, reason) => this.#complain(name, reason)),
			now,
			fileSystem,
		});
	}

	prepare(): Promise<void> {
		if (this.#closing.signal.aborted) return Promise.reject(closed());
		this.#preparation ??= this.#prepare();
		return this.#preparation;
	}

	async *take(options: TakeOptions = {}): AsyncGenerator<Job, undefined> {
		const concurrency = wholeNumberOption("concurrency", options.concurrency ?? DEFAULT_CONCURRENCY, 1);
		const ending = [this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])];
		if (options.signal?.aborted === true) return;
		if (this.#closing.signal.aborted) throw closed();
		try {
			await this.prepare();
		} catch (error) {
			if (ending.some(({ aborted }) => aborted)) return;
			throw error;
		}
		yield* this.#jobs.take(ending, concurrency);
	}

	async close(): Promise<void> {
		this.#closing.abort();
		await this.#preparation?.catch(ignore);
		this.#lock?.release();
	}

	async #prepare(): Promise<void> {
		try {
			for (const name of FOLDERS) await this.#mustHave(name);
			await access(`${this.path}/new`, constants.W_OK | constants.X_OK);
			this.#lock = await this.#takeLock();
		} catch (error) {
			this.#preparation = null; // the next one may succeed
			throw queueError(error);
		}
	}

	async #mustHave(name: string): Promise<void> {
		const stats = await stat(`${this.path}/${name}`).catch((error: NodeJS.ErrnoException) => {
			if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
			throw error;
		});
		if (stats?.isDirectory() === true) return;
		const cause = new Error(`${this.path} is no maildir: there is no directory ${name} in it`);
		throw new QueueError("ERR_QMTP_QUEUE", NOT_THERE, { cause });
	}

	async #takeLock(): Promise<FileLock> {
		const file = `${this.path}/seriallock`;
		const taken = await lock(file, false, this.#closing.signal).catch((cause: Error) => {
			if (this.#closing.signal.aborted) throw closed();
			const told = new Error(`unable to lock ${file}: ${cause.message}`, { cause });
			throw new QueueError("ERR_QMTP_QUEUE", "maildir cannot be locked (#4.3.0)", { cause: told });
		});
		if (taken !== null) return taken;
		const cause = new Error(`unable to lock ${file}: somebody else delivers the mail in this maildir`);
		throw new QueueError("ERR_QMTP_QUEUE", "maildir is in use (#4.3.0)", { cause });
	}

	/** Late settles ask too, when it is released. */
	async #mustHaveLock(): Promise<void> {
		const isInPlace = await this.#lock?.isInPlace();
		if (isInPlace === true) return;
		const cause = new Error(
			`${this.path}/seriallock is not the file that was locked: somebody else may have the mail`,
		);
		throw new QueueError("ERR_QMTP_QUEUE", "maildir is locked no more (#4.3.0)", { cause });
	}

	#complain(name: string, reason: string): void {
		const line = `qmtp: cannot deliver ${this.path}/new/${name}: ${reason}`;
		console.error(line.replace(UNPRINTABLE, escaped)); // names are strangers' texts
	}
}

/** The error for one who comes too late. */
function closed(): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "mail system is closing (#4.3.2)");
}

function escaped(character: string): string {
	return `\\x${character.codePointAt(0)?.toString(16).padStart(2, "0")}`;
}

function ignore(): void {}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

const NAMES = ["path", "poll", "prefix", "onSkipped", "now", "fileSystem"];
const FOLDERS = ["new", "cur", "tmp"];
const DEFAULT_CONCURRENCY = 20;
const LONGEST_TIMER = 2 ** 31 - 1; // what is longer Node makes 1 ms
