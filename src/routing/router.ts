/**
 * The router: mail for any recipients, each delivered to the exchanges of its domain, by QMTP where an exchange announces
 * it (MXPS) and by SMTP elsewhere. It delivers now or not at all: trying again later is for whoever keeps the mail.
 */
import { setMaxListeners } from "node:events";
import type { CallOptions, SendOptions } from "../client/client.js";
import { messageInput } from "../client/message.js";
import { type QmtpError, TransportError, UsageError } from "../errors.js";
import { type AddressEncoding, checkedEnvelope } from "../protocol/envelope.js";
import { textOption } from "../protocol/options.js";
import { deferred, type QmtpResponse, rejected } from "../protocol/response.js";
import { asciiName } from "./domain-name.js";
import { Clients } from "./router/clients.js";
import { type DeliveryContext, DomainDelivery } from "./router/delivery.js";
import { Interruption } from "./router/interruption.js";
import { loops, openMail } from "./router/mail.js";
import { type RouterOptions, type RouterSettings, routerSettings } from "./router/options.js";
import { type RoutedMail, type RoutedResult, routedMail } from "./router/result.js";

/** What to deliver, and to whom. */
export interface DeliverOptions extends Omit<SendOptions, "transmit" | "onProgress"> {
	/**
	 * The domain whose exchanges get the mail for all recipients.
	 * @defaultValue that of each recipient
	 */
	readonly host?: string | undefined;
}

/**
 * Delivers mail to the exchanges of its recipients.
 *
 * The MX records of a domain are tried in their order, and each address of an exchange. One whose preference says QMTP is
 * tried by QMTP, and if no connection can be made, by SMTP at the same address; once there was a connection, what comes of
 * it is final. An SMTP server that could not be connected to, did not begin a session, or was lost before it had the whole
 * message is passed over for the next. Calls to the same server share a connection. SMTP needs the npm package nodemailer:
 * without it only QMTP is tried, and a recipient who cannot be reached so has a Z with `ERR_QMTP_PACKAGE`.
 *
 * Source: D. J. Bernstein, "MXPS: the Mail Exchanger Protocol Switch"; RFC 5321, section 5.
 */
export class MailRouter {
	readonly #settings: RouterSettings;
	readonly #clients: Clients;
	readonly #calls = new Set<Promise<unknown>>();
	readonly #stopped = new AbortController();
	#closing: Promise<void> | null = null;

	/** @throws UsageError `ERR_QMTP_OPTION` if the options make no sense. */
	constructor(options: RouterOptions = {}) {
		this.#settings = routerSettings(options);
		this.#clients = new Clients(this.#settings);
		setMaxListeners(0, this.#stopped.signal); // one for each call
	}

	/**
	 * Delivers a message. It resolves with one result for each recipient, whatever became of it.
	 *
	 * @throws UsageError for misuse and for a message that cannot be read, as `QmtpClient.send`; the signal's reason.
	 */
	deliver(options: DeliverOptions, { signal }: CallOptions = {}): Promise<RoutedMail> {
		const call = this.#deliver(options, signal);
		this.#calls.add(call);
		const done = () => this.#calls.delete(call);
		call.then(done, done);
		return call;
	}

	/** Waits for all calls under way, then closes the connections. Later calls are refused. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	/** Closes all connections now. Recipients without an answer get a Z. */
	destroy(): void {
		this.#closing ??= this.#close();
		this.#stopped.abort(new TransportError("ERR_QMTP_DESTROYED", "the router was destroyed"));
		this.#clients.destroy();
	}

	/** The same as `close()`, for `await using`. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	async #deliver(options: DeliverOptions, given: AbortSignal | undefined): Promise<RoutedMail> {
		const input = messageInput(options.message); // it is ours now, whatever comes of the call
		const caller = new Interruption(...(given === undefined ? [] : [given]));
		const { signal } = caller;
		const stopped = this.#stopped.signal;
		const interruption = new Interruption(signal, stopped);
		try {
			const { recipients } = checkedEnvelope(options, this.#settings.addressEncoding);
			const host = options.host === undefined ? null : textOption("host", options.host);
			if (this.#closing !== null) throw new UsageError("ERR_QMTP_CLIENT_CLOSED", "the router was closed");
			const groups = byDomain(recipients, host, this.#settings.addressEncoding);
			try {
				const message = await openMail(options, input, interruption.signal);
				const context = { settings: this.#settings, clients: this.#clients, message };
				return await this.#route(recipients, groups, { ...context, signal, stopped, interruption });
			} catch (error) {
				signal.throwIfAborted();
				if (!stopped.aborted) throw error;
				return same(recipients, NOT_SENT, stopped.reason);
			}
		} finally {
			interruption.release();
			caller.release();
			input?.release();
		}
	}

	/** Delivers to each group of recipients, by domain, and lets go of the message. */
	async #route(
		recipients: readonly string[],
		groups: ReadonlyMap<string, readonly number[]>,
		context: DeliveryContext,
	): Promise<RoutedMail> {
		const { message, interruption } = context;
		try {
			if (await loops(message.body, this.#settings.maxReceived, interruption.signal)) {
				return same(recipients, LOOP);
			}
			const results: RoutedResult[] = new Array(recipients.length);
			await forEach(groups, DOMAINS_AT_ONCE, async ([domain, indexes]) => {
				const group = indexes.map((index) => recipients[index] as string);
				const found =
					domain === ""
						? same(group, NO_DOMAIN).responses
						: await new DomainDelivery(context, group).deliverTo(domain);
				for (const [at, index] of indexes.entries()) results[index] = found[at] as RoutedResult;
			});
			return routedMail(results);
		} finally {
			await message.body.close();
		}
	}

	async #close(): Promise<void> {
		await Promise.allSettled(this.#calls);
		await this.#clients.close();
	}
}

/** One result for all recipients, from no server. */
function same(recipients: readonly string[], response: QmtpResponse, error?: QmtpError): RoutedMail {
	const why = error === undefined ? {} : { error, possiblyAccepted: false };
	return routedMail(recipients.map((recipient) => ({ recipient, ...response, ...why, tried: [] })));
}

/** The places of the recipients by domain; "" for those that have none. @param host - A domain for all. */
function byDomain(
	recipients: readonly string[],
	host: string | null,
	encoding: AddressEncoding,
): Map<string, number[]> {
	const groups = new Map<string, number[]>();
	for (const [index, recipient] of recipients.entries()) {
		const domain = asciiName(host ?? domainOf(recipient, encoding));
		const group = groups.get(domain);
		if (group === undefined) groups.set(domain, [index]);
		else group.push(index);
	}
	return groups;
}

/** What stands behind the last `@`. Bytes that are no UTF-8 are no domain. */
function domainOf(recipient: string, encoding: AddressEncoding): string {
	const at = recipient.lastIndexOf("@");
	const domain = at === -1 ? "" : recipient.slice(at + 1);
	if (encoding === "utf-8") return domain;
	const text = Buffer.from(domain, "latin1").toString("utf8");
	return text.includes("\ufffd") ? "" : text;
}

/** Runs `work` on all items, some at once. If one fails, no more are begun, and those under way are waited for. */
async function forEach<T>(
	items: Iterable<T>,
	atOnce: number,
	work: (item: T) => Promise<void>,
): Promise<void> {
	const iterator = items[Symbol.iterator]();
	let failed = false;
	const worker = async () => {
		for (let next = iterator.next(); next.done !== true && !failed; next = iterator.next()) {
			await work(next.value).catch((error) => {
				failed = true;
				throw error;
			});
		}
	};
	const results = await Promise.allSettled(Array.from({ length: atOnce }, worker));
	for (const result of results) if (result.status === "rejected") throw result.reason;
}

const DOMAINS_AT_ONCE = 100; // each is a connection or two
const NOT_SENT = deferred("The message could not be sent. (#4.3.0)");
const NO_DOMAIN = rejected("Sorry, that recipient has no domain. (#5.1.2)");
const LOOP = rejected("too many hops, this message is looping (#5.4.6)");
