/**
 * A fixed next hop. By QMTP small messages share one connection, on which they are pipelined, and a large one has a
 * connection for itself; by SMTP each connection sends one message after the other. The SMTP client is loaded when it is
 * needed.
 */
import { QmtpClient } from "../client/client.js";
import type { ForwardSettings } from "../queue/forward/options.js";
import { Pool } from "../queue/pool.js";
import type { SmtpClient } from "../smtp/client.js";
import type { DeliveredMail, Deliverer, RelayMail } from "./deliverer.js";

/** A deliverer that the relay has made. It is not told to give up a delivery, but destroyed. */
export interface OwnDeliverer extends Deliverer {
	/** Loads what is needed. */
	prepare?(): Promise<void>;
	/** Closes the connections when nothing is under way. */
	close(): Promise<void>;
	/** Closes them now. Recipients without an answer get a Z. */
	destroy(): void;
}

/** The next hop of these settings. It takes addresses in Latin-1. */
export function nextHop(settings: ForwardSettings, connections: number): OwnDeliverer {
	return settings.protocol === "qmtp" ? new QmtpHop(settings) : new SmtpHop(settings, connections);
}

/** A next hop that speaks QMTP. */
class QmtpHop implements OwnDeliverer {
	readonly #settings: ForwardSettings;
	readonly #clients: QmtpClient[] = [];
	readonly #shared: QmtpClient;
	readonly #places: Pool<QmtpClient>; // one for each large message

	constructor(settings: ForwardSettings) {
		this.#settings = settings;
		this.#shared = this.#newClient();
		this.#places = new Pool(settings.limits.connections, () => this.#newClient());
	}

	deliver({ sender, recipients, message, encoding }: RelayMail): Promise<DeliveredMail> {
		const mail = { sender, recipients, message, encoding, transmit: "as-is" } as const;
		if (message.bytes !== null) return this.#shared.send(mail);
		return this.#places.with((client) => client.send(mail));
	}

	async close(): Promise<void> {
		await Promise.all(this.#clients.map((client) => client.close()));
	}

	destroy(): void {
		for (const client of this.#clients) client.destroy();
	}

	#newClient(): QmtpClient {
		const { host, port, timeouts } = this.#settings;
		const client = new QmtpClient({ host, port, timeouts, addressEncoding: "latin1" });
		this.#clients.push(client);
		return client;
	}
}

/** A next hop that speaks SMTP. */
class SmtpHop implements OwnDeliverer {
	readonly #settings: ForwardSettings;
	readonly #clients: SmtpClient[] = [];
	readonly #places: Pool<Place>;

	constructor(settings: ForwardSettings, connections: number) {
		this.#settings = settings;
		this.#places = new Pool<Place>(connections, () => ({ client: null }));
	}

	async deliver({ sender, recipients, message, encoding }: RelayMail): Promise<DeliveredMail> {
		return await this.#places.with(async (place) => {
			place.client ??= await this.#newClient();
			const mail = { sender, recipients, body: message, encoding, addressEncoding: "latin1" } as const;
			return { responses: await place.client.send(mail) };
		});
	}

	async prepare(): Promise<void> {
		const { SmtpConnection } = await import("../smtp/connection.js");
		await SmtpConnection.load();
	}

	async close(): Promise<void> {
		await Promise.all(this.#clients.map((client) => client.close()));
	}

	destroy(): void {
		for (const client of this.#clients) client.destroy();
	}

	async #newClient(): Promise<SmtpClient> {
		const { SmtpClient } = await import("../smtp/client.js");
		const { host, port, name, timeouts } = this.#settings;
		const client = new SmtpClient({ host, port, name, timeouts });
		this.#clients.push(client);
		return client;
	}
}

/** A client, once somebody has needed it. */
interface Place {
	client: SmtpClient | null;
}
