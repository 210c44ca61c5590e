/**
 * Hands things over after a fixed time, in their order. Timers are too coarse for half a millisecond, so the last bit is
 * waited for by looking at the clock again and again, which keeps a core busy while something is under way.
 */

/** One direction of a link. */
export class Delay {
	readonly #ms: number;
	readonly #waiting: { readonly due: number; readonly hand: () => void }[] = [];
	#next = 0; // index of the first that was not handed over
	#armed = false;

	/** @param ms - How long everything is under way. */
	constructor(ms: number) {
		this.#ms = ms;
	}

	/** Calls `hand` when the time is over. @param from - When the way begins, by `performance.now()`; now if that is later. */
	pass(hand: () => void, from = 0): void {
		const now = performance.now();
		const last = this.#waiting.at(-1)?.due ?? 0;
		this.#waiting.push({ due: Math.max(last, Math.max(now, from) + this.#ms), hand });
		this.#arm();
	}

	#arm(): void {
		const first = this.#waiting[this.#next];
		if (this.#armed || first === undefined) return;
		this.#armed = true;
		const left = first.due - performance.now() - COARSE_MS;
		if (left > 0) setTimeout(() => this.#look(), left);
		else setImmediate(() => this.#look());
	}

	#look(): void {
		this.#armed = false;
		for (;;) {
			const first = this.#waiting[this.#next];
			if (first === undefined || first.due > performance.now()) break;
			this.#next++;
			first.hand();
		}
		if (this.#next === this.#waiting.length) {
			this.#waiting.length = 0;
			this.#next = 0;
		}
		this.#arm();
	}
}

const COARSE_MS = 2; // timers have whole milliseconds, and come late
