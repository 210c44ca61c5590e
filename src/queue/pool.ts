/** A bounded number of items, each used by one taker at a time; who finds none waits, first come first served. */

/** The items are made when they are first needed, and kept. */
export class Pool<T> {
	readonly #make: () => T;
	#unmade: number;
	readonly #idle: T[] = [];
	readonly #waiting: ((item: T) => void)[] = [];

	constructor(size: number, make: () => T) {
		this.#unmade = size;
		this.#make = make;
	}

	/** Runs `use` with an item that is nobody else's until it settles. */
	async with<R>(use: (item: T) => Promise<R>): Promise<R> {
		const item = await this.take();
		try {
			return await use(item);
		} finally {
			this.give(item);
		}
	}

	/** An item that is nobody else's until it is given back; a promise if it must be waited for. */
	take(): T | Promise<T> {
		if (this.#idle.length > 0) return this.#idle.pop() as T;
		if (this.#unmade > 0) {
			this.#unmade--;
			return this.#make();
		}
		return new Promise((resolve) => {
			this.#waiting.push(resolve);
		});
	}

	/** Gives back an item that was taken, once. */
	give(item: T): void {
		const waiting = this.#waiting.shift();
		if (waiting === undefined) this.#idle.push(item);
		else waiting(item);
	}
}
