/**
 * How fast a client sends, while the server waits for the rest of a package: one that sends a byte now and then would
 * hold a connection, and whatever the queue has opened for it, for an hour.
 *
 * Only the time counts in which the server waits for input within a package, and all of it together, whatever packages
 * it falls into. What the server itself makes wait is not the client's fault.
 */

import type { ServerLimits, ServerTimeouts } from "./options.js";

/** What is asked of a client: see `ServerOptions`. */
export interface PaceSettings {
	readonly limits: Pick<ServerLimits, "bytesPerSecond">;
	readonly timeouts: Pick<ServerTimeouts, "slow" | "grace">;
}

/** Watches one client. */
export class Pace {
	readonly #settings: PaceSettings;
	#bytes = 0; // received in this window
	#waited: number; // of this window, in milliseconds
	#checked: number;

	/** @param now - On the clock of {@link Pace.isTooSlow}. */
	constructor(settings: PaceSettings, now: number) {
		this.#settings = settings;
		this.#waited = -settings.timeouts.grace;
		this.#checked = now;
	}

	/** Bytes came. */
	received(bytes: number): void {
		this.#bytes += bytes;
	}

	/**
	 * Called on each tick of the clock.
	 * @param isWaiting - Whether the server waits for the client, and thus did so since the last tick, as far as one looks.
	 */
	isTooSlow(now: number, isWaiting: boolean): boolean {
		// A process that was stopped itself has waited for nobody in that time.
		if (isWaiting) this.#waited += Math.min(now - this.#checked, LONGEST_TICK_MS);
		this.#checked = now;
		const { limits, timeouts } = this.#settings;
		if (this.#waited < timeouts.slow) return false;
		const least = (limits.bytesPerSecond * this.#waited) / 1000;
		const isTooSlow = this.#bytes < least;
		this.#waited = 0;
		this.#bytes = 0;
		return isTooSlow;
	}
}

const LONGEST_TICK_MS = 2000; // of a clock that ticks every second
