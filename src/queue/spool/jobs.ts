/**
 * Takes messages out of a spool and keeps them while they are out: a lease on each, renewed until it is settled. When
 * this process dies, the leases run out.
 */
import { wholeNumberOption } from "../../protocol/options.js";
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

/**
 * See {@link Source.take}. It is the generator itself that the caller gets: with another around it a relay took 2 us more
 * for each message.
 *
 * @param open - Gives the messages of the spool, when it is open.
 */
export async function* takeJobs(
	open: () => Promise<Jobs>,
	options: TakeOptions,
): AsyncGenerator<Job, undefined> {
	const concurrency = wholeNumberOption("concurrency", options.concurrency ?? DEFAULT_CONCURRENCY, 1);
	const jobs = await open();
	const { signal } = options;
	const alarm = new Alarm([jobs.closing, ...(signal === undefined ? [] : [signal])]);
	const deaf = jobs.onChange(() => alarm.ring());
	const mine = new Set<string>(); // ids
	let ready: StoredMessage[] = [];
	try {
		while (!alarm.ended) {
			const message = ready.shift();
			if (message !== undefined) {
				const job = jobs.job(message, () => {
					jobs.letGo(message.id, mine);
					alarm.ring();
				});
				if (job !== null) yield job;
				continue;
			}
			alarm.reset(); // what rings from now on is not in what is looked up now
			ready = await jobs.lease(concurrency - mine.size, mine);
			if (ready.length === 0) await alarm.wait(jobs.pause(mine.size === concurrency));
		}
	} catch (error) {
		throw queueError(error);
	} finally {
		deaf();
		alarm.end();
		await jobs.release(ready, mine);
	}
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

	/** Ends all loops, and renews nothing more. */
	close(): void {
		this.#closing.abort();
		this.#out.clear();
		this.#renewWhileOut();
	}

	/** Ends when the loops are to end. */
	get closing(): AbortSignal {
		return this.#closing.signal;
	}

	/** Calls `listener` when something may have become due. @returns What ends that. */
	onChange(listener: () => void): () => void {
		return this.#store.onChange(listener);
	}

	/** Takes messages that are due. @param mine - The ids of a loop's, to which theirs are added. */
	async lease(most: number, mine: Set<string>): Promise<StoredMessage[]> {
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

	/** A message's job; null if it cannot be read. @param letGo - Called when it has been settled, or could not be. */
	job(message: StoredMessage, letGo: () => void): Job | null {
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

	/** Gives back messages that nobody has looked at. */
	async release(messages: readonly StoredMessage[], mine: Set<string>): Promise<void> {
		for (const { id } of messages) this.letGo(id, mine);
		if (messages.length > 0) await this.#store.release(messages, this.#settings.owner).catch(() => {}); // they run out
	}

	/** A message is out no more. */
	letGo(id: string, mine: Set<string>): void {
		mine.delete(id);
		this.#out.delete(id);
		this.#renewWhileOut();
	}

	/** How long to wait, in ms, if nothing happens. */
	pause(isFull: boolean): number {
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

const DEFAULT_CONCURRENCY = 20;
const MOST_AT_ONCE = 100; // each with a package of up to 256 KiB and its envelope
