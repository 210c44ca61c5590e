/**
 * A body as the stream that the SMTP library reads: it is begun when the server has let the data begin, and what it
 * yields has the lines of wire-lines.ts. It knows how far the sending has come, which decides what a loss means.
 *
 * A source that fails, or has not as many bytes as it said, ends the stream with an error, so that the dot at the end is
 * never written.
 */
import { type Duplex, Readable } from "node:stream";
import type { Body } from "../body/body.js";
import { type QmtpError, UsageError } from "../errors.js";
import { timeToSayMore } from "./reply.js";
import { WireLines } from "./wire-lines.js";

/** A body on its way to a server. */
export class MessageSource extends Readable {
	/** True when a byte of the body was asked for: one that can be read once is used up then. */
	begun = false;
	/** What went wrong with it. The stream's own error is another one, since the library writes into that. */
	failure: QmtpError | null = null;
	readonly #body: Body;
	readonly #mayBegin: () => QmtpError | null;
	readonly #lines = new WireLines();
	#chunks: AsyncIterator<Uint8Array> | null = null;
	#length = 0;
	#sink: Duplex | null = null; // what doubles dots and writes the last one

	/** @param mayBegin - Asked when the body is about to be sent; with an error nothing of it is. */
	constructor(body: Body, mayBegin: () => QmtpError | null) {
		super();
		this.#body = body;
		this.#mayBegin = mayBegin;
	}

	/** True if the dot that ends the message may have gone out. */
	get mayHaveEnded(): boolean {
		return this.#sink?.writableEnded ?? false;
	}

	/** True if the dot was handed to the socket, so that a reply can be one to the whole message. */
	get ended(): boolean {
		return this.#sink?.writableFinished === true && this.#sink.readableLength === 0;
	}

	override pipe<T extends NodeJS.WritableStream>(destination: T, options?: { end?: boolean }): T {
		this.#sink = destination as unknown as Duplex;
		super.pipe(destination, options); // which reads nothing in this turn
		const refusal = this.#mayBegin();
		if (refusal !== null) this.#fail(refusal);
		return destination;
	}

	override _read(): void {
		this.#pull();
	}

	override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
		// Not awaited: a source that hangs must not hold up the connection, and what it says now matters to nobody.
		this.#chunks?.return?.()?.then(undefined, () => {});
		callback(error);
	}

	/** Pushes once; what goes wrong is the stream's error. */
	async #pull(): Promise<void> {
		try {
			if (!this.begun) await timeToSayMore(); // what comes now is no answer to the data
			if (this.destroyed) return;
			this.begun = true;
			this.#chunks ??= this.#body.chunks()[Symbol.asyncIterator]();
			for (;;) {
				const { done, value } = await this.#chunks.next();
				if (this.destroyed) return;
				if (done === true) break;
				this.#length += value.length;
				if (this.#length > this.#body.length) throw this.#sizeError();
				const encoded = this.#lines.encode(value);
				if (encoded.length === 0) continue;
				this.push(encoded);
				return;
			}
			this.#chunks = null;
			if (this.#length !== this.#body.length) throw this.#sizeError();
			const rest = this.#lines.end();
			if (rest.length > 0) this.push(rest);
			this.push(null);
		} catch (error) {
			this.#fail(sourceError(error));
		}
	}

	#fail(failure: QmtpError): void {
		this.failure = failure;
		this.destroy(new Error(failure.message));
	}

	#sizeError(): UsageError {
		const message = `the message has ${this.#length} bytes where ${this.#body.length} were announced`;
		return new UsageError("ERR_QMTP_MESSAGE_SIZE", message);
	}
}

function sourceError(cause: unknown): UsageError {
	if (cause instanceof UsageError) return cause;
	const reason = cause instanceof Error ? cause.message : String(cause);
	return new UsageError("ERR_QMTP_MESSAGE_SOURCE", `the message cannot be read: ${reason}`, { cause });
}
