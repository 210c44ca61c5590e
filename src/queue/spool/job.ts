/** A message of a spool that is out for delivery. */
import { open } from "node:fs/promises";
import { type Body, bytesBody, ownChunks } from "../../body/body.js";
import { fileChunks } from "../../body/file.js";
import { QueueError, UsageError } from "../../errors.js";
import type { AddressEncoding, Envelope } from "../../protocol/envelope.js";
import type { QmtpResponse } from "../../protocol/response.js";
import { settlement } from "../settlement.js";
import type { Job } from "../source.js";
import { decodeEnvelope } from "../stored-package.js";
import { type Outcome, remaining, type StoredMessage } from "./store.js";

/** Where a job is settled. It rejects if that could not be stored. */
export type Settle = (outcome: Outcome) => Promise<void>;

/** A job of a spool. */
export class SpoolJob implements Job {
	readonly id: string;
	readonly envelope: Envelope;
	readonly addressEncoding: AddressEncoding;
	readonly body: Body & AsyncIterable<Uint8Array>;
	readonly size: number;
	readonly attempts: number;
	readonly queuedAt: number;
	readonly #settle: Settle;
	readonly #recipients: number; // of the message
	readonly #left: number; // of them
	readonly #finishedBefore: Uint8Array | undefined; // as in the state
	readonly #now: () => number;
	#settled = false;

	/**
	 * @param bodies - The directory of large bodies, with a slash at the end.
	 * @throws An error if the message cannot be read.
	 */
	constructor(message: StoredMessage, bodies: string, now: () => number, settle: Settle) {
		const { size, attempts, queuedAt, finished, latin1 } = message.state;
		const { sender, recipients } = storedEnvelope(message);
		this.id = message.id;
		this.addressEncoding = latin1 === true ? "latin1" : "utf-8";
		this.#recipients = recipients.length;
		const left = remaining(recipients.length, finished).map((number) => recipients[number] as string);
		this.#left = left.length;
		this.#finishedBefore = finished;
		this.envelope = { sender, recipients: left };
		this.body = storedBody(message, bodies);
		this.size = size;
		this.attempts = attempts;
		this.queuedAt = queuedAt;
		this.#now = now;
		this.#settle = settle;
	}

	async settle(responses: readonly QmtpResponse[], nextAttempt?: number | Date): Promise<void> {
		if (this.#settled) throw new UsageError("ERR_QMTP_ENDED", "settle() after it has settled");
		const time = { nextAttempt, now: this.#now() };
		const { finished: ends, nextAttempt: next } = settlement(this.#left, responses, time);
		const isLast = !ends.includes(false);
		const finished = isLast ? [] : this.#finished(ends);
		this.#settled = true;
		try {
			await this.#settle({ finished, isLast, recipients: this.#recipients, nextAttempt: next });
		} catch (error) {
			this.#settled = false;
			throw error;
		}
	}

	/** The numbers of the recipients who are finished with. @param ends - For each of this job: true if it is. */
	#finished(ends: readonly boolean[]): number[] {
		return remaining(this.#recipients, this.#finishedBefore).filter((_, index) => ends[index]);
	}
}

/** The envelope of a message, with all its recipients. @throws An error if it cannot be read. */
export function storedEnvelope({ state, package: bytes }: StoredMessage): Envelope {
	const tail = bytes.subarray(state.bodyAt + (state.file === undefined ? state.size : 0));
	return decodeEnvelope(tail, state.latin1 === true ? "latin1" : "utf-8");
}

/** The body of a message. @param bodies - The directory of large bodies, with a slash at the end. */
export function storedBody(
	{ state, package: bytes }: StoredMessage,
	bodies: string,
): Body & AsyncIterable<Uint8Array> {
	const { bodyAt, size, file } = state;
	const body =
		file === undefined ? bytesBody(bytes.subarray(bodyAt, bodyAt + size)) : bodyInFile(bodies + file, size);
	return Object.assign(body, ITERABLE);
}

function bodyInFile(path: string, length: number): Body {
	const chunks = () => readFile(path, length);
	return { length, bytes: null, repeatable: true, chunks, close: async () => {} };
}

async function* readFile(path: string, length: number): AsyncGenerator<Uint8Array> {
	const file = await open(path, "r").catch(unreadable);
	try {
		let read = 0;
		for await (const chunk of fileChunks(file, length)) {
			read += chunk.length;
			yield chunk;
		}
		if (read < length) unreadable(new Error(`the body has ${read} bytes instead of ${length}`));
	} finally {
		await file.close();
	}
}

function unreadable(cause: unknown): never {
	throw new QueueError("ERR_QMTP_QUEUE", "cannot read the message (#4.3.0)", { cause });
}

const ITERABLE = {
	[Symbol.asyncIterator](this: Body): AsyncIterator<Uint8Array> {
		return ownChunks(this);
	},
};
