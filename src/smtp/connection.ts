/**
 * One connection to an SMTP server, spoken by nodemailer's SMTPConnection. This is the only file that knows it: its
 * callbacks become promises that always settle, and its errors become replies, or faults of the connection.
 *
 * What it takes for an answer is checked again where that decides about mail: nodemailer sends the data after any 2xx to
 * DATA, though the server may then take the body's lines for commands, and it takes a reply that comes before the dot
 * for the reply to the message.
 */
import type { Socket } from "node:net";
import type SMTPConnection from "nodemailer/lib/smtp-connection";
import type { Envelope, SentMessageInfo, SMTPError } from "nodemailer/lib/smtp-connection";
import { QmtpError, TransportError, UsageError } from "../errors.js";
import type { MessageSource } from "./message-source.js";
import { LONGEST_TIMER, type SmtpSettings } from "./options.js";
import { replyText } from "./reply.js";
import type { WireEnvelope } from "./transaction.js";

/** What came of sending a message. */
export interface Exchange {
	/** The replies to RCPT that were no 2xx, by address. */
	readonly refused: ReadonlyMap<string, string>;
	/** The addresses about which `reply` decides: those that RCPT was not refused for. */
	readonly taken: readonly string[];
	/** Null if there is none, and `fault` tells why. */
	readonly reply: string | null;
	/** What `reply` is the reply to: `"message"` is the dot at its end. */
	readonly step: "MAIL" | "RCPT" | "DATA" | "message";
	readonly fault: QmtpError | null;
}

/** What a server offers. */
export interface Extensions {
	readonly smtpUtf8: boolean;
	/** The largest message it takes, in bytes; Infinity if it did not say. */
	readonly largest: number;
}

/** Makes a connection of a connected socket. With `startTls` false STARTTLS is not used, also if the server offers it. */
export type ConnectionMaker = (socket: Socket, settings: SmtpSettings, startTls: boolean) => SmtpConnection;

/** One connection. */
export class SmtpConnection {
	/** Resolves when the connection has ended, and its socket is closed. */
	readonly ended: Promise<void>;
	readonly #socket: Socket;
	readonly #settings: SmtpSettings;
	readonly #connection: SMTPConnection;
	#gone = false;
	#failure: Error | null = null; // why it is gone
	#giveUp: (() => void) | null = null; // ends what is under way

	private constructor(
		library: typeof SMTPConnection,
		socket: Socket,
		settings: SmtpSettings,
		startTls: boolean,
	) {
		this.#socket = socket;
		this.#settings = settings;
		this.ended = new Promise((resolve) => {
			socket.once("close", () => resolve());
		});
		const { host, name, tls, tlsOptions } = settings;
		const response = Math.min(settings.timeouts.response, LONGEST_TIMER);
		this.#connection = new library({
			connection: socket,
			host,
			name,
			secure: false, // else port 465 would mean TLS from the first byte
			requireTLS: tls === "required",
			ignoreTLS: !startTls,
			opportunisticTLS: tls === "opportunistic", // goes on if the server offers STARTTLS and then refuses it
			tls: tls === "required" ? tlsOptions : { ...tlsOptions, rejectUnauthorized: false },
			connectionTimeout: LONGEST_TIMER, // the socket is connected
			greetingTimeout: response,
			socketTimeout: response,
			socketCloseTimeout: 0, // when we end it there is nothing to wait for
			maxResponseSize: LARGEST_REPLY,
		});
		this.#connection.on("error", (error: Error) => {
			this.#failure ??= error;
		});
		this.#connection.on("end", () => this.#end());
	}

	/** Loads nodemailer. @throws UsageError `ERR_QMTP_PACKAGE` if it is not installed. */
	static async load(): Promise<ConnectionMaker> {
		let library: typeof SMTPConnection;
		try {
			library = (await import("nodemailer/lib/smtp-connection")).default;
		} catch (cause) {
			const message = "SMTP needs the package nodemailer, which cannot be loaded: npm install nodemailer";
			throw new UsageError("ERR_QMTP_PACKAGE", message, { cause });
		}
		return (socket, settings, startTls) => new SmtpConnection(library, socket, settings, startTls);
	}

	/** False if the connection has ended. */
	get usable(): boolean {
		return !this.#gone;
	}

	/** True if TLS was begun on it, whatever came of it. */
	get tlsBegun(): boolean {
		return this.#connection.secure || this.#connection.upgrading === true;
	}

	/** Greeting, EHLO and STARTTLS. @throws QmtpError if there is no session; the connection has ended then. */
	async open(): Promise<void> {
		try {
			await this.#settles<void>((done) => this.#connection.connect(done));
		} catch (error) {
			const fault = this.#sessionFault(error as SMTPError);
			this.destroy(fault);
			throw fault;
		}
	}

	/** What the server offers. To be asked when it is open. @throws QmtpError if the connection has ended since. */
	async extensions(): Promise<Extensions> {
		let offered: Extensions = { smtpUtf8: false, largest: Number.POSITIVE_INFINITY };
		// A method of authentication that says nothing to the server: nodemailer tells nobody else what was offered.
		this.#connection.customAuth.set(LOOK, ({ extensions, maxAllowedSize, resolve }) => {
			const largest = maxAllowedSize === false ? Number.POSITIVE_INFINITY : maxAllowedSize;
			offered = { smtpUtf8: extensions.includes("SMTPUTF8"), largest };
			resolve();
		});
		try {
			await this.#settles((done) => this.#connection.login({ method: LOOK }, done));
		} catch (error) {
			throw this.#fault(error as SMTPError);
		}
		return offered;
	}

	/** Sends a message. It never rejects. @param size - In bytes, as the server may count it or less. */
	async send(envelope: WireEnvelope, size: number, source: MessageSource): Promise<Exchange> {
		const { from, to } = envelope;
		// nodemailer keeps its notes in what it is given: the only place that still has the replies to RCPT if something
		// fails later. Without them a recipient would at worst get the refusal that the others get.
		const noted: Envelope & { rejectedErrors?: SMTPError[] } = { from, to: [...to], size, use8BitMime: true };
		try {
			const info = await this.#settles<SentMessageInfo>((done) => this.#connection.send(noted, source, done));
			const refused = replies(info.rejectedErrors);
			return { refused, taken: info.accepted, reply: info.response, step: "message", fault: null };
		} catch (caught) {
			const error = caught as SMTPError;
			const step = stepOf(error);
			// A server that refused MAIL refuses what follows because of that.
			const refused = step === "MAIL" ? new Map<string, string>() : replies(noted.rejectedErrors);
			const taken = to.filter((address) => !refused.has(address));
			if (step !== null) return { refused, taken, reply: error.response as string, step, fault: null };
			return { refused, taken, reply: null, step: "message", fault: source.failure ?? this.#fault(error) };
		} finally {
			source.destroy();
		}
	}

	/** Null if the last reply lets the data begin, as only a 3xx does. */
	refusalToBegin(): QmtpError | null {
		const { lastServerResponse: reply } = this.#connection;
		return typeof reply === "string" && reply.startsWith("3") ? null : this.#protocolFault(reply || "");
	}

	/** RSET. @throws QmtpError if it does not come to a 2xx. */
	async reset(): Promise<void> {
		try {
			await this.#settles((done) => this.#connection.reset(done));
		} catch (error) {
			throw this.#fault(error as SMTPError);
		}
	}

	/** QUIT. The connection ends when the server has answered or closed. */
	quit(): void {
		if (!this.#gone) this.#connection.quit();
	}

	/** Whether the connection keeps the process alive. */
	hold(alive: boolean): void {
		if (alive) this.#socket.ref();
		else this.#socket.unref();
	}

	/** Ends the connection now. What is under way fails with `reason`. */
	destroy(reason: QmtpError): void {
		this.#failure ??= reason;
		this.#connection.close();
		this.#end();
	}

	#end(): void {
		this.#gone = true;
		this.#socket.destroy();
		// Later in this turn: nodemailer may be about to tell what is under way more than that it has ended.
		queueMicrotask(() => this.#giveUp?.());
	}

	/** Waits for what nodemailer tells by a callback, which it does not call if the connection ends first. */
	#settles<T>(begin: (done: (error?: Error | null, value?: T) => void) => void): Promise<T> {
		return new Promise((resolve, reject) => {
			this.#giveUp = () => reject(this.#failure ?? closedFault());
			if (this.#gone) this.#giveUp();
			else begin((error, value) => (error ? reject(this.#own(error)) : resolve(value as T)));
		});
	}

	/** Why we ended it, rather than what nodemailer made of that. */
	#own(error: Error): Error {
		return this.#failure instanceof QmtpError ? this.#failure : error;
	}

	#sessionFault(error: SMTPError): QmtpError {
		const { host } = this.#settings;
		if (typeof error.response === "string") {
			const message = `no SMTP session with ${host}: ${replyText(error.response)}`;
			return new TransportError("ERR_QMTP_CONNECT", message, { cause: error });
		}
		if (!this.tlsBegun || error instanceof QmtpError || error.code === "ETIMEDOUT") return this.#fault(error);
		return new TransportError("ERR_QMTP_CONNECT", `no TLS with ${host}: ${error.message}`, { cause: error });
	}

	#fault(error: SMTPError): QmtpError {
		if (error instanceof QmtpError) return error;
		const { response: reply } = error;
		switch (error.code) {
			case "ETIMEDOUT": {
				const message = `the server did nothing for ${this.#settings.timeouts.response} ms`;
				return new TransportError("ERR_QMTP_RESPONSE_TIMEOUT", message, { cause: error });
			}
			case "ECONNECTION":
				return closedFault(reply);
			case "EPROTOCOL":
				return this.#protocolFault(reply ?? "", error);
			default: {
				const message = `the connection was lost: ${error.message}`;
				return new TransportError("ERR_QMTP_CONNECTION_LOST", message, { cause: error });
			}
		}
	}

	#protocolFault(reply: string, cause?: Error): TransportError {
		const message = `the connection was given up, as the server does not speak proper SMTP: ${replyText(reply)}`;
		return new TransportError("ERR_QMTP_CONNECTION_LOST", message, { cause });
	}
}

function closedFault(reply?: string): TransportError {
	const why = reply === undefined ? "" : `: ${replyText(reply)}`;
	return new TransportError("ERR_QMTP_CONNECTION_CLOSED", `the server closed the connection${why}`);
}

function replies(errors: readonly SMTPError[] = []): Map<string, string> {
	return new Map(errors.map(({ recipient = "", response = "" }) => [recipient, response]));
}

/** Null for an error that is no reply to a command of a message, whatever response it has. */
function stepOf({ code, command, response }: SMTPError): Exchange["step"] | null {
	if (response === undefined) return null;
	if (command === "MAIL FROM") return "MAIL";
	if (command === "RCPT TO") return "RCPT";
	if (command === "DATA") return code === "EMESSAGE" ? "message" : "DATA";
	return null;
}

const LOOK = "X-QMTP-LOOK";
const LARGEST_REPLY = 64 * 1024;
