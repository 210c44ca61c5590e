/**
 * One attempt of one message: delivers it to the destinations of its recipients, decides who is given up, sends the bounce,
 * and settles the job. The bounce is stored before the job is settled, so a crash may repeat it but never lose it.
 */
import type { Body } from "../body/body.js";
import { ProtocolError, QmtpError, QueueError, TransportError, UsageError } from "../errors.js";
import { accepted, deferred, type QmtpResponse, rejected, type Status } from "../protocol/response.js";
import { allResponses } from "../queue/forward/envelope.js";
import { reasonOf } from "../queue/forward/failure.js";
import type { Job } from "../queue/source.js";
import { domainOf, envelopeIn, readableAddress } from "./addresses.js";
import type { FailedRecipient } from "./bounce.js";
import type { Bounced, Bouncer } from "./bouncer.js";
import type { DeliveryResult } from "./deliverer.js";
import type { Destinations, NoPlace } from "./destinations.js";
import { jobBody, loops } from "./job-body.js";
import type { RelaySettings } from "./options.js";
import type { RelayedRecipient } from "./reports.js";
import type { RetrySchedule } from "./retry.js";

/** What an attempt needs of its relay. */
export interface AttemptContext {
	readonly settings: RelaySettings;
	readonly schedule: RetrySchedule;
	readonly destinations: Destinations;
	readonly bouncer: Bouncer;
	/** Aborted when the relay is destroyed. */
	readonly signal: AbortSignal;
	fault(error: Error, id: string): void;
}

/** What came of an attempt, when it is settled. */
export interface AttemptResult {
	/** One for each recipient of the job, in order. */
	readonly recipients: readonly RelayedRecipient[];
	/** When those with Z are tried again, in ms since 1970. */
	readonly nextAttempt: number;
	/** What became of the bounce about those with D; null if there are none. */
	readonly bounced: Bounced | null;
}

/** Attempts to deliver a message, and settles it. @throws A QueueError if it could not be settled. */
export async function attempt(context: AttemptContext, job: Job): Promise<AttemptResult> {
	const { settings, schedule } = context;
	const begun = settings.clock.now();
	const outcomes = await outcomesOf(context, job);
	const isLast = schedule.isLast(job.queuedAt, begun);
	let recipients = isLast ? outcomes.map((one) => (one.mayBeLast ? givenUp(one) : one)) : outcomes;
	let bounced: Bounced | null = null;
	if (recipients.some(({ status }) => status === "D")) {
		bounced = await bounce(context, job, recipients);
		if (bounced === null) {
			const retryAt = schedule.next(job.queuedAt, settings.clock.now());
			recipients = recipients.map((one) => (one.status === "D" ? { ...one, ...NO_BOUNCE, retryAt } : one));
		}
	}
	const nextAttempt = nextAttemptOf(recipients) ?? begun; // or nobody is left
	const responses = recipients.map(({ status, description }) => ({ status, description }));
	try {
		await job.settle(responses, nextAttempt);
	} catch (error) {
		await settleAgain(context, job, { responses, nextAttempt, error });
	}
	return { recipients, nextAttempt, bounced };
}

/** What came of one recipient. */
interface Outcome extends RelayedRecipient {
	/** A Z that ends in a bounce if the message is too old: a place was not only missing for now. */
	readonly mayBeLast: boolean;
	/** When to try again after a Z. */
	readonly retryAt: number;
}

async function outcomesOf(context: AttemptContext, job: Job): Promise<readonly Outcome[]> {
	const { settings, schedule } = context;
	const { recipients } = job.envelope;
	let body: Body;
	let isLoop: boolean;
	try {
		const opened = jobBody(job);
		body = opened instanceof Promise ? await opened : opened;
		const looping = loops(body, settings.maxReceived);
		isLoop = looping instanceof Promise ? await looping : looping;
	} catch (error) {
		context.fault(error as Error, job.id);
		const retryAt = schedule.next(job.queuedAt, settings.clock.now());
		return recipients.map((recipient) => unattempted(recipient, UNREADABLE, retryAt));
	}
	if (isLoop) return recipients.map((recipient) => unattempted(recipient, LOOP, 0));
	const only = onlyDestination(job, settings.nextHop);
	if (only !== null) return await deliver(context, job, body, { destination: only, recipients });
	const groups = byDestination(job);
	const outcomes: Outcome[] = new Array(recipients.length);
	const deliveries = [...groups].map(async ([destination, indexes]) => {
		const group = indexes.map((index) => recipients[index] as string);
		const found = await deliver(context, job, body, { destination, recipients: group });
		for (const [at, index] of indexes.entries()) outcomes[index] = found[at] as Outcome;
	});
	await Promise.all(deliveries);
	return outcomes;
}

interface Group {
	readonly destination: string;
	readonly recipients: readonly string[];
}

/** Delivers to one destination, when there is a place. It never rejects. */
async function deliver(
	context: AttemptContext,
	job: Job,
	message: Body,
	{ destination, recipients }: Group,
): Promise<readonly Outcome[]> {
	const { settings, schedule, destinations, signal } = context;
	const { clock, deliverer, addressEncoding } = settings;
	const { sender } = job.envelope;
	const { envelope, refusals } = envelopeIn(addressEncoding, { sender, recipients }, job.addressEncoding);
	if (envelope === null) {
		return recipients.map((recipient, index) => unattempted(recipient, refusals[index] as QmtpResponse, 0));
	}
	const entering = destinations.enter(destination);
	const place = entering instanceof Promise ? await entering : entering;
	if (typeof place === "string") return noPlace(context, place, { destination, recipients });
	const mail = { sender: envelope.sender, recipients: envelope.recipients, message, encoding: "lf" } as const;
	let results: readonly DeliveryResult[];
	let failure: QmtpResponse | null | undefined = null;
	try {
		({ responses: results } = await deliverer.deliver(mail, settings.own === null ? { signal } : {}));
		if (results.length !== envelope.recipients.length) throw wrongCount(results.length, envelope.recipients);
		results = results.map((result) => cleaned(result, settings.nextHop !== null));
		if (results.every(({ status, error }) => status === "Z" && error !== undefined)) {
			failure = signal.aborted || isOfMessage(results[0]?.error) ? undefined : results[0];
		}
	} catch (error) {
		const response = signal.aborted ? INTERRUPTED : deferred(reasonOf(error));
		failure = signal.aborted || isOfMessage(error) ? undefined : response;
		if (!signal.aborted && !isOfNetwork(error)) context.fault(error as Error, job.id);
		results = envelope.recipients.map(() => response);
	}
	place.leave(failure);
	const now = clock.now();
	const retryAt = Math.max(schedule.next(job.queuedAt, now), destinations.restUntil(destination));
	const responses: readonly DeliveryResult[] = allResponses(refusals, results);
	return recipients.map((recipient, index) => {
		const { status, description, host } = responses[index] as DeliveryResult;
		const said = host === undefined ? {} : { host };
		return { recipient, status, description, attempted: true, ...said, mayBeLast: !signal.aborted, retryAt };
	});
}

/** What comes of those for whom there is no place. */
function noPlace(
	{ settings: { clock }, schedule, destinations }: AttemptContext,
	why: NoPlace,
	{ destination, recipients }: Group,
): Outcome[] {
	const now = clock.now();
	if (why === "rest") {
		const response = destinations.failure(destination) ?? RESTS;
		const until = Math.max(destinations.restUntil(destination), now);
		return recipients.map((recipient) => unattempted(recipient, response, until));
	}
	const [response, retryAt] = why === "busy" ? [BUSY, now + schedule.spread(BUSY_MS)] : [CLOSING, now];
	return recipients.map((recipient) => ({ ...unattempted(recipient, response, retryAt), mayBeLast: false }));
}

function unattempted(recipient: string, { status, description }: QmtpResponse, retryAt: number): Outcome {
	return { recipient, status, description, attempted: false, mayBeLast: true, retryAt };
}

function givenUp(outcome: Outcome): Outcome {
	return outcome.status === "Z" ? { ...outcome, status: "D", tooOld: true } : outcome;
}

/** Tells the sender who is given up. @returns Null if that could not be stored. */
async function bounce(
	{ settings, bouncer, fault }: AttemptContext,
	job: Job,
	recipients: readonly Outcome[],
): Promise<Bounced | null> {
	const now = settings.clock.now();
	const failed = recipients
		.filter(({ status }) => status === "D")
		.map(({ recipient, description, host, tooOld = false }): FailedRecipient => {
			const address = readableAddress(recipient, job.addressEncoding);
			return { address, description, host, tooOld, lastAttempt: now };
		});
	try {
		return await bouncer.bounce(job, failed, now);
	} catch (error) {
		fault(error as Error, job.id);
		return null;
	}
}

/**
 * When the job comes again: for all who are left, since a source knows one time only. Those who were tried say when, so that
 * nobody is tried more often than the schedule has it because others found no place.
 */
function nextAttemptOf(outcomes: readonly Outcome[]): number | undefined {
	const left = outcomes.filter(({ status }) => status === "Z");
	if (left.length === 0) return undefined;
	const tried = left.filter(({ attempted }) => attempted);
	const times = (tried.length > 0 ? tried : left).map(({ retryAt }) => retryAt);
	return times.reduce((least, time) => Math.min(least, time));
}

/** Settles after it has failed, some times over: an answer that is lost is mail that is sent twice. */
async function settleAgain(
	{ settings: { clock }, signal, fault }: AttemptContext,
	job: Job,
	{ responses, nextAttempt, error }: FailedSettlement,
): Promise<void> {
	let failure = error;
	for (const pause of PAUSES_MS) {
		if (failure instanceof UsageError) break; // trying again cannot help
		fault(failure as Error, job.id);
		await clock.sleep(pause, signal);
		try {
			return await job.settle(responses, nextAttempt);
		} catch (again) {
			failure = again;
		}
	}
	throw failure;
}

interface FailedSettlement {
	readonly responses: readonly QmtpResponse[];
	readonly nextAttempt: number;
	readonly error: unknown;
}

/** The destination of all recipients, if it is seen at a look that there is but one; else null. */
function onlyDestination(
	{ envelope: { recipients }, addressEncoding }: Job,
	nextHop: string | null,
): string | null {
	if (nextHop !== null || recipients.length !== 1) return nextHop;
	return domainOf(recipients[0] as string, addressEncoding);
}

/** The indexes of the recipients of each destination. */
function byDestination({ envelope: { recipients }, addressEncoding }: Job): Map<string, readonly number[]> {
	const groups = new Map<string, number[]>();
	for (const [index, recipient] of recipients.entries()) {
		const domain = domainOf(recipient, addressEncoding);
		const group = groups.get(domain);
		if (group === undefined) groups.set(domain, [index]);
		else group.push(index);
	}
	return groups;
}

/**
 * A response as ours: we answer for what is in it. Where a next hop gave none, we say why, without the names and addresses
 * that its client tells.
 */
function cleaned({ status, description, error, host }: DeliveryResult, isNextHop: boolean): DeliveryResult {
	const response = responseOf(status, description, isNextHop ? error : undefined);
	if (error === undefined && host === undefined) return response;
	return { ...response, ...(error === undefined ? {} : { error }), ...(host === undefined ? {} : { host }) };
}

function responseOf(status: Status, description: string, error: QmtpError | undefined): QmtpResponse {
	if (status === "K") return accepted(description);
	if (status === "D") return rejected(description);
	return deferred(error === undefined ? description : reasonOf(error));
}

function wrongCount(count: number, recipients: readonly string[]): QueueError {
	const message = `${count} responses to ${recipients.length} recipients (#4.3.0)`;
	return new QueueError("ERR_QMTP_QUEUE_RESPONSES", message);
}

/** True for an error that says nothing about the destination, but something about the message. */
function isOfMessage(error: unknown): boolean {
	if (error instanceof QueueError) return error.code !== "ERR_QMTP_QUEUE_RESPONSES";
	return error instanceof QmtpError && OF_MESSAGE.includes(error.code);
}

function isOfNetwork(error: unknown): boolean {
	return error instanceof TransportError || error instanceof ProtocolError;
}

const OF_MESSAGE = [
	...["ERR_QMTP_MESSAGE", "ERR_QMTP_MESSAGE_SIZE", "ERR_QMTP_MESSAGE_SOURCE"],
	...["ERR_QMTP_ADDRESS", "ERR_QMTP_RECIPIENTS"],
];
const BUSY_MS = 30_000;
const PAUSES_MS = [1000, 5000, 20_000];
const INTERRUPTED = deferred("the delivery was interrupted (#4.4.2)");
const LOOP = rejected("too many hops, this message is looping (#5.4.6)");
const UNREADABLE = deferred("cannot read the message (#4.3.0)");
const RESTS = deferred("the destination cannot be reached (#4.4.1)");
const BUSY = deferred("too many messages for that destination at once (#4.4.5)");
const CLOSING = deferred("mail system is closing (#4.3.2)");
const NO_BOUNCE = deferred("the bounce could not be stored (#4.3.0)");
