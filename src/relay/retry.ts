/**
 * When a message is tried again: qmail's schedule, whose gaps grow with the message's age, and the rests of destinations
 * that cannot be reached.
 *
 * Source: qmail-send.c of qmail 1.03 (nextretry); its man page, control file queuelifetime.
 */

/** When to try again, and when to give up. */
export interface RelayRetry {
	/**
	 * How long a message is tried, in ms. An attempt of one that is older is its last.
	 * @defaultValue 604800000 (7 days)
	 */
	readonly lifetime: number;
	/**
	 * A message of age a is tried next when its age is (sqrt(a) + step)², both in seconds: with 20, at 0, 400, 1600, 3600
	 * seconds, and then ever more seldom.
	 * @defaultValue 20, as qmail has it for remote deliveries
	 */
	readonly step: number;
	/**
	 * The first rest of a destination that cannot be reached, in ms. Each that follows is twice as long; all of them are up
	 * to a quarter shorter or longer, by chance.
	 * @defaultValue 60000 (1 minute)
	 */
	readonly firstRest: number;
	/**
	 * The longest rest, in ms, chance apart.
	 * @defaultValue 3600000 (1 hour)
	 */
	readonly longestRest: number;
}

/** When messages are tried. All times are in ms since 1970. */
export class RetrySchedule {
	readonly #retry: RelayRetry;
	readonly #random: () => number;

	/** @param random - A number from 0 to below 1. */
	constructor(retry: RelayRetry, random: () => number) {
		this.#retry = retry;
		this.#random = random;
	}

	/** When a message is tried again that was tried now, in vain. */
	next(queuedAt: number, now: number): number {
		const age = Math.max(now - queuedAt, 0) / 1000;
		return queuedAt + Math.ceil((Math.sqrt(age) + this.#retry.step) ** 2 * 1000);
	}

	/** Whether an attempt that begins now is the last. */
	isLast(queuedAt: number, now: number): boolean {
		return now - queuedAt >= this.#retry.lifetime;
	}

	/** How long a destination rests that could not be reached so many times in a row, in ms. */
	rest(failures: number): number {
		const { firstRest, longestRest } = this.#retry;
		return this.spread(Math.min(firstRest * 2 ** (failures - 1), longestRest));
	}

	/** A time near this one, so that what waits together does not come back together. */
	spread(ms: number): number {
		return Math.round(ms * (0.75 + this.#random() / 2));
	}
}
