/**
 * A file of settings that is read again when it has changed, without watchers and timers: whoever is about to use its
 * value asks for a refresh first, which costs one stat while nothing changes. What was loaded stays in force until there
 * is something better.
 *
 * A version is known by device, inode, size and times. One that was very young when it was read is read once more at the
 * next refresh, since it may have changed again without looking different.
 */
import { stat } from "node:fs/promises";
import { UsageError } from "../errors.js";
import { type FileVersion, onlyRegular, readVersion, versionOf } from "./file-version.js";

/** How a {@link WatchedFile} is read. */
export interface WatchedFileOptions {
	/** Told once of each version that cannot be used while an earlier one stays in force. It must not throw. */
	onFault(error: Error): void;
	/**
	 * Whether the value is null as long as there is no such file. If not, that is an error.
	 * @defaultValue false
	 */
	readonly mayBeMissing?: boolean | undefined;
	/**
	 * The largest size, in bytes.
	 * @defaultValue 268435456 (256 MiB)
	 */
	readonly maxBytes?: number | undefined;
}

/** One file, and what was made of its last good version. */
export class WatchedFile<T> {
	readonly #path: string;
	readonly #parse: (bytes: Uint8Array) => T;
	readonly #options: WatchedFileOptions;
	#value: T | null = null;
	#isLoaded = false;
	#seen: Seen | null = null;
	/** What the last fault was: it is told once. */
	#told: string | null = null;
	/** The refresh that is under way, and the one that begins when it has ended. */
	#current: Promise<void> | null = null;
	#next: Promise<void> | null = null;

	/** @param parse - Makes the value. The bytes are its own to keep; what it throws says that they cannot be used. */
	constructor(path: string, parse: (bytes: Uint8Array) => T, options: WatchedFileOptions) {
		this.#path = path;
		this.#parse = parse;
		this.#options = options;
	}

	/** What was made of the last good version; null before there was one. */
	get value(): T | null {
		return this.#value;
	}

	/**
	 * Takes in what the file says now. Calls at the same time share their work, and each sees what the file said when it
	 * was made, or something newer.
	 *
	 * It rejects only while no version was ever loaded: with a UsageError that names the file, `ERR_QMTP_CONTROL` if it
	 * cannot be read, else with the code of what the parser threw.
	 */
	refresh(): Promise<void> {
		if (this.#next !== null) return this.#next;
		if (this.#current === null) return this.#begin();
		// The one under way may have looked at the file before it changed.
		const begin = () => {
			this.#next = null;
			return this.#begin();
		};
		this.#next = this.#current.then(begin, begin);
		return this.#next;
	}

	#begin(): Promise<void> {
		this.#current = this.#run().finally(() => {
			this.#current = null;
		});
		return this.#current;
	}

	async #run(): Promise<void> {
		let version = "";
		try {
			const stats = await stat(this.#path, { bigint: true });
			onlyRegular(stats);
			version = versionOf(stats);
			if (this.#seen?.version !== version || this.#seen.young) await this.#load();
			if (this.#seen?.error != null) throw this.#seen.error;
			this.#told = null;
		} catch (error) {
			this.#fail(version, error);
		}
	}

	/** Reads the file, and parses it unless the bytes are those that were seen last. */
	async #load(): Promise<void> {
		const read = await readVersion(this.#path, this.#options.maxBytes ?? LARGEST);
		const { bytes, version, young } = read;
		if (this.#seen?.bytes?.equals(bytes)) {
			this.#seen = { ...this.#seen, version, young, bytes: young ? bytes : null };
			return;
		}
		this.#told = null;
		this.#seen = { version, young, bytes: young ? bytes : null, error: this.#take(read) };
	}

	/** Makes the value; returns why that cannot be done, if so. */
	#take({ bytes }: FileVersion): UsageError | null {
		try {
			this.#value = this.#parse(bytes);
			this.#isLoaded = true;
			return null;
		} catch (error) {
			return this.#named(error);
		}
	}

	/** @throws UsageError if nothing was ever loaded. */
	#fail(version: string, cause: unknown): void {
		const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
		if (!this.#isLoaded && isMissing && this.#options.mayBeMissing === true) return;
		const error = cause === this.#seen?.error ? (cause as UsageError) : this.#named(cause);
		if (!this.#isLoaded) throw error;
		const fault = `${version} ${error.message}`;
		if (fault === this.#told) return;
		this.#told = fault;
		this.#options.onFault(error);
	}

	/** The error with the file's name in its message. */
	#named(cause: unknown): UsageError {
		const { code, syscall } = cause as NodeJS.ErrnoException;
		const reason = syscall === undefined ? (cause as Error).message : `cannot be read (${code})`;
		const kept = this.#isLoaded ? "; what was read before stays in force" : "";
		const own = cause instanceof UsageError ? cause.code : "ERR_QMTP_CONTROL";
		return new UsageError(own, `${this.#path}: ${reason}${kept}`, { cause });
	}
}

/** What was read last. */
interface Seen {
	readonly version: string;
	readonly young: boolean;
	/** The bytes of a young version: if they are the same the next time nothing needs to be parsed. */
	readonly bytes: Buffer | null;
	/** Why they cannot be used; null if they are in force. */
	readonly error: UsageError | null;
}

const LARGEST = 256 * 1024 * 1024;
