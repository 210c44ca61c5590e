/** One loop over the source: what has come in for it, how many of its jobs are out, and its sleep. */
import type { Arrival } from "./arrival.js";
import type { Tap } from "./inbound.js";
import type { Mail } from "./mail.js";

/** A loop that takes jobs. */
export class Taker implements Tap {
	/** What is here for it. */
	mails: Mail[] = [];
	/** Whether it has found nothing here, so that messages are asked for. */
	isDrawing = false;
	/** How many it asks for. */
	wanted = 0;
	/** The most jobs that it may have out. */
	readonly concurrency: number;
	/** How many it has. */
	out = 0;
	readonly #signals: readonly AbortSignal[];
	readonly #arrive: (arrival: Arrival, taker: Taker) => void;
	readonly #wake = () => this.wake();
	#resolve: (() => void) | null = null;

	/** @param signals - Each of them ends it. */
	constructor(
		concurrency: number,
		signals: readonly AbortSignal[],
		arrive: (arrival: Arrival, taker: Taker) => void,
	) {
		this.concurrency = concurrency;
		this.#arrive = arrive;
		this.#signals = signals;
		for (const signal of signals) signal.addEventListener("abort", this.#wake);
	}

	onArrival(arrival: Arrival): void {
		this.#arrive(arrival, this);
	}

	get isEnded(): boolean {
		return this.#signals.some(({ aborted }) => aborted);
	}

	get hasRoom(): boolean {
		return this.out < this.concurrency;
	}

	/** Sleeps until it is woken. What there is to do must have been looked for right before. */
	async sleep(): Promise<void> {
		if (this.isEnded) return;
		await new Promise<void>((resolve) => {
			this.#resolve = resolve;
		});
		this.#resolve = null;
	}

	wake(): void {
		this.#resolve?.();
	}

	/** Lets go of the signals. */
	end(): void {
		for (const signal of this.#signals) signal.removeEventListener("abort", this.#wake);
	}
}
