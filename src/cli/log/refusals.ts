/** Connections that were refused, gathered: however many there are in a second, the log has one line about them. */
import type { Peer } from "../../protocol/peer.js";

/** Connections that were refused one after the other. */
export interface RefusalReport {
	/** Whose was the last. */
	readonly peer: Peer;
	/** Why it was. */
	readonly error: Error;
	/** How many there were since the line before. */
	readonly count: number;
}

/** Gathers the refusals of one server. The first is told at once. */
export class Refusals {
	readonly #tell: (report: RefusalReport) => void;
	#last: { readonly peer: Peer; readonly error: Error } | null = null;
	#count = 0;
	#timer: NodeJS.Timeout | null = null;

	constructor(tell: (report: RefusalReport) => void) {
		this.#tell = tell;
	}

	/** One more. */
	add(peer: Peer, error: Error): void {
		this.#last = { peer, error };
		this.#count++;
		if (this.#timer === null) this.#flushAndWait();
	}

	/** Tells what was not told yet. */
	flush(): void {
		if (this.#last === null) return;
		this.#tell({ ...this.#last, count: this.#count });
		this.#last = null;
		this.#count = 0;
	}

	#flushAndWait(): void {
		this.flush();
		this.#timer = setTimeout(() => {
			this.#timer = null;
			if (this.#last !== null) this.#flushAndWait();
		}, INTERVAL);
		this.#timer.unref(); // no reason for a process to live
	}
}

const INTERVAL = 1000;
