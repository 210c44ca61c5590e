/** A maildir as a source: the mail in new/, for a relay. */
import { setMaxListeners } from "node:events";
import { stat } from "node:fs/promises";
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
	 * Told of a file in new/ that cannot be delivered: one without the two lines, which is left alone from then on, and one
	 * that cannot be opened, which is tried again every five minutes. Once for each file, while this process runs.
	 *
	 * @param name - The name of the file, without its folder.
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
	 * maildir.
	 */
	prepare(): Promise<void>;
	/** Hands out mail, when it has the lock. See {@link Source.take}. */
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
 * of the file. If a settle rejects, the mail comes again in five minutes unless it is repeated.
 *
 * Addresses are Latin-1: one character is one byte of the file. A message of a file of up to 256 KiB is read when its job
 * is handed out, and a larger one whenever its body is iterated.
 *
 * One process at a time: it takes the lock `seriallock` in the maildir, flock(2), as `qmtp maildir` and serialmail's
 * maildirqmtp under setlock do. That needs the program flock (of util-linux or busybox) or perl.
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
		const { path, poll = 1000, onSkipped, now = Date.now, fileSystem = nodeFileSystem } = options;
		if (onSkipped !== undefined && typeof onSkipped !== "function")
			throw new UsageError("ERR_QMTP_OPTION", "onSkipped must be a function");
		this.path = resolve(textOption("path", path));
		setMaxListeners(0, this.#closing.signal); // one for each loop
		this.#jobs = new Jobs(`${this.path}/new/`, {
			poll: wholeNumberOption("poll", poll, 1, LONGEST_TIMER),
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
		this.#lock = null;
	}

	async #prepare(): Promise<void> {
		try {
			for (const name of FOLDERS) await this.#mustHave(name);
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

	#complain(name: string, reason: string): void {
		console.error(`qmtp: cannot deliver ${this.path}/new/${name}: ${reason}`);
	}
}

/** The error for one who comes too late. */
function closed(): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "mail system is closing (#4.3.2)");
}

function ignore(): void {}

const NAMES = ["path", "poll", "onSkipped", "now", "fileSystem"];
const FOLDERS = ["new", "cur", "tmp"];
const DEFAULT_CONCURRENCY = 20;
const LONGEST_TIMER = 2 ** 31 - 1; // what is longer Node makes 1 ms
