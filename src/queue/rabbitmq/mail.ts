/** A message that has come in, read. */
import type { Envelope } from "../../protocol/envelope.js";
import { decodePackage } from "../stored-package.js";
import type { Arrival } from "./arrival.js";
import { deliveryCount, type MessageState, readState } from "./message.js";

/** A message, and what is known of it. */
export interface Mail {
	readonly arrival: Arrival;
	readonly state: MessageState;
	/** How many attempts were begun: those that have ended, and those that ended with their process. */
	readonly attempts: number;
	/** The same for each time that the broker hands out this copy of the message, and for no other copy. */
	readonly key: string;
	readonly envelope: Envelope;
	readonly body: Uint8Array;
}

/** Reads a message. @throws Error with the reason if it is none of ours. */
export function readMail(arrival: Arrival): Mail {
	const { message, skipped } = arrival;
	if (skipped > 0) throw new Error(`it is too large: ${skipped} bytes`);
	const state = readState(message);
	const { envelope, body } = decodePackage(message.content, state.encoding);
	if (envelope.recipients.length === 0) throw new Error("it has no recipient");
	const attempts = state.attempts + deliveryCount(message);
	const { correlationId = "", headers = {} } = message.properties;
	// A message's id may come from two hosts, and their publishers may have counted alike; so what else differs counts, too.
	const copy = headers[COPY] ?? correlationId;
	const key = [state.id, state.queuedAt, state.attempts, message.content.length, copy].join(" ");
	return { arrival, state, attempts, key, envelope, body: ownBytes(body) };
}

/** Small ones are copied: what comes is a view into what was read from the socket, and a job may be out for long. */
function ownBytes(body: Uint8Array): Uint8Array {
	return body.length < LARGEST_COPIED && body.length * 2 < body.buffer.byteLength ? Buffer.from(body) : body;
}

/** The header with the name of a copy that was passed on. */
export const COPY = "x-qmtp-copy";

const LARGEST_COPIED = 16 * 1024;
