/**
 * A maildir as the program that empties it sees it: which mail there is, oldest first, and what is in tmp/ for ever.
 * Names are bytes, one character each (Latin-1), with their folder: `new/NAME` or `cur/NAME`.
 *
 * Sources: D. J. Bernstein, "Using maildir format", and maildir.c of serialmail 0.75.
 */
import { readdirSync, type Stats, statSync, unlinkSync } from "node:fs";
import { type Mail, openMail } from "../../queue/maildir/mail.js";

/** A file that may be mail. */
export interface Candidate {
	readonly name: string;
	/** When it came, in milliseconds since 1970. */
	readonly mtimeMs: number;
	/** In bytes. */
	readonly size: number;
}

/** A maildir, and whose mail in it is ours. */
export class Mailbox {
	/** As it was given. */
	readonly path: string;
	readonly #prefix: string;

	/** @param prefix - Recipients begin with it; one character is one byte. */
	constructor(path: string, prefix: string) {
		this.path = path;
		this.#prefix = prefix;
	}

	/**
	 * The files in new/ and cur/, oldest first. Those of the current second are left for later, and dot files for ever.
	 *
	 * @throws What the system says if a folder cannot be read.
	 */
	async list(): Promise<Candidate[]> {
		const seconds = Math.floor(Date.now() / 1000);
		const found: Candidate[] = [];
		for (const folder of ["new", "cur"]) {
			await this.#eachFile(folder, (name, { mtimeMs, size }) => {
				if (Math.floor(mtimeMs / 1000) < seconds) found.push({ name, mtimeMs, size });
			});
		}
		return found.sort((a, b) => a.mtimeMs - b.mtimeMs || (a.name < b.name ? -1 : 1));
	}

	/** Removes what nobody has read or written in tmp/ for 36 hours. What cannot be removed stays. */
	async clean(): Promise<void> {
		const oldest = Date.now() - OLD_MS;
		const removeOld = (name: string, { atimeMs }: Stats) => {
			if (atimeMs < oldest) quietly(() => this.remove(name));
		};
		await this.#eachFile("tmp", removeOld).catch(() => {}); // there is none
	}

	/** Opens one. @throws What the system says. */
	async open(name: string): Promise<Mail | "other" | "malformed"> {
		return (await openMail(this.#pathOf(name), this.#prefix, true)).mail;
	}

	/** Removes one before it returns. @throws What the system says. */
	remove(name: string): void {
		unlinkSync(this.#pathOf(name));
	}

	// In one call each, since nothing else is under way and a promise for each costs eight times as much.
	async #eachFile(folder: string, use: (name: string, stats: Stats) => void): Promise<void> {
		let count = 0;
		for (const file of readdirSync(this.#pathOf(folder), "latin1")) {
			if (file.startsWith(".")) continue;
			const name = `${folder}/${file}`;
			const stats = quietly(() => statSync(this.#pathOf(name)));
			if (stats !== null) use(name, stats);
			if (++count % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve)); // for signals
		}
	}

	#pathOf(name: string): Buffer {
		return Buffer.concat([Buffer.from(this.path), SLASH, Buffer.from(name, "latin1")]);
	}
}

/** What the call returns; null if it fails, since somebody else was there first. */
function quietly<T>(call: () => T): T | null {
	try {
		return call();
	} catch {
		return null;
	}
}

const SLASH = Buffer.from("/");
const OLD_MS = 36 * 60 * 60 * 1000;
const AT_ONCE = 1000;
