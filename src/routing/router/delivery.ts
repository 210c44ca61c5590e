/**
 * The delivery of one message to those of its recipients who share a domain: host after host, until each has an answer.
 *
 * A host is passed over if it surely has not got the mail: by QMTP, if no connection was made and so nothing was begun;
 * by SMTP, also if the session did not begin, or was lost before the end of the data. A recipient whom a host has
 * answered keeps that answer, whatever it is, and the next host gets the mail for the others.
 */
import { isIP } from "node:net";
import { QmtpError, type QmtpErrorCode, TransportError } from "../../errors.js";
import { deferred, type QmtpResponse, rejected } from "../../protocol/response.js";
import { SmtpClient } from "../../smtp/client.js";
import { portFor } from "../mxps.js";
import { OURSELF, type Route } from "../routes.js";
import type { Client, Clients, Target } from "./clients.js";
import type { Interruption } from "./interruption.js";
import type { RoutedMessage } from "./mail.js";
import type { RouterSettings } from "./options.js";
import { isOwnAddress } from "./own-addresses.js";
import type { Attempt, RoutedResult } from "./result.js";
import { lookupFault, NO_LOOKUP, noHost, routesOf } from "./routes-of.js";

/** What a delivery needs of its router, and of the call that it is a part of. */
export interface DeliveryContext {
	readonly settings: RouterSettings;
	readonly clients: Clients;
	readonly message: RoutedMessage;
	/** The caller gives it up. */
	readonly signal: AbortSignal;
	/** The router is destroyed. */
	readonly stopped: AbortSignal;
	/** Of both. */
	readonly interruption: Interruption;
}

/** A result without what the router knows of it. */
type Answer = Omit<RoutedResult, "recipient" | "tried">;

/** Why a host was passed over, and what is told of it if no other host answers. */
interface Fault {
	readonly response: QmtpResponse;
	readonly error: QmtpError;
}

/** One delivery. */
export class DomainDelivery {
	readonly #context: DeliveryContext;
	readonly #recipients: readonly string[];
	readonly #results: (RoutedResult | undefined)[];
	readonly #tried: Attempt[] = [];
	#noConnection: Fault | null = null; // the last of those
	#noSession: Fault | null = null; // likewise

	constructor(context: DeliveryContext, recipients: readonly string[]) {
		this.#context = context;
		this.#recipients = recipients;
		this.#results = new Array(recipients.length).fill(undefined);
	}

	/**
	 * Delivers to the exchanges of `domain`.
	 *
	 * @returns One result for each recipient.
	 * @throws The reason of the caller's signal.
	 */
	async deliverTo(domain: string): Promise<readonly RoutedResult[]> {
		const { signal, stopped } = this.#context;
		try {
			await this.#deliverTo(domain);
		} catch (error) {
			signal.throwIfAborted();
			if (!stopped.aborted) throw error;
			this.#settleAll(NOT_SENT, stopped.reason);
		}
		return this.#results as RoutedResult[];
	}

	async #deliverTo(domain: string): Promise<void> {
		const { settings, interruption } = this.#context;
		const found = await routesOf(domain, settings, interruption);
		if ("refusal" in found) {
			this.#settleAll(found.refusal, found.error);
			return;
		}
		for (const route of found.routes) {
			const targets = await this.#targets(route);
			// This very host, by an address of its own: it and what is no better would send the mail in circles.
			if (found.byMx && targets.some(isOurself)) {
				if (route === found.routes[0]) return this.#settleAll(OURSELF, undefined);
				break;
			}
			for (const target of targets) {
				await this.#attempt(target);
				if (!this.#results.includes(undefined)) return;
			}
		}
		this.#giveUp(domain, found.routes);
	}

	/** The servers of a route: at each address QMTP goes before SMTP. None if it has no address. */
	async #targets(route: Route): Promise<Target[]> {
		const { exchange: host, protocol, port } = route;
		const { ports } = this.#context.settings;
		return (await this.#addresses(route)).flatMap((address): Target[] => {
			const target: Target = { protocol, host, address, port };
			return protocol === "smtp" ? [target] : [target, { ...target, protocol: "smtp", port: ports.smtp }];
		});
	}

	async #addresses({ exchange: host, protocol, port }: Route): Promise<readonly string[]> {
		if (isIP(host) !== 0) return [host];
		const { settings, interruption } = this.#context;
		let error: QmtpError = new TransportError("ERR_QMTP_DNS_NAME", `${host} has no address`);
		try {
			const { resolver } = settings;
			const found = await interruption.orAborted((signal) => resolver.addresses(host, { signal }));
			if (found.length > 0) return found;
		} catch (caught) {
			interruption.signal.throwIfAborted();
			error = lookupFault(host, caught);
		}
		this.#tried.push({ protocol, host, address: "", port, error });
		return [];
	}

	/** Sends it to those who have no answer. They have none afterwards if the next host may be tried for them. */
	async #attempt(target: Target): Promise<void> {
		const { clients, interruption } = this.#context;
		interruption.signal.throwIfAborted();
		const open = [...this.#recipients.keys()].filter((index) => this.#results[index] === undefined);
		try {
			const recipients = open.map((index) => this.#recipients[index] as string);
			const answers = await clients.with(target, (client) => this.#send(client, recipients));
			this.#settle(target, open, answers);
		} catch (error) {
			interruption.signal.throwIfAborted();
			if (!(error instanceof QmtpError)) throw error;
			const response = NOT_BEGUN[error.code];
			if (response === undefined) {
				this.#settleAll(NOT_SENT, error);
				return;
			}
			this.#tried.push({ ...target, error });
			this.#noConnection = { response, error };
		}
	}

	async #send(client: Client, recipients: readonly string[]): Promise<readonly Answer[]> {
		const { message, signal, settings } = this.#context;
		const { sender, body } = message;
		const mail = { sender, recipients, encoding: "lf" } as const;
		if (client instanceof SmtpClient) {
			return await client.send({ ...mail, body, addressEncoding: settings.addressEncoding }, { signal });
		}
		return (await client.send({ ...mail, message: body }, { signal })).responses;
	}

	/** @param open - The places of the recipients that the answers are for. */
	#settle(target: Target, open: readonly number[], answers: readonly Answer[]): void {
		const { protocol, host, address } = target;
		const tried = [...this.#tried];
		let fault: Fault | null = null;
		for (const [at, index] of open.entries()) {
			const answer = answers[at] as Answer;
			const { error } = answer;
			if (protocol === "smtp" && error !== undefined && answer.possiblyAccepted === false) {
				fault = { response: deferred(answer.description), error };
				continue;
			}
			const recipient = this.#recipients[index] as string;
			this.#results[index] = { ...answer, recipient, protocol, host, address, tried };
			if (error?.code === "ERR_QMTP_RESPONSE_COUNT") this.#context.clients.answersOncePerPackage(target);
		}
		if (fault === null) return;
		this.#tried.push({ ...target, error: fault.error });
		this.#noSession = fault;
	}

	/** There is no host left. */
	#giveUp(domain: string, routes: readonly Route[]): void {
		const fault = this.#noSession ?? this.#noConnection;
		if (fault !== null) {
			this.#settleAll(fault.response, fault.error);
			return;
		}
		const unknown = this.#tried.find(({ error }) => error.code !== "ERR_QMTP_DNS_NAME");
		if (unknown !== undefined) {
			this.#settleAll(NO_LOOKUP, unknown.error);
			return;
		}
		const alone = routes.length === 1 && routes[0]?.exchange === domain;
		this.#settleAll(alone ? noHost(domain) : NO_EXCHANGE, this.#tried.at(-1)?.error);
	}

	/** For all who have no answer. */
	#settleAll(response: QmtpResponse, error: QmtpError | undefined): void {
		const why = error === undefined ? {} : { error, possiblyAccepted: false };
		const tried = [...this.#tried];
		for (const [index, recipient] of this.#recipients.entries()) {
			this.#results[index] ??= { recipient, ...response, ...why, tried };
		}
	}
}

// The texts are qmail-remote's where it has one.
const NO_CONNECTION = deferred("Sorry, I wasn't able to establish a connection. (#4.4.1)");
const NO_SMTP = deferred("Sorry, I am not set up to speak SMTP. (#4.3.5)");
const NO_EXCHANGE = rejected("Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)");
const NOT_SENT = deferred("The message could not be sent. (#4.3.0)");

/** On another port it may be another server. */
function isOurself({ protocol, address, port }: Target): boolean {
	return port === portFor(protocol) && isOwnAddress(address);
}

/** What a client throws when nothing was begun. Without nodemailer the next address may still take QMTP. */
const NOT_BEGUN: Readonly<Partial<Record<QmtpErrorCode, QmtpResponse>>> = {
	ERR_QMTP_CONNECT: NO_CONNECTION,
	ERR_QMTP_CONNECT_TIMEOUT: NO_CONNECTION,
	ERR_QMTP_PACKAGE: NO_SMTP,
};
