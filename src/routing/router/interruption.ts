/** What ends a delivery before it is done: its caller gives it up, or the router is destroyed. */
import { setMaxListeners } from "node:events";

/** Listens to signals until `release()`, for any number of listeners of its own. */
export class Interruption {
	readonly #controller = new AbortController();
	readonly #sources: readonly AbortSignal[];
	readonly #abort = (): void => {
		this.#controller.abort(this.#sources.find(({ aborted }) => aborted)?.reason);
	};

	constructor(...sources: readonly AbortSignal[]) {
		this.#sources = sources;
		setMaxListeners(0, this.#controller.signal); // else Node warns of more than ten
		for (const source of sources) source.addEventListener("abort", this.#abort, { once: true });
		if (sources.some(({ aborted }) => aborted)) this.#abort();
	}

	/** Aborted with the reason of the first of them that was. */
	get signal(): AbortSignal {
		return this.#controller.signal;
	}

	/** What `work` comes to. @throws What it throws; the reason of `signal`, also if `work` does not heed that. */
	async orAborted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
		const { signal } = this;
		signal.throwIfAborted();
		let abort = () => {};
		const aborted = new Promise<never>((_, reject) => {
			abort = () => reject(signal.reason);
			signal.addEventListener("abort", abort, { once: true });
		});
		try {
			return await Promise.race([work(signal), aborted]);
		} finally {
			signal.removeEventListener("abort", abort);
		}
	}

	/** Listens no longer. */
	release(): void {
		for (const source of this.#sources) source.removeEventListener("abort", this.#abort);
	}
}
