/** A file of a maildir that is out for delivery: one message for one recipient. */
import { createHash } from "node:crypto";
import { type Body, bytesBody, ownChunks } from "../../body/body.js";
import { QueueError, UsageError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { QmtpResponse } from "../../protocol/response.js";
import { settlement } from "../settlement.js";
import type { Job } from "../source.js";
import type { Turn } from "./agenda.js";
import type { Mail } from "./mail.js";
import { numberIn } from "./name.js";

/** Where a job is settled. */
export interface JobEnd {
	/** ms since 1970. */
	now(): number;
	/** Removes the file. It rejects with a QueueError if that could not be; then it is tried again, and nothing else. */
	remove(): Promise<void>;
	/** @param dueAt - When it comes again, in ms since 1970. */
	putOff(dueAt: number): void;
}

/** A job of a maildir. */
export class MaildirJob implements Job {
	readonly id: string;
	readonly envelope: Envelope;
	readonly addressEncoding = "latin1"; // as the bytes stand in the file
	readonly body: Body & AsyncIterable<Uint8Array>;
	readonly size: number;
	readonly attempts: number;
	readonly queuedAt: number;
	readonly #end: JobEnd;
	#settled = false;
	#removed = false;

	constructor({ name, attempts }: Turn, mail: Mail, end: JobEnd) {
		this.id = numberIn(name) ?? hashed(name);
		this.envelope = { sender: mail.sender, recipients: [mail.recipient] };
		this.size = mail.size;
		this.attempts = attempts;
		const now = end.now();
		// From times to come nothing would ever be too old. The clock of the disk may be a little ahead.
		this.queuedAt = Math.floor(mail.writtenAt > now + A_LITTLE_MS ? now : mail.writtenAt);
		this.#end = end;
		const chunks = () => this.#read(mail);
		const body: Body =
			mail.bytes === null
				? { length: mail.size, bytes: null, repeatable: true, chunks, close: async () => {} }
				: bytesBody(mail.bytes);
		this.body = { ...body, [Symbol.asyncIterator]: chunks };
	}

	async settle(responses: readonly QmtpResponse[], nextAttempt?: number | Date): Promise<void> {
		if (this.#settled) throw new UsageError("ERR_QMTP_ENDED", "settle() after it has settled");
		const settled = settlement(1, responses, { nextAttempt, now: this.#end.now() });
		this.#settled = true;
		if (settled.finished[0] !== true) {
			this.#end.putOff(settled.nextAttempt);
			return;
		}
		try {
			await this.#end.remove();
			this.#removed = true;
		} catch (error) {
			this.#settled = false;
			throw error;
		}
	}

	async *#read(mail: Mail): AsyncGenerator<Uint8Array> {
		if (this.#removed) throw unreadable(new Error("the message was settled, and is removed"));
		let read = 0;
		try {
			for await (const chunk of mail.bytes === null ? mail.chunks() : ownChunks(bytesBody(mail.bytes))) {
				read += chunk.length;
				yield chunk;
			}
		} catch (error) {
			throw unreadable(error);
		}
		if (read < this.size)
			throw unreadable(new Error(`the message has ${read} bytes instead of ${this.size}`));
	}
}

/** Digits that are those of this name alone, in all likelihood. */
function hashed(name: string): string {
	return String(createHash("sha256").update(name, "latin1").digest().readBigUInt64BE());
}

function unreadable(cause: unknown): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "cannot read the message (#4.3.0)", { cause });
}

const A_LITTLE_MS = 60_000;
