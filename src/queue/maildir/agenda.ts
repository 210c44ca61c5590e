/**
 * Whose turn it is: what was found in new/ and what was put off, by the time at which it is due. What is out, put off or
 * set aside is known by its name, so that it is not found again. All of that is in memory only.
 *
 * A clock that is set back takes with it what waits: it waits as long as it was to wait.
 */
import { Heap } from "./heap.js";
import type { FoundFile } from "./listing.js";
import type { Mark } from "./mark.js";

/** A file that has its turn, or waits for it. */
export interface Turn {
	/** One character is one byte. */
	readonly name: string;
	/** ms since 1970. */
	readonly dueAt: number;
	/** How many there were before. */
	readonly attempts: number;
	/** It could not be delivered the last time, and that was told. */
	readonly told: boolean;
	/** K or D was said for this file, which could not be removed: nothing else is left to be done. */
	readonly finished: Mark | null;
}

/** The files of one maildir. */
export class Agenda {
	readonly #known = new Map<string, Turn | null>(); // null: set aside
	readonly #aside = new Map<string, Mark | null>();
	readonly #waiting = new Heap<Turn>(); // their times are those of a clock that is never set back
	#setBack = 0; // that clock minus the real one, in ms
	#lastNow = Number.NEGATIVE_INFINITY;
	#found: FoundFile[] = []; // the oldest is the last

	/** True for what is out, waits, or was set aside. */
	has(name: string): boolean {
		return this.#known.has(name);
	}

	/** What was set aside, by its name: in which state, or null if that does not matter. */
	get aside(): ReadonlyMap<string, Mark | null> {
		return this.#aside;
	}

	/** When the next one that was put off is due, in ms since 1970. */
	get nextDue(): number {
		return (this.#firstWaiting()?.dueAt ?? Number.POSITIVE_INFINITY) - this.#setBack;
	}

	/** What time it is. To be told before anything is put off. */
	tick(now: number): void {
		if (now < this.#lastNow - SMALL_STEP_MS) this.#setBack += this.#lastNow - now;
		this.#lastNow = now;
	}

	/** Takes the one that has waited longest, of those that are due. */
	next(now: number): Turn | null {
		this.tick(now);
		const found = this.#firstFound();
		const waiting = this.#firstWaiting();
		const latest = Math.min(now, found?.dueAt ?? now) + this.#setBack;
		if (waiting !== undefined && waiting.dueAt <= latest) {
			this.#waiting.shift();
			return this.#takeOut({ ...waiting, dueAt: waiting.dueAt - this.#setBack });
		}
		if (found === undefined) return null;
		this.#found.pop();
		const { name, dueAt } = found;
		return this.#takeOut({ name, dueAt, attempts: 0, told: false, finished: null });
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
	putOff(turn: Turn, { dueAt, attempts, told = false, finished = null }: PutOff): void {
		if (!this.isOver(turn)) this.#wait({ name: turn.name, dueAt, attempts, told, finished });
	}

	/** It is gone. */
	done(turn: Turn): void {
		if (!this.isOver(turn)) this.#known.delete(turn.name);
	}

	/** It has its turn no more, until it is forgotten or reconsidered. @param mark - The state that this is about. */
	setAside({ name }: Turn, mark: Mark | null): void {
		this.#known.set(name, null);
		this.#aside.set(name, mark);
	}

	/** It was set aside, and has its turn after all. */
	reconsider(name: string): void {
		this.#aside.delete(name);
		this.#wait({ name, dueAt: this.#lastNow, attempts: 0, told: true, finished: null });
	}

	/** These are gone, of those that were set aside. */
	forget(names: Iterable<string>): void {
		for (const name of names) {
			this.#aside.delete(name);
			this.#known.delete(name);
		}
	}

	#wait(turn: Turn): void {
		const waiting = { ...turn, dueAt: turn.dueAt + this.#setBack };
		this.#known.set(turn.name, waiting);
		this.#waiting.push(waiting);
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
	readonly told?: boolean;
	readonly finished?: Mark | null;
}

const SMALL_STEP_MS = 60_000; // what is less is waited for
