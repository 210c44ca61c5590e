/**
 * A next hop that speaks QMTP. Small messages share one connection, on which they are pipelined; a large one has a
 * connection for itself, so that it holds up nobody: that of a client if it is whole, else one that it is written to.
 */
import { QmtpClient } from "../../client/client.js";
import { connectSocket } from "../../client/connect.js";
import { type ClientOptions, type ClientSettings, clientSettings } from "../../client/options.js";
import { Timers } from "../../timers.js";
import { Pool } from "../pool.js";
import type { HopMail, HopResult, NextHop } from "./next-hop.js";
import type { ForwardSettings } from "./options.js";
import { PackageConnection } from "./package-connection.js";

/** A next hop that speaks QMTP. */
export class QmtpHop implements NextHop {
	readonly #settings: ClientSettings;
	readonly #timers: Timers;
	readonly #clients: QmtpClient[] = [];
	readonly #shared: QmtpClient;
	readonly #places: Pool<QmtpClient>; // one for each large message that was stored
	#free: number; // connections for large messages that go out while they arrive

	constructor({ host, port, timeouts, maxRecipientsPerPackage, limits }: ForwardSettings) {
		const options = { host, port, timeouts, maxRecipientsPerPackage, addressEncoding: "latin1" } as const;
		this.#settings = clientSettings(options);
		this.#timers = new Timers(timeouts.response);
		this.#free = limits.connections;
		this.#shared = this.#newClient(options);
		this.#places = new Pool(limits.connections, () => this.#newClient(options));
	}

	async prepare(): Promise<void> {}

	async send({ body, encoding, envelope }: HopMail): Promise<readonly HopResult[]> {
		const { sender, recipients } = envelope; // named: a spread here took 7 % of the time of a small message
		const mail = { sender, recipients, message: body, encoding, transmit: "as-is" } as const;
		const sending =
			body.bytes !== null ? this.#shared.send(mail) : this.#places.with((client) => client.send(mail));
		return (await sending).responses;
	}

	/** A connection for one package, or null if none of the `limits.connections` is free. */
	connect(): Promise<PackageConnection> | null {
		if (this.#free === 0) return null;
		this.#free--;
		return this.#connect();
	}

	async close(): Promise<void> {
		await Promise.all(this.#clients.map((client) => client.close()));
	}

	/** @throws TransportError `ERR_QMTP_CONNECT` or `ERR_QMTP_CONNECT_TIMEOUT`. */
	async #connect(): Promise<PackageConnection> {
		try {
			const socket = await connectSocket(this.#settings, NEVER);
			const connection = new PackageConnection(socket, this.#settings.timeouts.response, this.#timers);
			connection.ended.then(() => {
				this.#free++;
			});
			return connection;
		} catch (error) {
			this.#free++;
			throw error;
		}
	}

	#newClient(options: ClientOptions): QmtpClient {
		const client = new QmtpClient(options);
		this.#clients.push(client);
		return client;
	}
}

const NEVER = new AbortController().signal;
