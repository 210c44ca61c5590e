/** Messages of a spool as those see them who look after it. */
import type { AddressEncoding } from "../../protocol/envelope.js";
import { storedBody, storedEnvelope } from "./job.js";
import { isTaken, remaining, type SpoolStore, type StoredMessage } from "./store.js";

/** A message of a spool. */
export interface SpooledMessage {
	/** Its id. */
	readonly id: string;
	/** Why it cannot be read, if it cannot: then its envelope and its body are empty, and nobody delivers it. */
	readonly damage?: string;
	/** The envelope sender. */
	readonly sender: string;
	/** The recipients who are not finished with. */
	readonly recipients: readonly string[];
	/** Those who are. */
	readonly finished: readonly string[];
	/** How the addresses were decoded. */
	readonly addressEncoding: AddressEncoding;
	/** The bytes of the body. */
	readonly size: number;
	/** When it was stored, in ms since 1970. */
	readonly queuedAt: number;
	/** When it is tried next, in ms since 1970; of one that is taken, when it would come again if its process died now. */
	readonly nextAttempt: number;
	/** Attempts that were begun. */
	readonly attempts: number;
	/** True if somebody is at it. */
	readonly taken: boolean;
	/** The body. Each iteration begins at its start; it throws if the message is gone. */
	readonly body: AsyncIterable<Uint8Array>;
	/** The message as it is stored, one QMTP package with all recipients. It is read like `body`. */
	readonly package: AsyncIterable<Uint8Array>;
}

/** What a change of one message came to: it was made, there is no such message, or somebody has taken it and keeps it. */
export type SpoolChange = "done" | "gone" | "taken";

/** How much is in a spool. */
export interface SpoolStats {
	/** Messages. */
	readonly messages: number;
	/** How many of them wait to be taken, since their time has come. */
	readonly due: number;
	/** The bytes that they take, in the database and beside it. */
	readonly bytes: number;
}

/** The message of that id, to be looked at; undefined if there is none. It is told of one that is damaged, too. */
export function spooledMessage(store: SpoolStore, id: string, now: number): SpooledMessage | undefined {
	try {
		const message = store.find(id);
		return message && readMessage(message, store.bodies.path, now);
	} catch (error) {
		return damagedMessage(id, (error as Error).message);
	}
}

function readMessage(message: StoredMessage, bodies: string, now: number): SpooledMessage {
	const { id, state } = message;
	const { sender, recipients } = storedEnvelope(message);
	const left = new Set(remaining(recipients.length, state.finished));
	const body = storedBody(message, bodies);
	return {
		id,
		sender,
		recipients: recipients.filter((_, index) => left.has(index)),
		finished: recipients.filter((_, index) => !left.has(index)),
		addressEncoding: state.latin1 === true ? "latin1" : "utf-8",
		size: state.size,
		queuedAt: state.queuedAt,
		nextAttempt: state.due,
		attempts: state.attempts,
		taken: isTaken(state, now),
		body,
		package: { [Symbol.asyncIterator]: () => packageChunks(message, body) },
	};
}

function damagedMessage(id: string, damage: string): SpooledMessage {
	const nothing: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };
	return {
		id,
		damage,
		sender: "",
		recipients: [],
		finished: [],
		addressEncoding: "utf-8",
		size: 0,
		queuedAt: 0,
		nextAttempt: 0,
		attempts: 0,
		taken: false,
		body: nothing,
		package: nothing,
	};
}

async function* packageChunks(
	{ package: bytes, state: { bodyAt, file } }: StoredMessage,
	body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
	if (file === undefined) {
		yield bytes;
		return;
	}
	yield bytes.subarray(0, bodyAt);
	yield* body;
	yield bytes.subarray(bodyAt);
}
