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
	readonly #entries = new Map<string, Entry>();

	constructor(settings: RouterSettings) {
		this.#settings = settings;
	}

	/** Runs `use` with the client of a server. */
	async with<T>(target: Target, use: (client: Client) => Promise<T>): Promise<T> {
		const key = JSON.stringify([target.protocol, target.host, target.address, target.port]);
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

	/** Closes all connections when nothing is under way on them. */
	async close(): Promise<void> {
		const entries = [...this.#entries.values()];
		this.#entries.clear();
		for (const { timer } of entries) if (timer !== null) clearTimeout(timer);
		await Promise.all(entries.map(({ client }) => client.close()));
	}

	/** Closes all connections now. */
	destroy(): void {
		for (const { client } of this.#entries.values()) client.destroy();
	}

	#open(key: string, target: Target): Entry {
		const entry: Entry = { client: this.#make(target), users: 0, timer: null };
		this.#entries.set(key, entry);
		return entry;
	}

	#make({ protocol, host, address, port }: Target): Client {
		const { timeouts, addressEncoding, hostname, smtpTls, smtpTlsOptions } = this.#settings;
		if (protocol === "qmtp") return new QmtpClient({ host: address, port, timeouts, addressEncoding });
		const tlsOptions = smtpTlsOptions;
		return new SmtpClient({ host, address, port, name: hostname, timeouts, tls: smtpTls, tlsOptions });
	}

	/** Its connection is closed after the idle time by itself; the client goes with it. */
	#rest(key: string, entry: Entry): void {
		const idle = Math.min(this.#settings.timeouts.idle, LONGEST_TIMER);
		entry.timer = setTimeout(() => {
			this.#entries.delete(key);
			entry.client.close();
		}, idle);
		entry.timer.unref();
	}
}

const LONGEST_TIMER = 2 ** 31 - 1;
