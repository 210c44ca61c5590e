/**
 * The subpath `qmtp/smtp`: a server that takes mail by SMTP into the queue, and with the hooks, of a `QmtpServer`.
 * Hosts that are told of QMTP by their MX records must go on taking SMTP from all others.
 *
 * npm's smtp-server speaks the protocol (greeting, commands, TLS, AUTH, PROXY, dots), and its class is what comes out, so
 * its documentation holds; what it asks its handlers goes to a session in smtp/session.ts. This file alone imports it.
 */
import {
	SMTPServer,
	type SMTPServerAddress,
	type SMTPServerDataStream,
	type SMTPServerEvents,
	type SMTPServerOptions,
	type SMTPServerSession,
} from "smtp-server";
import type { QmtpResponse } from "../protocol/response.js";
import { asError } from "../server/intake.js";
import { FAULT } from "../server/refusals.js";
import type { FaultContext, PackageReport } from "../server/reports.js";
import { messageReply, replyOf, type SmtpReply } from "./smtp/reply.js";
import { type ReplacedSmtpOption, serverOptions } from "./smtp/server-options.js";
import { type MessageAnswer, SmtpSession, type SmtpSessionContext } from "./smtp/session.js";
import { doorSettings, type SmtpDoorOptions } from "./smtp/settings.js";

export type { ReplacedSmtpOption } from "./smtp/server-options.js";
export type { SmtpDoorOptions, SmtpLimits, SmtpTimeouts } from "./smtp/settings.js";

/**
 * Options of {@link createSmtpServer}: its own, and those of smtp-server, with safer defaults.
 *
 * - AUTH is off without `onAuth`. With it, clients must log in unless `authOptional` is true. To have logged in gives no
 *   right to relay: rights are what the `authorize` hook says of an address.
 * - STARTTLS is off without a certificate of yours (`key` and `cert`, `pfx`, `SNICallback` or `sniOptions`): the one that
 *   smtp-server brings is known to everybody.
 * - `disableReverseLookup` is true, as a `QmtpServer` asks no name server. With false, `Peer.remoteHost` is the name.
 */
export interface SmtpServerOptions extends SmtpDoorOptions, Omit<SMTPServerOptions, ReplacedSmtpOption> {}

/** The events of smtp-server's class, and two more, as those of a `QmtpServer`. */
export interface SmtpDoorEvents extends SMTPServerEvents {
	/**
	 * A message has its responses. The recipients that RCPT refused are among them; a message that was refused before its
	 * body is not told of.
	 */
	package: [report: PackageReport];
	/**
	 * Something failed that is not the client's fault: a hook that threw, a queue that could not store. Without a
	 * listener it goes to console.error.
	 */
	fault: [error: Error, context: FaultContext];
}

/** Types of methods of the class, merged with it as smtp-server does it. */
export interface SmtpDoor {
	/** Listens to an event. */
	on<Name extends keyof SmtpDoorEvents>(
		name: Name,
		listener: (...values: SmtpDoorEvents[Name]) => void,
	): this;
	/** Listens to an event once. */
	once<Name extends keyof SmtpDoorEvents>(
		name: Name,
		listener: (...values: SmtpDoorEvents[Name]) => void,
	): this;
	/** Listens no more. */
	off<Name extends keyof SmtpDoorEvents>(
		name: Name,
		listener: (...values: SmtpDoorEvents[Name]) => void,
	): this;
}

/**
 * smtp-server's `SMTPServer` in front of a queue. `listen`, `updateSecureContext`, `options`, `connections` and `server`
 * are its own.
 *
 * A message is answered 250 when the queue has accepted it for every recipient; else 451 if any got a Z, so that one
 * that got a K may get it twice, and 554 if any got a D. As LMTP (`lmtp: true`), each recipient gets its own answer.
 *
 * Only CR LF dot CR LF ends a message; a lone LF or CR in it is data. Addresses reach hooks and envelope without SMTP's
 * quotes, and with domains in ASCII. A hook that never answers holds its connection.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: see the interface
export class SmtpDoor extends SMTPServer {
	readonly #context: SmtpSessionContext;
	readonly #sessions = new WeakMap<SMTPServerSession, SmtpSession>();
	readonly #messages = new Set<Promise<unknown>>(); // from DATA to the answer
	#closing: Promise<void> | null = null;

	/** @throws UsageError `ERR_QMTP_OPTION` if the options make no sense. */
	constructor(options: SmtpServerOptions) {
		const settings = doorSettings(options);
		super(serverOptions<SMTPServerOptions>(options, settings));
		this.#context = {
			settings,
			package: (report) => this.#tell("package", report),
			fault: (error, context) => this.#fault(error, context),
		};
		this.on("error", (error) => this.#heard(error));
	}

	/**
	 * Closes the door: no more connections are taken, and clients get 421, those that are sending a message after its
	 * answer. Resolves when all have gone and their messages have ended; the queue may be closed then. What lasts longer
	 * than `timeouts.close` is cut off, and commits go on unheard.
	 *
	 * @param callback - Called then too, as smtp-server does.
	 */
	override close(callback?: (() => void) | null): Promise<void> {
		this.#closing ??= this.#close();
		if (typeof callback === "function") this.#closing.then(callback);
		return this.#closing;
	}

	/** The same as `close()`, for `await using`. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	/** The `authorize` hook. */
	override onConnect(session: SMTPServerSession, callback: (error?: Error | null) => void): void {
		this.#sessions.set(session, new SmtpSession(session, this.#context));
		this.#step(session, callback, async (client) => {
			const refusal = await client.authorize();
			if (refusal === null) return null;
			const { code, text } = replyOf(refusal, "message");
			return { code: code === 451 ? 421 : code, text };
		});
	}

	/** The `message` and `sender` hooks. */
	override onMailFrom(
		{ address, args }: SMTPServerAddress,
		session: SMTPServerSession,
		callback: (error?: Error | null) => void,
	): void {
		const { SIZE } = args === false ? NO_PARAMETERS : args;
		const size = SIZE === undefined ? undefined : Number(SIZE);
		this.#step(session, callback, async (client) => envelopeReply(await client.mail(address, size)));
	}

	/** The `recipient` hook. */
	override onRcptTo(
		{ address }: SMTPServerAddress,
		session: SMTPServerSession,
		callback: (error?: Error | null) => void,
	): void {
		this.#step(session, callback, async (client) => envelopeReply(await client.rcpt(address)));
	}

	/** The queue. */
	override onData(
		stream: SMTPServerDataStream,
		session: SMTPServerSession,
		callback: (error?: Error | null, answers?: string | (string | Error)[]) => void,
	): void {
		let answer: MessageAnswer | null = null;
		const finish = (error?: Error | null) => {
			if (error || answer === null) return callback(error ?? refusal(replyOf(FAULT, "message")));
			const { recipients, responses } = answer;
			if (this.options.lmtp === true) return callback(null, responses.map(lmtpAnswer));
			const reply = messageReply(recipients, responses);
			if (reply.code === 250) callback(null, reply.text);
			else callback(refusal(reply));
		};
		const message = this.#step(session, finish, async (client) => {
			answer = await client.data(stream);
			return null;
		});
		this.#messages.add(message);
		message.then(() => this.#messages.delete(message));
	}

	/** Takes one step of a session and answers with what comes of it. Never rejects. */
	async #step(
		session: SMTPServerSession,
		answer: (error?: Error | null) => void,
		step: (client: SmtpSession) => Promise<SmtpReply | null>,
	): Promise<void> {
		const client = this.#sessions.get(session) as SmtpSession;
		client.busy = true;
		let reply: SmtpReply | null;
		try {
			reply = await step(client);
		} catch (error) {
			this.#fault(asError(error), {}); // a bug of ours
			reply = replyOf(FAULT, "envelope");
		}
		client.busy = false;
		try {
			answer(reply === null ? null : refusal(reply));
		} catch (error) {
			this.#fault(asError(error), {});
		}
		if (this.#closing !== null) this.#sayGoodbye();
	}

	async #close(): Promise<void> {
		const closed = new Promise<void>((resolve) => super.close(resolve));
		this.#sayGoodbye();
		await closed;
		if (this.#messages.size === 0) return;
		let timer: NodeJS.Timeout | undefined;
		const late = new Promise<void>((resolve) => {
			timer = setTimeout(resolve, HALF_CLOSED);
		});
		await Promise.race([Promise.all(this.#messages), late]);
		clearTimeout(timer);
	}

	/** Ends the connections of clients that are owed nothing. */
	#sayGoodbye(): void {
		for (const connection of this.connections) {
			if (this.#sessions.get(connection.session)?.busy !== true) connection.send(421, "Server shutting down");
		}
	}

	/** An "error" of smtp-server, which without a listener would end the process. */
	#heard(error: Error): void {
		if (this.listenerCount("error") > 1) return; // the user's
		if ("remoteAddress" in error || "meta" in error) return; // a client that went away, or that cannot do TLS
		if (!this.server.listening) throw error; // as it would without this listener: nobody knows that nothing listens
		this.#fault(error, {});
	}

	#fault(error: Error, context: FaultContext): void {
		if (this.listenerCount("fault") === 0) console.error("qmtp: fault:", error);
		else this.#tell("fault", error, context);
	}

	/** Events tell: a listener that throws must not end the session that it was told about. */
	#tell<Name extends "package" | "fault">(name: Name, ...values: SmtpDoorEvents[Name]): void {
		try {
			this.emit(name, ...values);
		} catch (error) {
			if (name === "fault") console.error("qmtp: a listener of fault events threw:", error);
			else this.#fault(asError(error), {});
		}
	}
}

/**
 * A server that takes mail by SMTP (or LMTP) into `queue`. It takes no mail for strangers: with no `recipient` hook and no
 * right to relay, every recipient is refused.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if the options make no sense.
 */
export function createSmtpServer(options: SmtpServerOptions): SmtpDoor {
	return new SmtpDoor(options);
}

function envelopeReply(response: QmtpResponse | null): SmtpReply | null {
	return response === null ? null : replyOf(response, "envelope");
}

function lmtpAnswer(response: QmtpResponse): string | Error {
	const reply = replyOf(response, "message");
	return reply.code === 250 ? reply.text : refusal(reply);
}

/** A reply in the shape in which smtp-server wants refusals. */
function refusal({ code, text }: SmtpReply): Error {
	return Object.assign(new Error(text), { responseCode: code });
}

const NO_PARAMETERS: Readonly<Record<string, string>> = {};
const HALF_CLOSED = 6000; // smtp-server destroys what it has closed after 5 s
