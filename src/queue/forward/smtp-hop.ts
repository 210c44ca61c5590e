/**
 * A next hop that speaks SMTP. A connection sends one message after the other, so there are several. The client is loaded
 * when it is needed.
 */
import type { SmtpClient } from "../../smtp/client.js";
import { Pool } from "../pool.js";
import type { HopMail, HopResult, NextHop } from "./next-hop.js";
import type { ForwardSettings } from "./options.js";

/** A next hop that speaks SMTP. */
export class SmtpHop implements NextHop {
	readonly #settings: ForwardSettings;
	readonly #clients: SmtpClient[] = [];
	readonly #places: Pool<Place>;

	constructor(settings: ForwardSettings) {
		this.#settings = settings;
		this.#places = new Pool<Place>(settings.limits.connections, () => ({ client: null }));
	}

	async prepare(): Promise<void> {
		await loadClient();
	}

	async send({ body, encoding, envelope }: HopMail): Promise<readonly HopResult[]> {
		return await this.#places.with(async (place) => {
			place.client ??= await this.#newClient();
			return await place.client.send({ ...envelope, body, encoding, addressEncoding: "latin1" });
		});
	}

	async close(): Promise<void> {
		await Promise.all(this.#clients.map((client) => client.close()));
	}

	async #newClient(): Promise<SmtpClient> {
		const { SmtpClient } = await loadClient();
		const { host, port, name, timeouts } = this.#settings;
		const client = new SmtpClient({ host, port, name, timeouts });
		this.#clients.push(client);
		return client;
	}
}

function loadClient(): Promise<typeof import("../../smtp/client.js")> {
	return import("../../smtp/client.js");
}

/** A client, once somebody has needed it. */
interface Place {
	client: SmtpClient | null;
}
