/**
 * The SMTP client, for servers that do not speak QMTP. Calls of `send` wait in one queue, and one session at a time takes
 * them from it, one after the other.
 */
import type { Body } from "../body/body.js";
import { TransportError, UsageError } from "../errors.js";
import { type AddressEncoding, addressEncodingOption } from "../protocol/envelope.js";
import type { Encoding } from "../protocol/package-event.js";
import { SmtpCall } from "./call.js";
import { SmtpConnection } from "./connection.js";
import { type SmtpClientOptions, type SmtpSettings, smtpSettings } from "./options.js";
import type { SmtpResult } from "./result.js";
import { NoSessionError, SmtpSession } from "./session.js";
import { SmtpTransaction } from "./transaction.js";

/** What to send, and for whom. */
export interface SmtpMail {
	/** The envelope sender; empty for mail that must not be answered. */
	readonly sender: string;
	/** The envelope recipients, at least one. Each gets its own result, equal addresses included. */
	readonly recipients: readonly string[];
	/** The message. It must not change meanwhile, and stays the caller's: the client does not close it. */
	readonly body: Body;
	/**
	 * How the body's lines end. It goes out with CR LF after each line, also behind the last. In both encodings LF and
	 * CR LF are line ends, and a CR elsewhere becomes a space, as SMTP forbids it and servers disagree about it. An empty
	 * body arrives as an empty line.
	 */
	readonly encoding: Encoding;
	/**
	 * What the addresses' characters are.
	 * @defaultValue "utf-8"
	 */
	readonly addressEncoding?: AddressEncoding;
}

/** Options of one call. */
export interface SmtpCallOptions {
	/**
	 * Gives the call up: it rejects with the signal's reason. If the message is under way its connection is closed; what
	 * the server has taken by then stays taken.
	 */
	readonly signal?: AbortSignal | undefined;
}

/**
 * An SMTP client for one server. Calls of `send` share one connection, each after the one before; after a loss the next
 * one connects anew. It needs the npm package nodemailer.
 *
 * Source: RFC 5321; RFC 3207 (STARTTLS); RFC 6152 (8BITMIME, used whenever it is offered; where it is not, 8-bit bodies
 * are sent as they are); RFC 6531 (SMTPUTF8); RFC 1870 (SIZE).
 */
export class SmtpClient {
	readonly #settings: SmtpSettings;
	readonly #calls = new Set<SmtpCall>();
	readonly #sessions = new Set<SmtpSession>();
	#queue: SmtpCall[] = [];
	#session: SmtpSession | null = null; // the one that takes messages
	#working: Promise<void> | null = null;
	#closing: Promise<void> | null = null;

	/** @throws UsageError `ERR_QMTP_OPTION` if the options make no sense. */
	constructor(options: SmtpClientOptions) {
		this.#settings = smtpSettings(options);
	}

	/**
	 * Sends a message.
	 *
	 * It resolves, whatever the server replies, with one result for each recipient in their order: K for the 2xx after the
	 * data and nothing else, D for 5xx, Z for 4xx. Addresses that SMTP cannot say are a D. A recipient about whom the
	 * server said nothing has a Z with an `error`: as when it refuses the session (by its greeting, even with a 5xx, which
	 * says nothing about the mail) or the connection is lost.
	 *
	 * A message that was lost with a connection that had been used before is sent once more, if the server surely did not
	 * take it and its body can be read once more: servers close connections that have been idle.
	 *
	 * @throws UsageError for misuse: `ERR_QMTP_RECIPIENTS`, `ERR_QMTP_ADDRESS`, `ERR_QMTP_MESSAGE`, `ERR_QMTP_OPTION`,
	 * `ERR_QMTP_MESSAGE_SIZE`, `ERR_QMTP_MESSAGE_SOURCE`, `ERR_QMTP_CLIENT_CLOSED`, `ERR_QMTP_PACKAGE`; TransportError
	 * `ERR_QMTP_CONNECT` or `ERR_QMTP_CONNECT_TIMEOUT` if there was no connection; the signal's reason.
	 */
	async send(mail: SmtpMail, { signal }: SmtpCallOptions = {}): Promise<readonly SmtpResult[]> {
		const { sender, recipients, body, encoding } = mail;
		const transaction = new SmtpTransaction(sender, recipients, addressEncodingOption(mail.addressEncoding));
		if (encoding !== "lf" && encoding !== "crlf") {
			throw new UsageError("ERR_QMTP_MESSAGE", `encoding must be "lf" or "crlf", not ${encoding}`);
		}
		if (typeof body?.chunks !== "function") {
			throw new UsageError("ERR_QMTP_MESSAGE", "body must be a Body");
		}
		if (this.#closing !== null) throw new UsageError("ERR_QMTP_CLIENT_CLOSED", "the client was closed");
		signal?.throwIfAborted();
		if (transaction.settled) return transaction.results;
		const call = new SmtpCall(transaction, body);
		const abort = () => {
			call.reject(signal?.reason);
			call.stop(new TransportError("ERR_QMTP_DESTROYED", "the call was given up"));
		};
		signal?.addEventListener("abort", abort, { once: true });
		this.#calls.add(call);
		this.#queue.push(call);
		this.#working ??= this.#work();
		try {
			return await call.result;
		} finally {
			this.#calls.delete(call);
			signal?.removeEventListener("abort", abort);
		}
	}

	/** Waits for all calls under way, then closes the connection with QUIT. Later calls are refused. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	/** Closes the connection now. Calls under way get a Z for each recipient that has no answer. */
	destroy(): void {
		this.#closing ??= this.#close();
		const error = new TransportError("ERR_QMTP_DESTROYED", "the client was destroyed");
		const waiting = this.#queue;
		this.#queue = [];
		for (const call of waiting) call.defer(error);
		for (const call of this.#calls) call.stop(error);
		for (const session of this.#sessions) session.destroy(error);
	}

	/** The same as `close()`, for `await using`. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	/** Sends what is in the queue. It never rejects. */
	async #work(): Promise<void> {
		for (let call = this.#queue.shift(); call !== undefined; call = this.#queue.shift()) {
			if (!call.settled) await this.#deliver(call);
		}
		this.#working = null;
		this.#session?.rest();
	}

	async #deliver(call: SmtpCall): Promise<void> {
		try {
			for (let done = false; !done; ) {
				const session = this.#session?.usable === true ? this.#session : await this.#open(call);
				if (session === null) return;
				done = await session.transmit(call.transaction, call.body, call.stopped);
			}
			if (!call.settled) call.resolve();
		} catch (error) {
			if (!call.settled) call.reject(error); // the body could not be read
		}
	}

	/** @returns Null if there is no session; the call is settled then, and so are those that wait behind it. */
	async #open(call: SmtpCall): Promise<SmtpSession | null> {
		this.#session?.finish(); // it may be too old
		this.#session = null;
		try {
			const session = await SmtpSession.open(await SmtpConnection.load(), this.#settings, call.stopped);
			this.#session = session;
			this.#sessions.add(session);
			session.ended.then(() => this.#sessions.delete(session));
			return session;
		} catch (error) {
			if (call.stopped.aborted) {
				call.defer(call.stopped.reason); // unless it was given up
				return null;
			}
			const waiting = [call, ...this.#queue.splice(0)];
			for (const one of waiting) {
				if (one.settled) continue;
				if (error instanceof NoSessionError) one.defer(error.cause);
				else one.reject(error);
			}
			return null;
		}
	}

	async #close(): Promise<void> {
		await Promise.allSettled([...this.#calls].map(({ result }) => result));
		await this.#working; // it lets go of what was given up
		for (const session of this.#sessions) session.finish();
		await Promise.all([...this.#sessions].map(({ ended }) => ended));
	}
}
