/** The calls of `send` under way, and promises of calls that nobody looks at. */
import type { OutgoingMessage } from "./outgoing.js";

/** Calls, from their beginning until their promises settle. */
export class Calls implements Iterable<OutgoingMessage> {
	readonly #calls = new Set<OutgoingMessage>();
	#none: (() => void) | null = null;

	add(call: OutgoingMessage): void {
		this.#calls.add(call);
	}

	delete(call: OutgoingMessage): void {
		this.#calls.delete(call);
		if (this.#calls.size === 0) this.#none?.();
	}

	[Symbol.iterator](): Iterator<OutgoingMessage> {
		return this.#calls.values();
	}

	/** Resolves when there are none. To be called once, when no more are added. */
	async none(): Promise<void> {
		if (this.#calls.size === 0) return;
		await new Promise<void>((resolve) => {
			this.#none = resolve;
		});
	}
}

/** The promise itself. A caller who does not look at what becomes of its call is not ended by a rejection. */
export function ignorable<T>(promise: Promise<T>): Promise<T> {
	promise.catch(() => {});
	return promise;
}
