/** Looks at this process's resident memory every 2 ms. */

/** What a process says of itself, in bytes. */
export interface Watched {
	readonly before: number;
	readonly peak: number;
}

/** A watch that runs from its making until `end()`. */
export class Watch {
	readonly #before: number;
	#peak: number;
	readonly #timer: NodeJS.Timeout;

	constructor() {
		globalThis.gc?.();
		this.#before = process.memoryUsage.rss();
		this.#peak = this.#before;
		this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
	}

	end(): Watched {
		this.#look();
		clearInterval(this.#timer);
		return { before: this.#before, peak: this.#peak };
	}

	#look(): void {
		this.#peak = Math.max(this.#peak, process.memoryUsage.rss());
	}
}

const INTERVAL_MS = 2;
