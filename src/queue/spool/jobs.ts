/**
 * Takes messages out of a spool and keeps them while they are out: a lease on each, renewed until it is settled. When
 * this process dies, the leases run out.
 */
import { Alarm } from "../alarm.js";
import type { Job, TakeOptions } from "../source.js";
import { queueError } from "./fault.js";
import { SpoolJob } from "./job.js";
import type { Outcome, SpoolStore, StoredMessage } from "./store.js";

/** How messages are taken. */
export interface JobSettings {
	/** Who takes them: a name that nobody else has. */
	readonly owner: string;
	/** How long a dead process's messages are nobody's, in ms. */
	readonly lease: number;
	/** How often to look for messages of other processes, in ms. */
	readonly poll: number;
	/** ms since 1970. */
	readonly now: () => number;
}

/** The messages that are out. */
export class Jobs {
	readonly #store: SpoolStore;
	readonly #settings: JobSettings;
	readonly #out = new Set<string>(); // ids
	readonly #closing = new AbortController();
	#renewal: NodeJS.Timeout | null = null;

	constructor(store: SpoolStore, settings: JobSettings) {
		this.#store = store;
		this.#settings = settings;
	}

	/** See {@link Source.take}. @param concurrency - How many may be out at a time. */
	async *take({ signal }: TakeOptions, concurrency: number): AsyncGenerator<Job, undefined> {
		const alarm = new Alarm([this.#closing.signal, ...(signal === undefined ? [] : [signal])]);
		const deaf = this.#store.onChange(() => alarm.ring());
		const mine = new Set<string>(); // ids
		let ready: StoredMessage[] = [];
		try {
			while (!alarm.ended) {
				const message = ready.shift();
				if (message !== undefined) {
					const job = this.#job(message, () => {
						this.#letGo(message.id, mine);
						alarm.ring();
					});
					if (job !== null) yield job;
					continue;
				}
				alarm.reset(); // what rings from now on is not in what is looked up now
				ready = await this.#lease(concurrency - mine.size, mine);
				if (ready.length === 0) await alarm.wait(this.#pause(mine.size === concurrency));
			}
		} catch (error) {
			throw queueError(error);
		} finally {
			deaf();
			alarm.end();
			for (const { id } of ready) this.#letGo(id, mine);
			if (ready.length > 0) await this.#store.release(ready, this.#settings.owner).catch(() => {}); // they run out
		}
	}

	/** Ends all loops, and renews nothing more. */
	close(): void {
		this.#closing.abort();
		this.#out.clear();
		this.#renewWhileOut();
	}

	async #lease(most: number, mine: Set<string>): Promise<StoredMessage[]> {
		const { owner, now } = this.#settings;
		if (most === 0 || this.#store.nextDue() > now()) return [];
		const messages = await this.#store.lease(Math.min(most, MOST_AT_ONCE), now(), {
			owner,
			until: this.#until,
			isOut: (id) => this.#out.has(id),
		});
		for (const { id } of messages) {
			mine.add(id);
			this.#out.add(id);
		}
		this.#renewWhileOut();
		return messages;
	}

	/** @param letGo - Called when it has been settled, or could not be. */
	#job(message: StoredMessage, letGo: () => void): Job | null {
		const settle = (outcome: Outcome) =>
			this.#store.settle(message.id, this.#settings.owner, outcome).then(letGo, (error) => {
				letGo();
				throw queueError(error);
			});
		try {
			return new SpoolJob(message, this.#store.bodies.path, this.#settings.now, settle);
		} catch {
			letGo(); // a damaged package must not hold up the others; it comes again, and can be seen
			return null;
		}
	}

	#letGo(id: string, mine: Set<string>): void {
		mine.delete(id);
		this.#out.delete(id);
		this.#renewWhileOut();
	}

	/** How long to wait, in ms, if nothing happens. */
	#pause(isFull: boolean): number {
		const { poll, now } = this.#settings;
		return isFull ? poll : Math.max(0, Math.min(poll, this.#store.nextDue() - now()));
	}

	get #until(): number {
		return this.#settings.now() + this.#settings.lease;
	}

	#renewWhileOut(): void {
		if (this.#out.size === 0 && this.#renewal !== null) {
			clearInterval(this.#renewal);
			this.#renewal = null;
		} else if (this.#out.size > 0 && this.#renewal === null) {
			this.#renewal = setInterval(() => this.#renew(), this.#settings.lease / 3).unref();
		}
	}

	#renew(): void {
		// If it fails, the next may succeed; and if not, somebody else delivers them.
		this.#store.renew([...this.#out], { owner: this.#settings.owner, until: this.#until }).catch(() => {});
	}
}

const MOST_AT_ONCE = 100; // each with a package of up to 256 KiB and its envelope
