/** A worker's side of the limit that all share: it asks the primary for each place. */
import type { ConnectionLimiter, NoPlace, Place } from "../../../server/connection-limit.js";
import type { PlaceAnswer, PlaceRequest } from "./messages.js";

/** Places that the primary has. */
export class SharedLimit implements ConnectionLimiter {
	readonly #ask: (message: PlaceRequest) => void;
	readonly #entering = new Map<number, (refusal: NoPlace | null) => void>();
	readonly #claiming = new Map<number, (isAllowed: boolean) => void>();
	#last = 0;
	#disconnected = false;

	constructor(ask: (message: PlaceRequest) => void) {
		this.#ask = ask;
	}

	enter(address: string, signal: AbortSignal): NoPlace | Promise<Place | NoPlace> {
		if (this.#disconnected) return "full";
		const number = ++this.#last;
		return new Promise((resolve) => {
			const giveUp = () => {
				this.#entering.delete(number);
				this.#ask({ type: "leave", number }); // also of a place that is on its way
				resolve("full");
			};
			this.#entering.set(number, (refusal) => {
				this.#entering.delete(number);
				signal.removeEventListener("abort", giveUp);
				resolve(refusal ?? this.#place(number));
			});
			signal.addEventListener("abort", giveUp, { once: true });
			this.#ask({ type: "enter", number, address });
			if (signal.aborted) giveUp();
		});
	}

	/** What the primary says. */
	receive(message: PlaceAnswer): void {
		if (message.type === "entered") {
			this.#entering.get(message.number)?.(message.refusal);
		} else {
			const claimed = this.#claiming.get(message.number);
			this.#claiming.delete(message.number);
			claimed?.(message.isAllowed);
		}
	}

	/** The primary is gone: there are no places any more, and nobody counts those that were given. */
	disconnect(): void {
		this.#disconnected = true;
		for (const entered of [...this.#entering.values()]) entered("full");
		for (const claimed of this.#claiming.values()) claimed(false);
	}

	#place(number: number): Place {
		return {
			claim: (address) => {
				if (this.#disconnected) return false;
				return new Promise((resolve) => {
					this.#claiming.set(number, resolve);
					this.#ask({ type: "claim", number, address });
				});
			},
			leave: () => this.#ask({ type: "leave", number }),
		};
	}
}
