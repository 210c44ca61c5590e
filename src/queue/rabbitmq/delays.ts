/**
 * Where messages wait for their next attempt: in queues whose messages expire after a fixed time and go back into the main
 * queue. A wait that none of them has is put together of several.
 */
import type { RetryQueue } from "./topology.js";

/** The queues in which messages wait. */
export class Delays {
	readonly #queues: readonly RetryQueue[]; // the longest wait first
	readonly #shortest: RetryQueue;

	/** @param queues - At least one. */
	constructor(queues: readonly RetryQueue[]) {
		this.#queues = [...queues].sort((a, b) => b.ttl - a.ttl);
		this.#shortest = this.#queues.at(-1) as RetryQueue;
	}

	/** The one with the shortest wait. */
	get shortest(): string {
		return this.#shortest.name;
	}

	/**
	 * Where a message waits that is due in `ms`: the longest wait that is not too long. Only what is due before the shortest
	 * wait is over comes too late by that; nothing comes too early.
	 *
	 * @returns Null if it is due.
	 */
	queueFor(ms: number): string | null {
		if (ms <= 0) return null;
		return (this.#queues.find(({ ttl }) => ttl <= ms) ?? this.#shortest).name;
	}

	/** A queue in which messages wait, and those with shorter waits, which will do if it takes nothing. */
	from(queue: string): readonly string[] {
		return this.#queues.slice(this.#queues.findIndex(({ name }) => name === queue)).map(({ name }) => name);
	}

	/** The same as `queueFor` for what has come back: what is nearly due counts as due, since the clocks of several hosts differ a little. */
	onwards(ms: number): string | null {
		return this.queueFor(ms <= this.#shortest.ttl / NEARLY ? 0 : ms);
	}
}

const NEARLY = 60; // a second of a minute
