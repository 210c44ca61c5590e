/**
 * Whose turn it is: what was found in new/ and what was put off, by the time at which it is due. What is out, put off or
 * set aside is known by its name, so that it is not found again. All of that is in memory only.
 */
import { Heap } from "./heap.js";
import type { FoundFile } from "./listing.js";

/** A file that has its turn, or waits for it. */
export interface Turn {
	/** One character is one byte. */
	readonly name: string;
	/** ms since 1970. */
	readonly dueAt: number;
	/** How many there were before. */
	readonly attempts: number;
	/** It could not be opened the last time. */
	readonly unreadable: boolean;
}

/** The files of one maildir. */
export class Agenda {
	readonly #known = new Map<string, Turn | null>(); // null: set aside
	readonly #aside = new Set<string>();
	readonly #waiting = new Heap<Turn>();
	#found: FoundFile[] = []; // the oldest is the last

	/** True for what is out, waits, or was set aside. */
	has(name: string): boolean {
		return this.#known.has(name);
	}

	/** The names of what was set aside. */
	get aside(): ReadonlySet<string> {
		return this.#aside;
	}

	/** When the next one that was put off is due, in ms since 1970. */
	get nextDue(): number {
		return this.#firstWaiting()?.dueAt ?? Number.POSITIVE_INFINITY;
	}

	/** Takes the one that has waited longest, of those that are due. */
	next(now: number): Turn | null {
		const found = this.#firstFound();
		const waiting = this.#firstWaiting();
		if (waiting !== undefined && waiting.dueAt <= Math.min(now, found?.dueAt ?? now)) {
			this.#waiting.shift();
			return this.#takeOut({ ...waiting });
		}
		if (found === undefined) return null;
		this.#found.pop();
		const { name, dueAt } = found;
		return this.#takeOut({ name, dueAt, attempts: 0, unreadable: false });
	}

	/** What is there, the oldest last, in place of what was found before. */
	find(files: FoundFile[]): void {
		this.#found = files;
	}

	/** Somebody else has it by now, or it was put off. */
	isOver(turn: Turn): boolean {
		return this.#known.get(turn.name) !== turn;
	}

	/** It comes again. Says nothing of what somebody else has by now. */
	putOff(turn: Turn, { dueAt, attempts, unreadable = false }: PutOff): void {
		if (this.isOver(turn)) return;
		const waiting = { name: turn.name, dueAt, attempts, unreadable };
		this.#known.set(turn.name, waiting);
		this.#waiting.push(waiting);
	}

	/** It is gone. */
	done(turn: Turn): void {
		if (!this.isOver(turn)) this.#known.delete(turn.name);
	}

	/** It never has its turn again, until it is forgotten. */
	setAside({ name }: Turn): void {
		this.#known.set(name, null);
		this.#aside.add(name);
	}

	/** These are gone, of those that were set aside. */
	forget(names: Iterable<string>): void {
		for (const name of names) {
			this.#aside.delete(name);
			this.#known.delete(name);
		}
	}

	#takeOut(turn: Turn): Turn {
		this.#known.set(turn.name, turn);
		return turn;
	}

	/** A file may have been out, and be put off by now, when the list was made in which it was found. */
	#firstFound(): FoundFile | undefined {
		for (;;) {
			const last = this.#found.at(-1);
			if (last === undefined || !this.#known.has(last.name)) return last;
			this.#found.pop();
		}
	}

	#firstWaiting(): Turn | undefined {
		for (;;) {
			const { first } = this.#waiting;
			if (first === undefined || !this.isOver(first)) return first;
			this.#waiting.shift();
		}
	}
}

/** How a file is put off. */
export interface PutOff {
	/** ms since 1970. */
	readonly dueAt: number;
	/** How many there were by now. */
	readonly attempts: number;
	readonly unreadable?: boolean;
}
