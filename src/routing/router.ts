/**
 * The router: mail for any recipients, each delivered to the exchanges of its domain, by QMTP where an exchange announces
 * it (MXPS) and by SMTP elsewhere. It delivers now or not at all: trying again later is for whoever keeps the mail.
 */
import type { CallOptions, SendOptions } from "../client/client.js";
import { TransportError, UsageError } from "../errors.js";
import { checkedEnvelope } from "../protocol/envelope.js";
import { type QmtpResponse, rejected } from "../protocol/response.js";
import { asciiName } from "./domain-name.js";
import { Clients } from "./router/clients.js";
import { DomainDelivery } from "./router/delivery.js";
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
 * tried by QMTP, and if no connection can be made, by SMTP at the same address; once a package was begun there, the answer
 * is final. What could not be connected to, or did not begin a session, is passed over for the next. Calls to the same
 * server share a connection. SMTP needs the npm package nodemailer.
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
	}

	/**
	 * Delivers a message. It resolves with one result for each recipient, whatever became of it.
	 *
	 * @throws UsageError for misuse, as `QmtpClient.send`, and `ERR_QMTP_PACKAGE` if SMTP is needed and nodemailer is not
	 * installed; the signal's reason.
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

	async #deliver(options: DeliverOptions, signal: AbortSignal = NEVER): Promise<RoutedMail> {
		const { host, ...mail } = options;
		const { addressEncoding, maxReceived } = this.#settings;
		const { recipients } = checkedEnvelope(mail, addressEncoding);
		if (this.#closing !== null) throw new UsageError("ERR_QMTP_CLIENT_CLOSED", "the router was closed");
		const message = await openMail(mail, signal);
		try {
			if (await loops(message.body, maxReceived)) return this.#all(recipients, LOOP);
			const results: RoutedResult[] = new Array(recipients.length);
			const context = { settings: this.#settings, clients: this.#clients, stopped: this.#stopped.signal };
			await forEach(byDomain(recipients, host), DOMAINS_AT_ONCE, async ([domain, indexes]) => {
				const group = indexes.map((index) => recipients[index] as string);
				const found = await (domain === ""
					? this.#all(group, NO_DOMAIN).responses
					: new DomainDelivery(context, message, group, signal).deliverTo(domain));
				for (const [at, index] of indexes.entries()) results[index] = found[at] as RoutedResult;
			});
			return routedMail(results);
		} finally {
			await message.body.close();
		}
	}

	#all(recipients: readonly string[], response: QmtpResponse): RoutedMail {
		return routedMail(recipients.map((recipient) => ({ recipient, ...response, tried: [] })));
	}

	async #close(): Promise<void> {
		await Promise.allSettled(this.#calls);
		await this.#clients.close();
	}
}

/** The places of the recipients by domain; "" for those that have none. @param host - A domain for all. */
function byDomain(recipients: readonly string[], host: string | undefined): Map<string, number[]> {
	const groups = new Map<string, number[]>();
	for (const [index, recipient] of recipients.entries()) {
		const at = recipient.lastIndexOf("@");
		const domain = asciiName(host ?? (at === -1 ? "" : recipient.slice(at + 1)));
		const group = groups.get(domain);
		if (group === undefined) groups.set(domain, [index]);
		else group.push(index);
	}
	return groups;
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

const NEVER = new AbortController().signal;
const DOMAINS_AT_ONCE = 100; // each is a connection or two
const NO_DOMAIN = rejected("Sorry, that recipient has no domain. (#5.1.2)");
const LOOP = rejected("too many hops, this message is looping (#5.4.6)");
