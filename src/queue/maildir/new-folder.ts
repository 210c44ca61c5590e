/**
 * new/ of a maildir, looked through now and then: when what was found is used up and there was more, or when the folder
 * has changed. One that is large is looked through seldom, so that looking takes a tenth of the time at most.
 */
import { lstat, stat } from "node:fs/promises";
import type { Agenda } from "./agenda.js";
import { oldestFiles, pathOf } from "./listing.js";
import { isSame } from "./mark.js";

/** A folder, and what is found in it. */
export class NewFolder {
	/** With a slash at the end. */
	readonly path: string;
	readonly #agenda: Agenda;
	readonly #poll: number;
	readonly #check: () => Promise<void>;
	#looking: Promise<void> | null = null;
	#nextLook = 0; // by performance.now(), and so are the other times
	#more = false;
	#seen: Seen | null = null;

	/**
	 * @param poll - How often to look, in ms.
	 * @param check - Called before each look, which is none if it rejects.
	 */
	constructor(path: string, agenda: Agenda, poll: number, check: () => Promise<void>) {
		this.path = path;
		this.#agenda = agenda;
		this.#poll = poll;
		this.#check = check;
	}

	/** How long it is, in ms, until a look is worth it. */
	get pause(): number {
		return this.#more ? 0 : Math.max(0, this.#nextLook - performance.now());
	}

	/**
	 * Looks for files, which then are in the agenda. It must have none that was found.
	 *
	 * @returns Null if it is not yet time. It rejects with what the system says.
	 */
	look(): Promise<void> | null {
		if (this.#looking === null && this.pause === 0) {
			this.#looking = this.#look().finally(() => {
				this.#looking = null;
			});
		}
		return this.#looking;
	}

	/** There is something that the last look did not find, although the folder has not changed. */
	hasMore(): void {
		this.#seen = null;
	}

	async #look(): Promise<void> {
		const begun = performance.now();
		try {
			await this.#check();
			const { mtimeMs } = await stat(this.path);
			if (!this.#more && !this.#mayHaveChanged(mtimeMs, begun)) return;
			this.#seen = { mtimeMs, at: begun, settled: Date.now() - mtimeMs > SETTLED_MS };
			const gone = new Map(this.#agenda.aside);
			const { files, more } = await oldestFiles(this.path, MOST_FOUND, (name) => {
				gone.delete(name);
				return !this.#agenda.has(name);
			});
			this.#agenda.find(files);
			this.#agenda.forget(gone.keys());
			this.#more = more;
			await this.#reconsider();
		} catch (error) {
			this.#seen = null;
			throw error;
		} finally {
			const now = performance.now();
			this.#nextLook = now + Math.max(this.#poll, SHARE * (now - begun));
		}
	}

	/** What was set aside may have been written to since. */
	async #reconsider(): Promise<void> {
		for (const [name, mark] of [...this.#agenda.aside]) {
			if (mark === null) continue;
			const stats = await lstat(pathOf(this.path, name)).catch(() => null); // as if it had not changed
			if (stats !== null && !isSame(mark, stats)) this.#agenda.reconsider(name);
		}
	}

	#mayHaveChanged(mtimeMs: number, now: number): boolean {
		const seen = this.#seen;
		return seen === null || !seen.settled || mtimeMs !== seen.mtimeMs || now - seen.at > LONGEST_TRUST_MS;
	}
}

interface Seen {
	readonly mtimeMs: number;
	readonly at: number;
	/** The folder had not changed for so long that the next change is sure to have another time. */
	readonly settled: boolean;
}

const MOST_FOUND = 10_000;
const SHARE = 9; // looking, then nine times as long not
const SETTLED_MS = 2000; // times of files may be whole seconds
const LONGEST_TRUST_MS = 60_000; // some network file systems are late with the time of a folder
