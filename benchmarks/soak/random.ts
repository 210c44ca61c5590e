/** Random numbers that a seed repeats. */

/** A source of them: mulberry32, by Tommy Ettinger. */
export class Random {
	#state: number;

	constructor(seed: number) {
		this.#state = seed | 0;
	}

	/** From 0 to below 1. */
	next(): number {
		this.#state = (this.#state + 0x6d2b79f5) | 0;
		let bits = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
		bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
		return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
	}

	/** A whole number from `least` to `most`, both included. */
	between(least: number, most: number): number {
		return least + Math.floor(this.next() * (most - least + 1));
	}

	/** True with this chance, from 0 to 1. */
	chance(chance: number): boolean {
		return this.next() < chance;
	}

	/** One of these. */
	pick<T>(items: readonly T[]): T {
		return items[this.between(0, items.length - 1)] as T;
	}
}

/** A seed for a run that was given none. */
export function newSeed(): number {
	return Math.floor(Math.random() * 2 ** 31);
}
