/**
 * new/ of a maildir, looked through now and then: when what was found is used up and there was more, or when the folder
 * has changed. One that is large is looked through seldom, so that looking takes a tenth of the time at most.
 */
import { stat } from "node:fs/promises";
import type { Agenda } from "./agenda.js";
import { oldestFiles } from "./listing.js";

/** A folder, and what is found in it. */
export class NewFolder {
	/** With a slash at the end. */
	readonly path: string;
	readonly #agenda: Agenda;
	readonly #poll: number;
	#looking: Promise<void> | null = null;
	#nextLook = 0; // by performance.now(), and so are the other times
	#more = false;
	#seen: Seen | null = null;

	/** @param poll - How often to look, in ms. */
	constructor(path: string, agenda: Agenda, poll: number) {
		this.path = path;
		this.#agenda = agenda;
		this.#poll = poll;
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

	async #look(): Promise<void> {
		const begun = performance.now();
		try {
			const { mtimeMs } = await stat(this.path);
			if (!this.#more && !this.#mayHaveChanged(mtimeMs, begun)) return;
			const aside = new Set(this.#agenda.aside);
			const { files, more } = await oldestFiles(this.path, MOST_FOUND, (name) => {
				aside.delete(name);
				return !this.#agenda.has(name);
			});
			this.#agenda.find(files);
			this.#agenda.forget(aside);
			this.#more = more;
			this.#seen = { mtimeMs, at: begun, settled: Date.now() - mtimeMs > SETTLED_MS };
		} finally {
			const now = performance.now();
			this.#nextLook = now + Math.max(this.#poll, SHARE * (now - begun));
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
