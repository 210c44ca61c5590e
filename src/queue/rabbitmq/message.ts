/**
 * A message as AMQP carries it: its package is the body, and what else is to be known is in its properties. They tell
 * who has to look into the queues what a message is, too; so they have names of their own, and no number is packed.
 */
import type { ConsumeMessage, Options } from "amqplib";
import type { AddressEncoding } from "../../protocol/envelope.js";

/** What is known of a message beside its package. */
export interface MessageState {
	/** Decimal digits, at most 100. */
	readonly id: string;
	readonly encoding: AddressEncoding;
	/** In ms since 1970. */
	readonly queuedAt: number;
	/** How many attempts have ended. Those that ended with their process are in {@link deliveryCount}. */
	readonly attempts: number;
	/** In ms since 1970; 0: now. */
	readonly nextAttempt: number;
}

/** The properties of a publish. Those that make it safe, and the mark by which it is known, are the publisher's. */
export type MessageProperties = Pick<
	Options.Publish,
	"messageId" | "contentType" | "contentEncoding" | "timestamp" | "type" | "appId" | "headers"
>;

/** Further headers. */
export type Headers = Readonly<Record<string, string | number>>;

/** The properties of a message of ours. Nothing of what the broker added to an earlier copy is in them. */
export function properties(state: MessageState, extra: Headers = {}): MessageProperties {
	return {
		messageId: state.id,
		contentType: CONTENT_TYPE,
		timestamp: Math.floor(state.queuedAt / 1000),
		headers: {
			[ENCODING]: state.encoding,
			[QUEUED_AT]: state.queuedAt,
			[ATTEMPTS]: state.attempts,
			[NEXT_ATTEMPT]: state.nextAttempt,
			...extra,
		},
	};
}

/** Reads them back. @throws Error with the reason if it is no message of ours. */
export function readState({ properties }: ConsumeMessage): MessageState {
	const { messageId: id, headers = {} } = properties;
	if (typeof id !== "string" || !ID.test(id)) throw new Error("its message-id is not 1 to 100 digits");
	const encoding: unknown = headers[ENCODING];
	if (encoding !== "utf-8" && encoding !== "latin1") {
		throw new Error(`its header ${ENCODING} is neither utf-8 nor latin1`);
	}
	return {
		id,
		encoding,
		queuedAt: wholeNumber(headers, QUEUED_AT),
		attempts: wholeNumber(headers, ATTEMPTS, 0),
		nextAttempt: wholeNumber(headers, NEXT_ATTEMPT, 0),
	};
}

/** How often the broker has handed it out before. 0 if it does not say, as of the first time. */
export function deliveryCount({ properties }: ConsumeMessage): number {
	const count: unknown = properties.headers?.["x-delivery-count"];
	return typeof count === "number" && Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/**
 * The properties to park a message with, which may be anybody's. Of its own stays what tells what it is: nothing by which
 * it would go elsewhere (CC, BCC), expire, or be refused (user-id, names and headers that cannot be encoded again).
 */
export function parkedProperties({ properties }: ConsumeMessage, reason: string): MessageProperties {
	const { messageId, contentType, contentEncoding, timestamp, type, appId } = properties;
	const parked: MessageProperties = { headers: parkedHeaders(properties.headers ?? {}, reason) };
	const texts = { messageId, contentType, contentEncoding, type, appId };
	for (const [name, value] of Object.entries(texts)) {
		if (isText(value, LONGEST_SHORT_STRING)) Object.assign(parked, { [name]: value });
	}
	if (Number.isSafeInteger(timestamp) && timestamp >= 0) parked.timestamp = timestamp;
	return parked;
}

function parkedHeaders(headers: Readonly<Record<string, unknown>>, reason: string): Record<string, unknown> {
	const parked: Record<string, unknown> = { [PARKED_REASON]: reason.slice(0, LONGEST_REASON) };
	let left = PARKED_HEADER_BYTES;
	for (const [name, value] of Object.entries(headers)) {
		if (THE_BROKERS.test(name) || name === PARKED_REASON) continue;
		if (typeof value !== "string" && !Number.isSafeInteger(value) && typeof value !== "boolean") continue;
		const bytes = Buffer.byteLength(name) + Buffer.byteLength(String(value)) + HEADER_OVERHEAD;
		if (Buffer.byteLength(name) > LONGEST_SHORT_STRING || bytes > left) continue;
		left -= bytes;
		parked[name] = value;
	}
	return parked;
}

function wholeNumber(headers: Readonly<Record<string, unknown>>, name: string, missing?: number): number {
	const value = headers[name] ?? missing;
	if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
	throw new Error(`its header ${name} is no whole number from 0 on`);
}

function isText(value: unknown, mostBytes: number): value is string {
	return typeof value === "string" && Buffer.byteLength(value) <= mostBytes;
}

/** Not registered: a name of ours for one QMTP package. */
export const CONTENT_TYPE = "application/x-qmtp";
/** The header that tells why a message is parked. */
export const PARKED_REASON = "x-qmtp-parked-reason";

const ENCODING = "x-qmtp-encoding";
const QUEUED_AT = "x-qmtp-queued-at";
const ATTEMPTS = "x-qmtp-attempts";
const NEXT_ATTEMPT = "x-qmtp-next-attempt";
const ID = /^\d{1,100}$/; // as servers make them
const THE_BROKERS = /^(x-death|x-first-death-.*|x-last-death-.*|x-delivery-count|cc|bcc)$/i;
const LONGEST_SHORT_STRING = 255; // bytes, AMQP 0-9-1 section 4.2.5.3
const LONGEST_REASON = 1000; // characters
// amqplib encodes all properties into 64 KiB, and a number into up to nine bytes.
const PARKED_HEADER_BYTES = 16 * 1024;
const HEADER_OVERHEAD = 10;
