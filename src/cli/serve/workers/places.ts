/** The primary's side of the limit that workers share: the places of one worker, which go back when it dies. */
import type { ConnectionLimit, NoPlace, Place } from "../../../server/connection-limit.js";
import type { PlaceAnswer, PlaceRequest } from "./messages.js";

/** The places of one worker. */
export class WorkerPlaces {
	readonly #limit: ConnectionLimit;
	readonly #answer: (message: PlaceAnswer) => void;
	readonly #places = new Map<number, Place>();
	readonly #waiting = new Map<number, AbortController>();
	#released = false;

	/** @param limit - That of all workers. */
	constructor(limit: ConnectionLimit, answer: (message: PlaceAnswer) => void) {
		this.#limit = limit;
		this.#answer = answer;
	}

	/** Does what the worker asks for. */
	async receive(message: PlaceRequest): Promise<void> {
		const { type, number } = message;
		if (type === "enter") {
			await this.#enter(number, message.address);
		} else if (type === "claim") {
			const isAllowed = (await this.#places.get(number)?.claim(message.address)) ?? false;
			this.#answer({ type: "claimed", number, isAllowed });
		} else {
			this.#leave(number);
		}
	}

	/** Gives all back: the worker is gone. */
	release(): void {
		this.#released = true;
		for (const number of [...this.#waiting.keys(), ...this.#places.keys()]) this.#leave(number);
	}

	async #enter(number: number, address: string): Promise<void> {
		const stop = new AbortController();
		const entered = this.#limit.enter(address, stop.signal);
		let place: Place | NoPlace;
		if (entered instanceof Promise) {
			this.#waiting.set(number, stop);
			place = await entered;
			this.#waiting.delete(number);
		} else {
			place = entered;
		}
		if (typeof place === "string") {
			this.#answer({ type: "entered", number, refusal: place });
		} else if (this.#released || stop.signal.aborted) {
			place.leave(); // it was given in the very turn in which the worker gave up
		} else {
			this.#places.set(number, place);
			this.#answer({ type: "entered", number, refusal: null });
		}
	}

	#leave(number: number): void {
		this.#waiting.get(number)?.abort();
		const place = this.#places.get(number);
		this.#places.delete(number);
		place?.leave();
	}
}
