/**
 * Where mail goes, and how much of it at a time: places for deliveries, some for each destination and so many in all; and
 * which destinations rest, since they could not be reached. After its rest one delivery, and no more, finds out whether a
 * destination is back.
 */
import type { QmtpResponse } from "../protocol/response.js";
import type { RetrySchedule } from "./retry.js";

/** How many deliveries there are. */
export interface DestinationLimits {
	readonly concurrency: number;
	readonly perDestination: number;
	readonly waiting: number;
}

/** The right to deliver to a destination now. It is given back once. */
export interface Place {
	/**
	 * Ends the delivery.
	 *
	 * @param failure - What was said if the destination could not be reached; null if it was reached; undefined if the
	 * delivery tells nothing about that.
	 */
	leave(failure: QmtpResponse | null | undefined): void;
}

/** Why there is no place: the destination rests, too many wait for it, or nothing is begun any more. */
export type NoPlace = "rest" | "busy" | "closing";

/** How a destination is: it can be reached as far as is known, it rests, or it is time to see whether it is back. */
export type Condition = "up" | "resting" | "probe";

/** What changed: the destination was reached, or rests until `until`. */
export type ConditionListener = (name: string, until: number | null, failure: QmtpResponse | null) => void;

/** All destinations that there is something to know of. */
export class Destinations {
	readonly #limits: DestinationLimits;
	readonly #schedule: RetrySchedule;
	readonly #now: () => number;
	readonly #changed: ConditionListener;
	readonly #all = new Map<string, Destination>();
	readonly #waiting = new Set<Destination>(); // those that somebody waits for
	#active = 0;
	#closing = false;
	#sweepAt = SWEEP_FROM;

	/** @param now - ms since 1970. @param changed - Called when a destination starts or ends to rest. */
	constructor(
		limits: DestinationLimits,
		schedule: RetrySchedule,
		now: () => number,
		changed: ConditionListener,
	) {
		this.#limits = limits;
		this.#schedule = schedule;
		this.#now = now;
		this.#changed = changed;
	}

	/** Deliveries under way. */
	get active(): number {
		return this.#active;
	}

	/** Deliveries that wait for a place. */
	get waiting(): number {
		let count = 0;
		for (const { waiters } of this.#waiting) count += waiters.length;
		return count;
	}

	/** Destinations that could not be reached when they were last tried. */
	get down(): number {
		let count = 0;
		for (const { failures } of this.#all.values()) if (failures > 0) count++;
		return count;
	}

	/** A place to deliver to this destination, now or after those who came before. */
	enter(name: string): Place | NoPlace | Promise<Place | NoPlace> {
		if (this.#closing) return "closing";
		const destination = this.#find(name);
		if (this.#conditionOf(destination) === "resting") return "rest";
		if (this.#active < this.#limits.concurrency && this.#hasRoom(destination))
			return this.#place(destination);
		if (destination.waiters.length >= this.#limits.waiting) return "busy";
		this.#waiting.add(destination);
		return new Promise((resolve) => {
			destination.waiters.push(resolve);
		});
	}

	/** How a destination is. */
	condition(name: string): Condition {
		const destination = this.#all.get(name);
		return destination === undefined ? "up" : this.#conditionOf(destination);
	}

	/** When the rest of a destination ends; in the past if it does not rest. */
	restUntil(name: string): number {
		return this.#all.get(name)?.restUntil ?? 0;
	}

	/** What was said when a destination could not be reached; null if it can. */
	failure(name: string): QmtpResponse | null {
		return this.#all.get(name)?.failure ?? null;
	}

	/** Nobody gets a place any more; those who wait are told so. */
	close(): void {
		this.#closing = true;
		for (const destination of this.#waiting) this.#sendAway(destination, "closing");
	}

	#find(name: string): Destination {
		let destination = this.#all.get(name);
		if (destination !== undefined) return destination;
		if (this.#all.size >= this.#sweepAt) this.#sweep();
		destination = new Destination(name);
		this.#all.set(name, destination);
		return destination;
	}

	#conditionOf({ failures, restUntil }: Destination): Condition {
		if (failures === 0) return "up";
		return this.#now() < restUntil ? "resting" : "probe";
	}

	#hasRoom(destination: Destination): boolean {
		const { active, failures, probing } = destination;
		return active < this.#limits.perDestination && (failures === 0 || !probing);
	}

	#place(destination: Destination): Place {
		this.#active++;
		destination.active++;
		const isProbe = destination.failures > 0;
		if (isProbe) destination.probing = true;
		return { leave: (failure) => this.#leave(destination, isProbe, failure) };
	}

	#leave(destination: Destination, isProbe: boolean, failure: QmtpResponse | null | undefined): void {
		const wasFull = this.#active >= this.#limits.concurrency;
		this.#active--;
		destination.active--;
		if (isProbe) destination.probing = false;
		if (failure === null) this.#reached(destination);
		// Deliveries that were under way together fail together: that is one failure.
		else if (failure !== undefined && this.#conditionOf(destination) !== "resting")
			this.#rest(destination, failure);
		if (destination.waiters.length > 0) this.#admit(destination);
		if (wasFull) this.#admitOthers();
		const { active, failures, waiters } = destination;
		if (active === 0 && failures === 0 && waiters.length === 0) this.#all.delete(destination.name);
	}

	#reached(destination: Destination): void {
		if (destination.failures === 0) return;
		destination.failures = 0;
		destination.restUntil = 0;
		destination.failure = null;
		this.#changed(destination.name, null, null);
	}

	#rest(destination: Destination, failure: QmtpResponse): void {
		destination.failures++;
		destination.restUntil = this.#now() + this.#schedule.rest(destination.failures);
		destination.failure = failure;
		this.#sendAway(destination, "rest");
		this.#changed(destination.name, destination.restUntil, failure);
	}

	#admit(destination: Destination): void {
		while (
			destination.waiters.length > 0 &&
			this.#active < this.#limits.concurrency &&
			this.#hasRoom(destination)
		) {
			(destination.waiters.shift() as Waiter)(this.#place(destination));
		}
		if (destination.waiters.length === 0) this.#waiting.delete(destination);
	}

	/** Gives what has become free to those who wait, a place to each destination in turn. */
	#admitOthers(): void {
		for (const destination of this.#waiting) {
			if (this.#active >= this.#limits.concurrency) return;
			if (!this.#hasRoom(destination)) continue;
			(destination.waiters.shift() as Waiter)(this.#place(destination));
			this.#waiting.delete(destination);
			if (destination.waiters.length > 0) this.#waiting.add(destination); // at the end, and the loop comes to it
		}
	}

	#sendAway(destination: Destination, why: NoPlace): void {
		this.#waiting.delete(destination);
		for (const waiter of destination.waiters.splice(0)) waiter(why);
	}

	/** Forgets those that nobody has asked for since their rest, which would gather for ever. */
	#sweep(): void {
		const now = this.#now();
		for (const [name, { active, waiters, restUntil }] of this.#all) {
			if (active === 0 && waiters.length === 0 && now > restUntil + FORGET_MS) this.#all.delete(name);
		}
		this.#sweepAt = Math.max(SWEEP_FROM, this.#all.size * 2);
	}
}

type Waiter = (place: Place | NoPlace) => void;

class Destination {
	readonly name: string;
	readonly waiters: Waiter[] = [];
	active = 0;
	failures = 0; // in a row
	probing = false;
	restUntil = 0;
	failure: QmtpResponse | null = null;

	constructor(name: string) {
		this.name = name;
	}
}

const SWEEP_FROM = 10_000;
const FORGET_MS = 86_400_000; // a day
