/**
 * One SMTP session: a connection from its greeting to QUIT, and the messages that go over it one after the other.
 *
 * A reply decides about recipients only if it is the reply to what it is taken for. A K is only ever the 2xx to the dot
 * after the data. Whatever else happens is a Z for those that have no answer, and may have been accepted from the moment
 * that the dot may have gone out.
 */
import type { Body } from "../body/body.js";
import { type QmtpError, TransportError, UsageError } from "../errors.js";
import { deferred, rejected } from "../protocol/response.js";
import { connectSocket } from "./connect.js";
import type { ConnectionMaker, Exchange, Extensions, SmtpConnection } from "./connection.js";
import { MessageSource } from "./message-source.js";
import { LONGEST_TIMER, type SmtpSettings } from "./options.js";
import { finalResponse, refusal, replyCode, replyText, timeToSayMore } from "./reply.js";
import type { SmtpTransaction, WireEnvelope } from "./transaction.js";

/** A session that takes messages. */
export class SmtpSession {
	readonly #connection: SmtpConnection;
	readonly #settings: SmtpSettings;
	readonly #extensions: Extensions;
	readonly #opened: number = performance.now();
	#messages = 0;
	#mustReset = false; // a transaction has begun on it and not ended
	#finishing = false;
	#timer: NodeJS.Timeout | undefined; // while it rests, or is to end

	private constructor(connection: SmtpConnection, settings: SmtpSettings, extensions: Extensions) {
		this.#connection = connection;
		this.#settings = settings;
		this.#extensions = extensions;
		connection.ended.then(() => clearTimeout(this.#timer));
	}

	/**
	 * Connects and begins a session; in plain text, on a second connection, if TLS fails that was only opportunistic.
	 *
	 * @throws TransportError `ERR_QMTP_CONNECT` or `ERR_QMTP_CONNECT_TIMEOUT` if there was no connection; `signal`'s reason;
	 * {@link NoSessionError} if there was one, and no session on it.
	 */
	static async open(
		make: ConnectionMaker,
		settings: SmtpSettings,
		signal: AbortSignal,
	): Promise<SmtpSession> {
		for (let startTls = settings.tls !== "never"; ; startTls = false) {
			const connection = make(await connectSocket(settings, signal), settings, startTls);
			try {
				await whileNotAborted(signal, connection, () => connection.open());
				return new SmtpSession(connection, settings, await connection.extensions());
			} catch (error) {
				signal.throwIfAborted();
				if (startTls && connection.tlsBegun && settings.tls === "opportunistic") continue;
				throw new NoSessionError(error as QmtpError);
			}
		}
	}

	/** Resolves when it has ended. */
	get ended(): Promise<void> {
		return this.#connection.ended;
	}

	/** True if it takes a further message. */
	get usable(): boolean {
		return this.#connection.usable && !this.#finishing && this.#age < this.#settings.timeouts.session;
	}

	get #age(): number {
		return performance.now() - this.#opened;
	}

	/**
	 * Sends a message to those of the transaction's recipients that have no answer yet, and gives them theirs.
	 *
	 * @returns False if the session had had messages before and was lost before the server can have taken this one, so that
	 * it may go out over a new one; nobody has an answer from it then.
	 * @throws UsageError if the body cannot be read, or is not as long as it said; the session has ended then.
	 */
	async transmit(transaction: SmtpTransaction, body: Body, signal: AbortSignal): Promise<boolean> {
		clearTimeout(this.#timer);
		this.#connection.hold(true);
		const done = await whileNotAborted(signal, this.#connection, () => this.#transmit(transaction, body));
		if (this.#messages >= this.#settings.maxMessages) this.finish();
		return done;
	}

	/** Nothing is under way: it does not keep the process alive, and ends after a while. */
	rest(): void {
		if (!this.#connection.usable || this.#finishing) return;
		const { idle, session } = this.#settings.timeouts;
		const left = Math.max(Math.min(idle, session - this.#age, LONGEST_TIMER), 0);
		this.#connection.hold(false);
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.finish(), left);
		this.#timer.unref();
	}

	/** Ends it with QUIT. */
	finish(): void {
		if (!this.#connection.usable || this.#finishing) return;
		this.#finishing = true;
		this.#connection.hold(true);
		this.#connection.quit();
		clearTimeout(this.#timer);
		const error = new TransportError("ERR_QMTP_RESPONSE_TIMEOUT", "the server did not answer QUIT");
		this.#timer = setTimeout(() => this.#connection.destroy(error), FINISH_TIME);
	}

	/** Ends it now. */
	destroy(error: QmtpError): void {
		this.#connection.destroy(error);
	}

	async #transmit(transaction: SmtpTransaction, body: Body): Promise<boolean> {
		const envelope = transaction.envelope(this.#extensions.smtpUtf8);
		if (envelope === null) return true;
		const { largest } = this.#extensions;
		if (body.length > largest) {
			transaction.answerAll(rejected(`the server takes no messages above ${largest} bytes (#5.3.4)`));
			return true;
		}
		const reused = this.#messages > 0;
		const source = new MessageSource(body, () => this.#connection.refusalToBegin());
		const exchange = await this.#exchange(envelope, body.length, source);
		if (reused && isLoss(exchange) && !source.mayHaveEnded && (body.repeatable || !source.begun)) {
			this.#connection.destroy(exchange.fault ?? closedBy(exchange.reply ?? ""));
			return false;
		}
		this.#messages++;
		this.#mustReset = exchange.step !== "message";
		this.#settle(transaction, exchange, source);
		if (this.#connection.usable) await timeToSayMore();
		return true;
	}

	async #exchange(envelope: WireEnvelope, size: number, source: MessageSource): Promise<Exchange> {
		try {
			if (this.#mustReset) await this.#connection.reset();
		} catch (error) {
			source.destroy();
			return { ...NOTHING_SENT, fault: error as QmtpError };
		}
		return this.#connection.send(envelope, size, source);
	}

	/** Gives their answers to those that have none yet. */
	#settle(transaction: SmtpTransaction, exchange: Exchange, source: MessageSource): void {
		const { refused, taken, reply, step, fault } = exchange;
		for (const [address, refusing] of refused) transaction.refused(address, refusing);
		if (reply === null) {
			const error = fault ?? closedBy("");
			this.#connection.destroy(error);
			if (error instanceof UsageError) throw error;
			transaction.defer(error, source.mayHaveEnded);
			return;
		}
		const code = replyCode(reply);
		const early = step === "message" && !source.ended; // the server has not got all of it, nor will it
		const accepts = step === "message" && !early && code >= 200 && code < 300;
		if (early || code === 421) this.#connection.destroy(closedBy(reply));
		if (accepts) transaction.answer(taken, finalResponse(reply));
		else if (code >= 400) transaction.answer(taken, refusal(reply));
		else {
			const message = `the server does not speak proper SMTP: ${replyText(reply)}`;
			const error = new TransportError("ERR_QMTP_CONNECTION_LOST", message);
			this.#connection.destroy(error);
			transaction.defer(error, step === "message");
		}
		transaction.answerAll(deferred("the server said nothing about this recipient (#4.3.0)"));
	}
}

/** There was a connection, but the server did not begin a session on it. `cause` tells why. */
export class NoSessionError extends Error {
	declare readonly cause: QmtpError;

	constructor(cause: QmtpError) {
		super(cause.message, { cause });
	}
}

/** True if the session ended, or was ended by the server with 421, before there was an answer to the message. */
function isLoss({ reply, step, fault }: Exchange): boolean {
	if (fault !== null) return !(fault instanceof UsageError);
	return step !== "message" && replyCode(reply ?? "") === 421;
}

function closedBy(reply: string): TransportError {
	const message = `the server closed the connection: ${replyText(reply)}`;
	return new TransportError("ERR_QMTP_CONNECTION_CLOSED", message);
}

/** Ends the connection if the signal is aborted meanwhile, with its reason. */
async function whileNotAborted<T>(
	signal: AbortSignal,
	connection: SmtpConnection,
	work: () => Promise<T>,
): Promise<T> {
	const abort = () => connection.destroy(signal.reason);
	signal.addEventListener("abort", abort);
	try {
		if (signal.aborted) abort();
		return await work();
	} finally {
		signal.removeEventListener("abort", abort);
	}
}

const NOTHING_SENT: Omit<Exchange, "fault"> = { refused: new Map(), taken: [], reply: null, step: "MAIL" };

// For the server to answer QUIT. In milliseconds.
const FINISH_TIME = 5000;
