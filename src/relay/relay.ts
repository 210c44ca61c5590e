/**
 * The subpath `qmtp/relay`: takes mail out of a source, delivers it, tries again what could not be delivered, and sends
 * back what cannot be. What came of a recipient is in the source before the relay forgets it; so a crash repeats the
 * attempts that were under way, and nothing else.
 */
import { setMaxListeners } from "node:events";
import { EventEmitter } from "eventemitter3";
import { TransportError, UsageError } from "../errors.js";
import type { Job } from "../queue/source.js";
import { type AttemptContext, type AttemptResult, attempt } from "./attempt.js";
import { Bouncer } from "./bouncer.js";
import { Destinations } from "./destinations.js";
import { Intake } from "./intake.js";
import { type RelayOptions, type RelaySettings, relaySettings } from "./options.js";
import type { RelayEvents, RelayedRecipient, RelayFaultContext, RelayReport, RelayStats } from "./reports.js";
import { RetrySchedule } from "./retry.js";

export type { Body } from "../body/body.js";
export type { QmtpError } from "../errors.js";
export type { AddressEncoding } from "../protocol/envelope.js";
export type { QmtpResponse, Status } from "../protocol/response.js";
export type { Delivery, Queue } from "../queue/queue.js";
export type { Job, Source, TakeOptions } from "../queue/source.js";
export type { DeliveredMail, Deliverer, DeliveryResult, RelayMail } from "./deliverer.js";
export type { RelayLimits, RelayOptions } from "./options.js";
export type {
	BouncedReport,
	DeferredReport,
	DroppedReport,
	RelayEvents,
	RelayedRecipient,
	RelayFaultContext,
	RelayReport,
	RelayStats,
	RestReport,
} from "./reports.js";
export type { RelayRetry } from "./retry.js";

/** Options of {@link Relay.start}. */
export interface RelayStartOptions {
	/** Closes the relay, as `close()` does. */
	readonly signal?: AbortSignal | undefined;
}

/**
 * Delivers the mail of a source.
 *
 * A recipient whom the next hop accepts is finished with. One who gets Z is tried again, by qmail's schedule, for seven
 * days. One who gets D, or gets Z for too long, is given up, and a bounce (RFC 3464, from the empty sender) goes to the
 * sender of the message; it is stored in `bounces` before the recipient is forgotten, and if it cannot be, the recipient
 * is tried again. A bounce that cannot be delivered goes to the postmaster, and one to the postmaster is dropped. Bounces
 * need the npm package nodemailer, and so does SMTP.
 *
 * A destination that cannot be reached (no connection, or no answer to anybody) rests for a minute, then for two, and so on
 * up to an hour. Meanwhile its mail is not tried, and goes back with the end of the rest as its next attempt; and from a
 * fixed next hop's source nothing is taken but what is too old. Then one delivery finds out whether it is back.
 *
 * Delivery is at least once: what a next hop has accepted when the process dies, or the source cannot note it, goes out
 * again. Several relays, in one process or in several, may share a source that allows it, as a spool does; each counts
 * its own limits and rests.
 */
export class Relay extends EventEmitter<RelayEvents> {
	readonly #settings: RelaySettings;
	readonly #destinations: Destinations;
	readonly #bouncer: Bouncer;
	readonly #context: AttemptContext;
	readonly #intake: Intake;
	readonly #destroyed = new AbortController();
	readonly #counts = { delivered: 0, deferred: 0, bounced: 0, dropped: 0, faults: 0 };
	#starting: Promise<void> | null = null;
	#closing: Promise<void> | null = null;

	/** @throws UsageError `ERR_QMTP_OPTION` if the options make no sense. */
	constructor(options: RelayOptions) {
		super();
		const settings = relaySettings(options);
		const { limits, retry, clock, random, bounces, hostname, postmaster } = settings;
		const schedule = new RetrySchedule(retry, random);
		const fault = (error: Error, id?: string) => this.#fault(error, id === undefined ? {} : { id });
		this.#settings = settings;
		this.#destinations = new Destinations(limits, schedule, clock.now, (destination, until, failure) => {
			this.#intake.conditionChanged();
			if (until === null) this.#tell("back", destination);
			else this.#tell("rest", { destination, until, description: failure?.description ?? "" });
		});
		this.#bouncer = new Bouncer({ bounces, hostname, postmaster, fault });
		const parts = { settings, schedule, destinations: this.#destinations, bouncer: this.#bouncer };
		this.#context = { ...parts, signal: this.#destroyed.signal, fault };
		this.#intake = new Intake({ ...parts, work: (job) => this.#work(job), fault });
		setMaxListeners(0, this.#destroyed.signal); // one for each delivery
	}

	/**
	 * Begins to take mail. It resolves when all that is needed is there; what goes wrong later is told by `fault` events.
	 *
	 * @throws UsageError `ERR_QMTP_PACKAGE` if nodemailer is needed and not installed, `ERR_QMTP_ENDED` after `close()`;
	 * QueueError if the queue for bounces cannot be used.
	 */
	start({ signal }: RelayStartOptions = {}): Promise<void> {
		if (this.#closing !== null)
			return Promise.reject(new UsageError("ERR_QMTP_ENDED", "start() after close()"));
		this.#starting ??= this.#start();
		const close = () => void this.close();
		if (signal?.aborted === true) close();
		signal?.addEventListener("abort", close, { once: true });
		return this.#starting;
	}

	/**
	 * Takes no more mail, and waits for the deliveries under way to be settled; messages that wait for their turn go back.
	 * It never rejects. The source and the queue for bounces stay open.
	 */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	/**
	 * Gives up the deliveries under way, whose recipients are tried again unless they have an answer by now, and closes.
	 * `close()` tells when it is done.
	 */
	destroy(): void {
		const closing = this.close();
		this.#settings.own?.destroy();
		this.#destroyed.abort(new TransportError("ERR_QMTP_DESTROYED", "the relay was destroyed"));
		closing.catch(() => {});
	}

	/** The same as `close()`, for `await using`. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	/** What there is now, and what was. */
	stats(): RelayStats {
		const { active, waiting, down } = this.#destinations;
		return { messages: this.#intake.messages, active, waiting, down, ...this.#counts };
	}

	async #start(): Promise<void> {
		await this.#bouncer.prepare();
		await this.#settings.own?.prepare?.();
		if (this.#closing === null) this.#intake.start();
	}

	async #close(): Promise<void> {
		this.#destinations.close();
		await this.#intake.close();
		await this.#settings.own?.close();
		this.#tell("close");
	}

	/** It never rejects. */
	async #work(job: Job): Promise<void> {
		try {
			this.#settled(job, await attempt(this.#context, job));
		} catch (error) {
			this.#fault(error as Error, { id: job.id }); // the job comes again as that of a process that has died
		}
	}

	#settled(job: Job, { recipients, nextAttempt, bounced }: AttemptResult): void {
		const delivered = recipients.filter(({ status }) => status === "K");
		if (delivered.length > 0) {
			this.#counts.delivered += delivered.length;
			if (this.listenerCount("delivered") > 0) this.#tell("delivered", report(job, delivered));
			if (delivered.length === recipients.length) return;
		}
		const deferred = recipients.filter(({ status }) => status === "Z");
		if (deferred.length > 0) {
			this.#counts.deferred += deferred.length;
			this.#tell("deferred", { ...report(job, deferred), nextAttempt });
		}
		const failed = recipients.filter(({ status }) => status === "D");
		if (failed.length === 0 || bounced === null) return;
		this.#counts[bounced.type] += failed.length;
		if (bounced.type === "dropped") {
			this.#tell("dropped", { ...report(job, failed), reason: bounced.reason });
		} else {
			const { to, description } = bounced;
			this.#tell("bounced", { ...report(job, failed), to, description });
		}
	}

	#fault(error: Error, context: RelayFaultContext): void {
		this.#counts.faults++;
		if (this.listenerCount("fault") === 0) console.error("qmtp: a fault of a relay:", error);
		else this.#tell("fault", error, context);
	}

	/** Emits an event. What a listener throws is its own fault, and must not stop the mail. */
	#tell<Name extends keyof RelayEvents>(name: Name, ...values: Parameters<RelayEvents[Name]>): void {
		try {
			this.emit(name, ...(values as Parameters<EventEmitter.EventListener<RelayEvents, Name>>));
		} catch (error) {
			if (name === "fault") console.error("qmtp: a listener of fault events threw:", error);
			else this.#fault(error instanceof Error ? error : new Error(String(error)), {});
		}
	}
}

function report(job: Job, recipients: readonly RelayedRecipient[]): RelayReport {
	const { id, envelope, size, queuedAt, attempts } = job;
	const told = recipients.map(({ recipient, status, description, attempted, host, tooOld }) => ({
		...{ recipient, status, description, attempted },
		...(host === undefined ? {} : { host }),
		...(tooOld === true ? { tooOld } : {}),
	}));
	return { id, sender: envelope.sender, size, queuedAt, attempts, recipients: told };
}
