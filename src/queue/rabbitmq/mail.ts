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
	/** With those recipients who are left. */
	readonly envelope: Envelope;
	/** Their positions in the package, if they are not all that are in it; else null. */
	readonly positions: Uint32Array | null;
	readonly body: Uint8Array;
}

/** Reads a message. @throws Error with the reason if it is none of ours. */
export function readMail(arrival: Arrival): Mail {
	const { message, skipped } = arrival;
	if (skipped > 0) throw new Error(`it is too large: ${skipped} bytes`);
	const state = readState(message);
	if (state.queuedAt > LATEST) throw new Error("its header x-qmtp-queued-at is no time");
	const { envelope, body } = decodePackage(message.content, state.encoding);
	if (envelope.recipients.length === 0) throw new Error("it has no recipient");
	const attempts = state.attempts + deliveryCount(message);
	const { correlationId = "", headers = {} } = message.properties;
	// A message's id may come from two hosts, and their publishers may have counted alike; so what else differs counts, too.
	const copy = headers[COPY] ?? correlationId;
	const key = [state.id, state.queuedAt, state.attempts, message.content.length, copy].join(" ");
	return { arrival, state, attempts, key, envelope, positions: null, body };
}

/** The header with the name of a copy that was passed on. */
export const COPY = "x-qmtp-copy";

const LATEST = 8_640_000_000_000_000; // as a Date has it
