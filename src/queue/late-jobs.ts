/** Jobs of a source that must be opened first. */
import type { Job } from "./source.js";

/**
 * The jobs of a generator that is there when its source is open, which is from the first `next()` on. With a generator
 * around it that says `yield*`, a relay took 2 us more for each message.
 */
export class LateJobs implements AsyncIterableIterator<Job, undefined> {
	readonly #open: () => Promise<AsyncGenerator<Job, undefined>>;
	#opening: Promise<AsyncGenerator<Job, undefined>> | null = null;
	#jobs: AsyncGenerator<Job, undefined> | null = null;
	#ended = false;

	/** @param open - Opens the source, and begins to take. What it rejects with is what the first `next()` rejects with. */
	constructor(open: () => Promise<AsyncGenerator<Job, undefined>>) {
		this.#open = open;
	}

	[Symbol.asyncIterator](): this {
		return this;
	}

	next(): Promise<IteratorResult<Job, undefined>> {
		if (this.#jobs !== null) return this.#jobs.next();
		if (this.#ended) return Promise.resolve(DONE);
		this.#opening ??= this.#open();
		return this.#opening.then(
			(jobs) => {
				this.#jobs = jobs; // not before: calls keep their order
				return jobs.next();
			},
			(error) => {
				this.#ended = true;
				throw error;
			},
		);
	}

	/** Ends it; what was taken and not looked at goes back. */
	async return(): Promise<IteratorResult<Job, undefined>> {
		this.#ended = true;
		const jobs = this.#jobs ?? (await this.#opening?.catch(() => null));
		await jobs?.return(undefined);
		return DONE;
	}

	/** Ends it as `return()` does, and rejects with the error. */
	async throw(error: unknown): Promise<IteratorResult<Job, undefined>> {
		await this.return();
		throw error;
	}
}

/** None, since nobody wants them any more. */
export async function* noJobs(): AsyncGenerator<Job, undefined> {}

const DONE = { done: true, value: undefined } as const;
