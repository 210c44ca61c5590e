/**
 * Takes jobs out of the source, as many as may be out at a time. While a fixed next hop rests nothing is taken but what is
 * too old, up to the first message that is not; and after the rest one message at a time, until one has got through.
 */
import type { Job } from "../queue/source.js";
import type { Destinations } from "./destinations.js";
import { heldBytes } from "./job-body.js";
import type { RelaySettings } from "./options.js";
import type { RetrySchedule } from "./retry.js";

/** What an intake needs of its relay. */
export interface IntakeContext {
	readonly settings: RelaySettings;
	readonly schedule: RetrySchedule;
	readonly destinations: Destinations;
	/** Works a job off. It never rejects. */
	work(job: Job): Promise<void>;
	fault(error: Error): void;
}

/** The jobs that are out, and where they come from. */
export class Intake {
	readonly #context: IntakeContext;
	readonly #stop = new AbortController();
	readonly #underWay = new Set<Promise<void>>();
	#taking: AbortController | null = null; // of the loop over the source
	#running: Promise<void> | null = null;
	#held = 0; // bytes
	#waiting: (() => void)[] = []; // for room

	constructor(context: IntakeContext) {
		this.#context = context;
	}

	/** How many jobs are out. */
	get messages(): number {
		return this.#underWay.size;
	}

	/** Begins to take jobs. */
	start(): void {
		this.#running ??= this.#run();
	}

	/** A destination rests, or was reached again. */
	conditionChanged(): void {
		if (this.#context.settings.nextHop !== null) this.#taking?.abort();
	}

	/** Takes no more, and waits for the jobs that are out. */
	async close(): Promise<void> {
		this.#stop.abort();
		this.#taking?.abort();
		this.#wake();
		await this.#running;
		await Promise.all(this.#underWay);
	}

	async #run(): Promise<void> {
		const { settings, fault } = this.#context;
		const { clock } = settings;
		let failures = 0;
		while (!this.#stop.signal.aborted) {
			try {
				await this.#take();
				failures = 0;
			} catch (error) {
				fault(error as Error);
				await clock.sleep(Math.min(1000 * 2 ** failures++, LONGEST_PAUSE), this.#stop.signal);
			}
		}
	}

	/** Takes jobs until the next hop's condition changes. */
	async #take(): Promise<void> {
		const { settings, destinations } = this.#context;
		const { nextHop, limits } = settings;
		const condition = nextHop === null ? "up" : destinations.condition(nextHop);
		const taking = new AbortController();
		this.#taking = taking;
		try {
			if (condition === "resting") await this.#takeOld(taking, destinations.restUntil(nextHop as string));
			else if (condition === "probe") await this.#takeAll(taking, 1);
			else await this.#takeSeverally(taking, limits.messages);
		} finally {
			this.#taking = null;
		}
	}

	/**
	 * Takes jobs by several loops, so that one gets some while another waits for the source to note which it has given: with
	 * one alone a spool's sync of that is most of the time.
	 */
	async #takeSeverally(taking: AbortController, messages: number): Promise<void> {
		const loops = Math.min(MOST_LOOPS, Math.ceil(messages / FEWEST_IN_LOOP));
		const run = async (_: unknown, index: number) => {
			try {
				await this.#takeAll(taking, Math.floor((messages + index) / loops));
			} finally {
				taking.abort(); // they end together
			}
		};
		const results = await Promise.allSettled(Array.from({ length: loops }, run));
		for (const result of results) if (result.status === "rejected") throw result.reason;
	}

	async #takeAll({ signal }: AbortController, concurrency: number): Promise<void> {
		const { source, limits } = this.#context.settings;
		for await (const job of source.take({ signal, concurrency })) {
			this.#begin(job);
			if (this.#held >= limits.bytes) await this.#room(limits.bytes);
			if (signal.aborted) return;
		}
		if (!signal.aborted && !this.#stop.signal.aborted) throw new Error("the source has ended");
	}

	/** Gives up what is too old, until the rest is over. */
	async #takeOld(taking: AbortController, until: number): Promise<void> {
		const { settings, schedule } = this.#context;
		const { source, clock } = settings;
		const { signal } = taking;
		const rested = clock.sleep(until - clock.now(), signal).then(() => taking.abort());
		for await (const job of source.take({ signal, concurrency: 1 })) {
			await this.#begin(job);
			if (signal.aborted || !schedule.isLast(job.queuedAt, clock.now())) break;
		}
		await rested;
	}

	#begin(job: Job): Promise<void> {
		const bytes = heldBytes(job);
		this.#held += bytes;
		const work = this.#context.work(job).then(() => {
			this.#underWay.delete(work);
			this.#held -= bytes;
			this.#wake();
		});
		this.#underWay.add(work);
		return work;
	}

	async #room(bytes: number): Promise<void> {
		while (this.#held >= bytes && !this.#stop.signal.aborted) {
			await new Promise<void>((resolve) => {
				this.#waiting.push(resolve);
			});
		}
	}

	#wake(): void {
		if (this.#waiting.length === 0) return;
		for (const resolve of this.#waiting.splice(0)) resolve();
	}
}

const MOST_LOOPS = 5;
const FEWEST_IN_LOOP = 100;
const LONGEST_PAUSE = 60_000;
