/**
 * A few outlets that share the mail: each message goes to the one that has the fewest under way, and waits if all have
 * as many as they may have. A message that waits has not been opened, so it takes no memory and no descriptor.
 */
import type { Outlet } from "./outlet.js";

/** How many outlets there are, and what each does. */
export interface PoolSettings {
	/** Makes an outlet. */
	readonly open: () => Outlet;
	/** Outlets at once, those included that are being closed. */
	readonly maxConnections: number;
	/** Messages of one outlet, after which another takes its place. */
	readonly maxMessages: number;
	/** Called when a message would not have to wait any more. */
	readonly onRoom: () => void;
}

/** The outlets. */
export class Pool {
	readonly #settings: PoolSettings;
	readonly #places = new Set<Place>();
	readonly #waiting = new Set<(place: Place) => void>(); // in their order
	readonly #calls = new Set<Promise<unknown>>();
	#closing: Promise<void> | null = null;

	constructor(settings: PoolSettings) {
		this.#settings = settings;
	}

	/** True if a message would go out at once. */
	get hasRoom(): boolean {
		if (this.#waiting.size > 0) return false;
		if (this.#places.size < this.#settings.maxConnections) return true;
		for (const place of this.#places) if (this.#takesMore(place)) return true;
		return false;
	}

	/** Does `work` with an outlet, when there is one. @throws What `work` throws, or the signal's reason. */
	run<T>(work: (outlet: Outlet) => Promise<T>, signal: AbortSignal): Promise<T> {
		const call = this.#run(work, signal);
		this.#calls.add(call);
		const done = () => this.#calls.delete(call);
		call.then(done, done);
		return call;
	}

	/** Waits for all messages, those that wait included, and ends the outlets. There are no calls of `run()` after it. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	/** Ends the outlets now. What waits is its caller's to give up. */
	destroy(): void {
		for (const { outlet } of this.#places) outlet.destroy();
	}

	async #run<T>(work: (outlet: Outlet) => Promise<T>, signal: AbortSignal): Promise<T> {
		const place = (this.#waiting.size === 0 ? this.#take() : undefined) ?? (await this.#wait(signal));
		try {
			return await work(place.outlet);
		} finally {
			this.#release(place);
		}
	}

	/** A place for one message more, which counts from now on. */
	#take(): Place | undefined {
		const { maxConnections, open } = this.#settings;
		let best: Place | undefined;
		for (const place of this.#places) {
			if (this.#takesMore(place) && (best === undefined || place.busy < best.busy)) best = place;
		}
		if ((best === undefined || best.busy > 0) && this.#places.size < maxConnections) {
			best = { outlet: open(), busy: 0, messages: 0 };
			this.#places.add(best);
		}
		if (best === undefined) return undefined;
		best.busy++;
		best.messages++;
		return best;
	}

	#wait(signal: AbortSignal): Promise<Place> {
		return new Promise((resolve, reject) => {
			const start = (place: Place) => {
				signal.removeEventListener("abort", abort);
				resolve(place);
			};
			const abort = () => {
				this.#waiting.delete(start);
				reject(signal.reason);
				this.#settings.onRoom();
			};
			this.#waiting.add(start);
			signal.addEventListener("abort", abort, { once: true });
		});
	}

	#release(place: Place): void {
		place.busy--;
		if (place.busy === 0 && place.messages >= this.#settings.maxMessages) {
			// It counts until it is gone: the server is never to see more connections than it was promised.
			const gone = () => {
				this.#places.delete(place);
				this.#fill();
			};
			place.outlet.close().then(gone, gone);
		}
		this.#fill();
	}

	#fill(): void {
		for (const start of this.#waiting) {
			const place = this.#take();
			if (place === undefined) return;
			this.#waiting.delete(start);
			start(place);
		}
		if (this.hasRoom) this.#settings.onRoom();
	}

	#takesMore({ busy, messages }: Place): boolean {
		return busy < AT_ONCE && messages < this.#settings.maxMessages;
	}

	async #close(): Promise<void> {
		await Promise.allSettled(this.#calls);
		await Promise.allSettled([...this.#places].map(({ outlet }) => outlet.close()));
	}
}

interface Place {
	readonly outlet: Outlet;
	/** Messages under way. */
	busy: number;
	/** Messages so far. */
	messages: number;
}

/**
 * Messages under way on one connection. They are pipelined, so that there must be enough of them for the way there and
 * back; and each may be spooled, with 1 MiB in memory or a descriptor.
 */
export const AT_ONCE = 100;
