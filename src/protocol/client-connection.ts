/**
 * The client's side of a connection: which responses belong to which package. It opens no socket and sets no timer.
 */
import { ProtocolError, UsageError } from "../errors.js";
import type { QmtpResponse } from "./response.js";
import { ResponseDecoder } from "./response-decoder.js";

/** All responses to one package. */
export interface PackageResponses {
	/** The number that `sent()` gave it. */
	readonly number: number;
	/** One for each recipient, in their order. */
	readonly responses: readonly QmtpResponse[];
}

/**
 * One connection, seen from the client.
 *
 * Call `sent(recipients)` when the last byte of a package is handed over for sending, never before; `receive(chunk)`,
 * then `next()` until it returns null.
 */
export class ClientConnection {
	readonly #decoder = new ResponseDecoder();
	#waiting: Waiting[] = [];
	#head = 0; // index of the oldest package without all its responses
	#number = 0; // of the next package to be sent
	#ended = false;
	#expected = false; // a package was waiting when the current response began
	#responseStart = 0; // stream offset of the current response
	#error: ProtocolError | null = null;

	/** Packages sent whose responses `next()` has not returned. */
	get pending(): number {
		return this.#waiting.length - this.#head;
	}

	/** Says that a package was sent to its last byte. @returns Its number: 0 for the first. */
	sent(recipients: number): number {
		const number = this.#number++;
		this.#waiting.push({ number, recipients, responses: NONE });
		return number;
	}

	/**
	 * Gives the connection the next chunk.
	 *
	 * @throws UsageError `ERR_NETSTRING_UNREAD` if the chunk before it was not read to its end, `ERR_QMTP_ENDED` after
	 * `receiveEnd()`.
	 */
	receive(chunk: Uint8Array): void {
		if (this.#ended) throw new UsageError("ERR_QMTP_ENDED", "receive() after receiveEnd()");
		this.#decoder.receive(chunk);
	}

	/** Says that the server will send no more. What it did not answer stays unanswered: see `unanswered()`. */
	receiveEnd(): void {
		this.#ended = true;
	}

	/**
	 * The oldest package that has all its responses, or null if more bytes are needed.
	 *
	 * @throws ProtocolError `ERR_QMTP_RESPONSE_UNEXPECTED` if a response begins while no package is unanswered, and the
	 * errors of {@link ResponseDecoder.next}; each further call throws the same error. What was returned before it stands.
	 */
	next(): PackageResponses | null {
		if (this.#error !== null) throw this.#error;
		for (;;) {
			const oldest = this.#waiting[this.#head];
			if (oldest !== undefined && oldest.responses.length === oldest.recipients) return this.#take(oldest);
			if (this.#decoder.idle) {
				this.#expected = oldest !== undefined;
				this.#responseStart = this.#decoder.offset;
			}
			const response = this.#decoder.next();
			if (response === null) return null;
			if (oldest === undefined || !this.#expected) {
				const message = "response to a package that was not sent";
				this.#error = new ProtocolError("ERR_QMTP_RESPONSE_UNEXPECTED", message, this.#responseStart);
				throw this.#error;
			}
			// An array with room for the one that it mostly is; a push to an empty one makes room for 17.
			if (oldest.responses === NONE) oldest.responses = [response];
			else (oldest.responses as QmtpResponse[]).push(response);
		}
	}

	/** Takes the packages that have not all their responses, oldest first, with the responses that came. */
	unanswered(): PackageResponses[] {
		const rest = this.#waiting.slice(this.#head);
		this.#waiting = [];
		this.#head = 0;
		return rest;
	}

	#take(package_: Waiting): PackageResponses {
		this.#head++;
		if (this.#head * 2 >= this.#waiting.length) {
			this.#waiting = this.#waiting.slice(this.#head);
			this.#head = 0;
		}
		return package_;
	}
}

interface Waiting {
	readonly number: number;
	readonly recipients: number;
	responses: readonly QmtpResponse[]; // NONE until the first comes
}

const NONE: readonly QmtpResponse[] = Object.freeze([]);
