/**
 * The subpath `qmtp/nodemailer`: nodemailer's mail goes out by QMTP. A transport is what nodemailer hands each finished
 * mail to; everything before it, from attachments to DKIM, is as with SMTP.
 *
 * Of nodemailer only the types are used here, so nothing of it is loaded.
 */
import { EventEmitter } from "node:events";
import type { MailMessage, SentMessageInfo, Transport, VerifyCallback } from "nodemailer";
import {
	mailError,
	QmtpMailError,
	type QmtpMailErrorCode,
	type QmtpMailErrorDetails,
} from "./nodemailer/error.js";
import {
	type QmtpTransportLogger,
	type QmtpTransportOptions,
	type TransportSettings,
	transportSettings,
} from "./nodemailer/options.js";
import { outcome, type QmtpDeliveryResponse, type QmtpOutcome } from "./nodemailer/outcome.js";
import type { QmtpDeliverer, QmtpDelivery, QmtpMail } from "./nodemailer/outlet.js";
import { Pool } from "./nodemailer/pool.js";
import { verifyServer } from "./nodemailer/verify.js";

export type {
	QmtpDeliverer,
	QmtpDelivery,
	QmtpDeliveryResponse,
	QmtpMail,
	QmtpMailErrorCode,
	QmtpMailErrorDetails,
	QmtpOutcome,
	QmtpTransportLogger,
	QmtpTransportOptions,
};
export { QmtpMailError };

/** What `sendMail` tells of a mail that was accepted for at least one recipient. */
export type QmtpSentMessageInfo = SentMessageInfo & QmtpOutcome;

/**
 * A transport for `nodemailer.createTransport`.
 *
 * `sendMail` succeeds if the server accepted the mail for at least one recipient, and fails with a {@link QmtpMailError}
 * if it accepted it for none. A mail that a lost connection surely kept from arriving is sent once more.
 *
 * It emits `idle` when `isIdle()` becomes true, at the start too, and `clear` when it has closed and all its connections
 * have ended. It never emits `error`: each error is that of a mail, and goes where the mail came from.
 */
export interface QmtpTransport extends Transport<QmtpSentMessageInfo> {
	/** "QMTP". */
	readonly name: string;
	/** That of this package. */
	readonly version: string;
	/** `sendMail` takes a `signal`, which is honoured to the end. What the server has taken by then stays taken. */
	readonly supportsAbortSignal: true;
	/** Sends a mail. nodemailer calls it. */
	send(
		mail: MailMessage<QmtpSentMessageInfo>,
		callback: (error: QmtpMailError | null, info?: QmtpSentMessageInfo) => void,
	): void;
	/**
	 * Looks whether a QMTP server is there: it must be silent when a client connects, and close when the client does. It
	 * sends no mail, so whether the server would accept one is not known. With a router there is nothing to look at.
	 */
	verify(): Promise<true>;
	verify(callback: VerifyCallback): void;
	/**
	 * Takes no more mail. What it has is sent before the connections are closed, unless `force` is set: then that fails.
	 *
	 * @returns Resolves when all has ended. nodemailer's types do not tell of it.
	 */
	close(options?: { readonly force?: boolean }): Promise<void>;
	/** True if a mail would be sent at once, false if it would wait: when each connection has 100 under way. */
	isIdle(): boolean;
	/** Listens for `idle` or `clear`, which come without arguments. nodemailer passes them on. */
	on(event: string | symbol, listener: () => void): this;
}

/**
 * Makes a transport.
 *
 * @example
 * ```ts
 * import { createTransport } from "nodemailer";
 * import { qmtpTransport } from "qmtp/nodemailer";
 *
 * const mailer = createTransport(qmtpTransport({ host: "mail.example.com" }));
 * const { accepted, pending } = await mailer.sendMail({
 * 	from: "me@example.com",
 * 	to: ["you@example.net", "them@example.org"],
 * 	subject: "Hello",
 * 	text: "Hello!",
 * });
 * ```
 *
 * @throws UsageError `ERR_QMTP_OPTION` if the options make no sense.
 */
export function qmtpTransport(options: QmtpTransportOptions = {}): QmtpTransport {
	return new PooledTransport(transportSettings(options));
}

class PooledTransport extends EventEmitter implements QmtpTransport {
	readonly name = "QMTP";
	readonly version = VERSION;
	readonly supportsAbortSignal = true;
	readonly #settings: TransportSettings;
	readonly #pool: Pool;
	readonly #calls = new Set<AbortController>();
	#closing: Promise<void> | null = null;
	#idle = false; // "idle" was emitted, and it still holds
	#telling = false; // of "idle", in a moment

	constructor(settings: TransportSettings) {
		super();
		this.#settings = settings;
		this.#pool = new Pool({ ...settings, onRoom: () => this.#tellIdle() });
		this.#tellIdle();
	}

	send(
		mail: MailMessage<QmtpSentMessageInfo>,
		callback: (error: QmtpMailError | null, info?: QmtpSentMessageInfo) => void,
	): void {
		// Not within the promise, where what a callback throws would be lost.
		const finish = (error: QmtpMailError | null, info?: QmtpSentMessageInfo) => {
			setImmediate(() => {
				try {
					this.#logEnd(error, info);
				} finally {
					if (error === null) callback(null, info);
					else callback(error);
				}
			});
		};
		this.#send(mail).then(
			(info) => finish(null, info),
			(error) => finish(mailError(error)),
		);
		if (!this.isIdle()) this.#idle = false;
	}

	verify(): Promise<true>;
	verify(callback: VerifyCallback): void;
	verify(callback?: VerifyCallback): Promise<true> | undefined {
		const { server } = this.#settings;
		const verified = (server === null ? Promise.resolve() : verifyServer(server)).then(
			(): true => true,
			(error) => {
				throw mailError(error);
			},
		);
		if (callback === undefined) return verified;
		verified.then(
			() => setImmediate(callback, null, true),
			(error) => setImmediate(callback as (error: Error) => void, error),
		);
		return undefined;
	}

	close({ force = false }: { readonly force?: boolean } = {}): Promise<void> {
		this.#closing ??= this.#pool.close().then(() => {
			setImmediate(() => this.emit("clear"));
		});
		if (force) {
			this.#pool.destroy(); // first, since what was answered by now counts
			for (const call of this.#calls) call.abort(closedError());
		}
		return this.#closing;
	}

	isIdle(): boolean {
		return this.#closing === null && this.#pool.hasRoom;
	}

	// As nodemailer leaves the line ends of texts as they are, CR LF and LF are mixed in its messages. Here all become LF;
	// its DKIM signatures count on a server that makes them CR LF again, as SMTP does.
	//
	// Nothing is awaited before the pool has the mail, so that `isIdle()` counts it at once.
	async #send({ data, message }: MailMessage<QmtpSentMessageInfo>): Promise<QmtpSentMessageInfo> {
		if (this.#closing !== null) throw closedError();
		const envelope = message.getEnvelope();
		const sender = envelope.from || "";
		const recipients = [...envelope.to];
		if (recipients.length === 0) throw new QmtpMailError("EENVELOPE", "No recipients defined");
		const messageId = message.messageId();
		this.#settings.logger.info?.({ tnx: "send", messageId }, `Sending message ${messageId}`);
		const { responses } = await this.#abortable(data.signal, (signal) => {
			return this.#pool.run((outlet) => {
				const mail = { sender, recipients, message: message.createReadStream(), encoding: "crlf" as const };
				return outlet.deliver(mail, { signal });
			}, signal);
		});
		return { envelope: { from: sender, to: recipients }, messageId, ...outcome(responses) };
	}

	/** Gives `work` a signal that the caller's signal sets off, and so does `close` with force. */
	#abortable<T>(given: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
		if (given?.aborted === true) throw abortError(given);
		const call = new AbortController();
		this.#calls.add(call);
		return new Promise<T>((resolve, reject) => {
			const abort = () => {
				const error = abortError(given);
				call.abort(error);
				reject(error); // whatever a router does
			};
			given?.addEventListener("abort", abort, { once: true });
			work(call.signal)
				.finally(() => {
					given?.removeEventListener("abort", abort);
					this.#calls.delete(call);
				})
				.then(resolve, reject);
		});
	}

	#tellIdle(): void {
		if (this.#telling || this.#idle) return;
		this.#telling = true;
		setImmediate(() => {
			this.#telling = false;
			if (!this.isIdle()) return;
			this.#idle = true;
			this.emit("idle");
		});
	}

	#logEnd(error: QmtpMailError | null, info: QmtpSentMessageInfo | undefined): void {
		const { logger } = this.#settings;
		if (error !== null) logger.error?.({ err: error, tnx: "send" }, `Send error: ${error.message}`);
		else logger.info?.({ tnx: "send", messageId: info?.messageId }, `Sent message: ${info?.response}`);
	}
}

function abortError(signal: AbortSignal | undefined): QmtpMailError {
	return new QmtpMailError("EABORT", "Message sending aborted", { cause: signal?.reason });
}

function closedError(): QmtpMailError {
	return new QmtpMailError("ECONNECTION", "The transport was closed");
}

// A test holds it against package.json, which a bundle of the program would not have beside it.
const VERSION = "0.1.0";
