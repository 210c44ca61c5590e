/**
 * One coarse clock for all sessions of a server or a client: each session compares its own deadlines when the clock
 * ticks. No timer is set or cleared when a session starts or stops to wait, which it does for every chunk.
 */

/** What is looked at on each tick. */
export interface Timed {
	/** @param now - Milliseconds on the same clock as {@link Timers.now}. */
	check(now: number): void;
}

/** Ticks while there is somebody to tell, and never keeps the process alive by itself. */
export class Timers {
	/** Milliseconds on a clock that never goes back, as of the last tick. */
	now: number = performance.now();
	readonly #members = new Set<Timed>();
	readonly #interval: number;
	#timer: NodeJS.Timeout | null = null;

	/** @param shortest - The shortest time, in milliseconds, that somebody will measure; a tick is an eighth of it. */
	constructor(shortest: number) {
		this.#interval = Math.min(Math.max(shortest / 8, SHORTEST_TICK), LONGEST_TICK);
	}

	add(member: Timed): void {
		this.#members.add(member);
		if (this.#timer !== null) return;
		this.now = performance.now();
		this.#timer = setInterval(() => this.#tick(), this.#interval);
		this.#timer.unref();
	}

	remove(member: Timed): void {
		this.#members.delete(member);
		if (this.#members.size > 0 || this.#timer === null) return;
		clearInterval(this.#timer);
		this.#timer = null;
	}

	#tick(): void {
		this.now = performance.now();
		for (const member of this.#members) member.check(this.now);
	}
}

const SHORTEST_TICK = 5;
const LONGEST_TICK = 1000;
