/**
 * A message that is out for delivery. When the connection breaks meanwhile, the broker hands it out again: it is not a
 * second job then, but what the first is settled with.
 *
 * When those who are left cannot be stored, the others have got their mail all the same; so it is not given back for all
 * to have it again. It stays out, and those who are left are stored as soon as that is possible.
 */
import { QueueError } from "../../errors.js";
import type { Arrival } from "./arrival.js";
import type { Mail } from "./mail.js";
import type { Passing, Remainder } from "./passing.js";
import type { Rests } from "./rests.js";
import type { SettledMemory } from "./settled.js";

/** What a message that is out needs. */
export interface OutSettings {
	readonly passing: Passing;
	readonly settled: SettledMemory;
	readonly rests: Rests;
	/** How long a settle that failed may be called again, or what was lost may come again, in ms. */
	readonly patience: number;
	/** Called once, when it is out no longer. */
	readonly onEnd: (out: Out) => void;
}

/** A message that is out. */
export class Out {
	readonly mail: Mail;
	readonly #settings: OutSettings;
	#arrival: Arrival;
	#isSettled = false;
	#ended = false;
	#kept: Remainder | null = null; // to be stored yet
	#storing: Promise<void> | null = null; // it
	#lostAt: number | null = null; // when that was seen
	#later: NodeJS.Timeout | undefined; // gives up, or stores what is kept

	constructor(mail: Mail, settings: OutSettings) {
		this.mail = mail;
		this.#arrival = mail.arrival;
		this.#settings = settings;
	}

	/** True if the broker hands it out again. */
	get isLost(): boolean {
		return !this.#arrival.isHere;
	}

	/** It has come again. */
	rebind(arrival: Arrival): void {
		this.#arrival = arrival;
		this.#lostAt = null;
	}

	/**
	 * @param remainder - Null if nobody is left. After a settle that failed with one, it counts only if that has not been
	 * stored meanwhile.
	 * @throws QueueError if the message comes again, or if those who are left are not stored yet.
	 */
	async settle(remainder: Remainder | null): Promise<void> {
		clearTimeout(this.#later);
		this.#kept = null;
		await this.#storing;
		if (this.#isSettled) return;
		try {
			await this.#settle(remainder);
		} catch (error) {
			if (remainder === null) this.#giveUpLater();
			else this.#keep(remainder);
			throw error;
		}
	}

	/** Tries at once to store who is left, if a settle has failed. It never rejects. */
	async flush(): Promise<void> {
		clearTimeout(this.#later);
		await this.#storing;
		if (this.#kept === null || this.#ended || this.isLost) return;
		await this.#settle(this.#kept).catch(() => {});
	}

	async #settle(remainder: Remainder | null): Promise<void> {
		const { passing, settled } = this.#settings;
		if (remainder !== null) await passing.retry(this.mail, remainder);
		// Settled before, it may have come again since, and have been acked then.
		const isGone = settled.isGone(this.mail.key);
		if (!isGone) settled.add(this.mail.key);
		const isSent = await this.#arrival.ack();
		if (!isSent && !isGone && remainder === null) throw lost();
		this.#isSettled = true;
		this.#end();
	}

	#keep(remainder: Remainder): void {
		this.#settings.rests.add(this.mail, remainder.left);
		if (this.#ended) return;
		this.#kept = remainder;
		this.#storeLater(0);
	}

	#storeLater(failures: number): void {
		const ms = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS, this.#settings.patience);
		this.#later = setTimeout(() => {
			this.#storing = this.#store(failures).finally(() => {
				this.#storing = null;
			});
		}, ms).unref();
	}

	async #store(failures: number): Promise<void> {
		const remainder = this.#kept;
		if (remainder === null || this.#ended) return;
		if (this.isLost) {
			// Somebody else may have it by now. If it comes to us it is as it was; else whoever has it settles it.
			this.#lostAt ??= performance.now();
			if (performance.now() - this.#lostAt > this.#settings.patience) this.#end();
			else this.#storeLater(failures);
			return;
		}
		try {
			await this.#settle(remainder);
		} catch {
			if (this.#kept === remainder) this.#storeLater(failures + 1); // else settle was called
		}
	}

	#giveUpLater(): void {
		if (this.#ended) return;
		this.#later = setTimeout(() => {
			this.#arrival.giveBack();
			this.#end();
		}, this.#settings.patience).unref();
	}

	#end(): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#settings.onEnd(this);
	}
}

function lost(): QueueError {
	const message = "connection to the message broker was lost, and the message comes again (#4.3.0)";
	return new QueueError("ERR_QMTP_QUEUE", message);
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
