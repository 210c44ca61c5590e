/**
 * The clients of a router, one for each server: calls that go to the same server share its connection. A client that
 * nobody has used for a while is let go of.
 */
import { QmtpClient } from "../../client/client.js";
import { SmtpClient } from "../../smtp/client.js";
import type { RouteProtocol } from "../mxps.js";
import type { RouterSettings } from "./options.js";

/** A server to talk to. */
export interface Target {
	readonly protocol: RouteProtocol;
	/** Its name, or its address where no name is known. */
	readonly host: string;
	readonly address: string;
	readonly port: number;
}

/** Either client. */
export type Client = QmtpClient | SmtpClient;

/** A client, and how many calls use it. */
interface Entry {
	readonly client: Client;
	users: number;
	timer: NodeJS.Timeout | null;
}

/** The clients. */
export class Clients {
	readonly #settings: RouterSettings;
	readonly #entries = new Map<string, Entry>(); // those that take calls
	readonly #clients = new Set<Client>(); // those that may have connections: they, and the ones being closed
	readonly #answerOnce = new Set<string>();

	constructor(settings: RouterSettings) {
		this.#settings = settings;
	}

	/** Runs `use` with the client of a server. */
	async with<T>(target: Target, use: (client: Client) => Promise<T>): Promise<T> {
		const key = keyOf(target);
		const entry = this.#entries.get(key) ?? this.#open(key, target);
		entry.users++;
		if (entry.timer !== null) clearTimeout(entry.timer);
		entry.timer = null;
		try {
			return await use(entry.client);
		} finally {
			if (--entry.users === 0) this.#rest(key, entry);
		}
	}

	/**
	 * This server answers once a package, however many recipients it has. Its client has found that out and heeds it; the
	 * next client of the server, after this one was let go of, is told.
	 */
	answersOncePerPackage(target: Target): void {
		this.#answerOnce.add(keyOf(target));
	}

	/** Closes all connections when nothing is under way on them. */
	async close(): Promise<void> {
		for (const { timer } of this.#entries.values()) if (timer !== null) clearTimeout(timer);
		this.#entries.clear();
		await Promise.all([...this.#clients].map((client) => this.#close(client)));
	}

	/** Closes all connections now. */
	destroy(): void {
		for (const client of this.#clients) client.destroy();
	}

	#open(key: string, target: Target): Entry {
		const entry: Entry = { client: this.#make(key, target), users: 0, timer: null };
		this.#entries.set(key, entry);
		this.#clients.add(entry.client);
		return entry;
	}

	#make(key: string, { protocol, host, address, port }: Target): Client {
		const { timeouts, addressEncoding, hostname, smtpTls, smtpTlsOptions } = this.#settings;
		if (protocol === "qmtp") {
			const maxRecipientsPerPackage = this.#answerOnce.has(key) ? 1 : Number.POSITIVE_INFINITY;
			return new QmtpClient({ host: address, port, timeouts, addressEncoding, maxRecipientsPerPackage });
		}
		const tlsOptions = smtpTlsOptions;
		return new SmtpClient({ host, address, port, name: hostname, timeouts, tls: smtpTls, tlsOptions });
	}

	/** Its connection is closed after the idle time by itself; the client goes with it. */
	#rest(key: string, entry: Entry): void {
		const idle = Math.min(this.#settings.timeouts.idle, LONGEST_TIMER);
		entry.timer = setTimeout(() => {
			this.#entries.delete(key);
			this.#close(entry.client);
		}, idle);
		entry.timer.unref();
	}

	/** It never rejects. */
	async #close(client: Client): Promise<void> {
		await client.close();
		this.#clients.delete(client);
	}
}

/** The name of the host counts where it is spoken of: in TLS. */
function keyOf({ protocol, host, address, port }: Target): string {
	return JSON.stringify([protocol, protocol === "qmtp" ? "" : host, address, port]);
}

const LONGEST_TIMER = 2 ** 31 - 1;
