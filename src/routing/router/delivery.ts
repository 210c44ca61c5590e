/** The delivery of one message to those of its recipients who share a domain: host after host, until one answers. */

import { QmtpError, TransportError } from "../../errors.js";
import { deferred, type QmtpResponse, rejected } from "../../protocol/response.js";
import { SmtpClient } from "../../smtp/client.js";
import type { Route } from "../routes.js";
import type { Client, Clients, Target } from "./clients.js";
import type { RoutedMessage } from "./mail.js";
import type { RouterSettings } from "./options.js";
import type { Attempt, RoutedResult } from "./result.js";
import { NO_LOOKUP, noHost, routesOf } from "./routes-of.js";

/** What a delivery needs of its router. */
export interface DeliveryContext {
	readonly settings: RouterSettings;
	readonly clients: Clients;
	/** Aborted when the router is destroyed. */
	readonly stopped: AbortSignal;
}

/** One delivery. */
export class DomainDelivery {
	readonly #context: DeliveryContext;
	readonly #message: RoutedMessage;
	readonly #recipients: readonly string[];
	readonly #signal: AbortSignal;
	readonly #tried: Attempt[] = [];

	/** @param signal - Gives it up. */
	constructor(
		context: DeliveryContext,
		message: RoutedMessage,
		recipients: readonly string[],
		signal: AbortSignal,
	) {
		this.#context = context;
		this.#message = message;
		this.#recipients = recipients;
		this.#signal = signal;
	}

	/** Delivers to the exchanges of `domain`. @returns One result for each recipient. @throws The signal's reason. */
	async deliverTo(domain: string): Promise<readonly RoutedResult[]> {
		const { settings } = this.#context;
		const found = await routesOf(domain, settings, this.#signal);
		if ("refusal" in found) return this.#all(found.refusal, "error" in found ? found.error : undefined);
		for (const route of found.routes) {
			for (const target of await this.#targets(route)) {
				const results = await this.#attempt(target);
				if (results !== null) return results;
			}
		}
		return this.#nobody(domain, found.routes);
	}

	/** The servers of a route: at each address QMTP goes before SMTP. None if it has no address. */
	async #targets(route: Route): Promise<Target[]> {
		const { exchange: host, protocol, port } = route;
		const { resolver, ports } = this.#context.settings;
		let addresses: readonly string[] = [];
		let error: QmtpError = new TransportError("ERR_QMTP_DNS_NAME", `${host} has no address`);
		try {
			addresses = await resolver.addresses(host, { signal: this.#signal });
		} catch (caught) {
			this.#signal.throwIfAborted();
			if (!(caught instanceof QmtpError)) throw caught;
			error = caught;
		}
		if (addresses.length === 0) this.#tried.push({ protocol, host, address: "", port, error });
		return addresses.flatMap((address): Target[] => {
			const target: Target = { protocol, host, address, port };
			return protocol === "smtp" ? [target] : [target, { ...target, protocol: "smtp", port: ports.smtp }];
		});
	}

	/** @returns Null if nothing was begun there, so that the next may be tried. */
	async #attempt(target: Target): Promise<readonly RoutedResult[] | null> {
		const { clients, stopped } = this.#context;
		if (stopped.aborted) return this.#all(NO_CONNECTION, stopped.reason);
		try {
			const results = await clients.with(target, (client) => this.#send(client));
			// The server did not begin a session: it said nothing of the mail.
			const [first] = results;
			if (first?.error !== undefined && results.every(({ error }) => error?.code === "ERR_QMTP_CONNECT")) {
				this.#tried.push({ ...target, error: first.error });
				return null;
			}
			const { protocol, host, address } = target;
			return results.map((result) => ({ ...result, protocol, host, address, tried: this.#tried }));
		} catch (error) {
			this.#signal.throwIfAborted();
			if (!(error instanceof QmtpError)) throw error;
			if (!NOT_CONNECTED.has(error.code)) return this.#all(NOT_SENT, error);
			this.#tried.push({ ...target, error });
			return null;
		}
	}

	async #send(client: Client): Promise<readonly Omit<RoutedResult, "tried">[]> {
		const { sender, body } = this.#message;
		const envelope = { sender, recipients: this.#recipients };
		const signal = this.#signal;
		if (client instanceof SmtpClient) {
			const { addressEncoding } = this.#context.settings;
			return await client.send({ ...envelope, body, encoding: "lf", addressEncoding }, { signal });
		}
		return (await client.send({ ...envelope, message: body, encoding: "lf" }, { signal })).responses;
	}

	/** No server answered. */
	#nobody(domain: string, routes: readonly Route[]): readonly RoutedResult[] {
		const last = this.#tried.findLast(({ address }) => address !== "");
		if (last !== undefined) return this.#all(NO_CONNECTION, last.error);
		const unknown = this.#tried.find(({ error }) => error.code !== "ERR_QMTP_DNS_NAME");
		if (unknown !== undefined) return this.#all(NO_LOOKUP, unknown.error);
		const alone = routes.length === 1 && routes[0]?.exchange === domain;
		return this.#all(alone ? noHost(domain) : NO_EXCHANGE, this.#tried.at(-1)?.error);
	}

	#all(response: QmtpResponse, error: QmtpError | undefined): readonly RoutedResult[] {
		const why = error === undefined ? {} : { error, possiblyAccepted: false };
		return this.#recipients.map((recipient) => ({ recipient, ...response, ...why, tried: this.#tried }));
	}
}

const NOT_CONNECTED: ReadonlySet<string> = new Set(["ERR_QMTP_CONNECT", "ERR_QMTP_CONNECT_TIMEOUT"]);

// The texts are qmail-remote's where it has one.
const NO_CONNECTION = deferred("Sorry, I wasn't able to establish a connection. (#4.4.1)");
const NO_EXCHANGE = rejected("Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)");
const NOT_SENT = deferred("The message could not be sent. (#4.3.0)");
