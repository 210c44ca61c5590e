/**
 * A wire to a broker: a TCP proxy that can hold back what the broker says, and be cut. What the client says always goes
 * through, so the broker knows what the client does not know yet.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A wire that many connections go through. */
export class Wire {
	/** What connections to it see as the broker. */
	readonly url: string;
	readonly port: number;
	readonly #server: Server;
	readonly #target: number;
	readonly #pairs = new Set<readonly [client: Socket, broker: Socket]>();
	readonly #held: (() => void)[] = [];
	readonly #onHeld = new Set<() => void>();
	#holds = false;
	#refuses = false;
	#heldBytes = 0;

	private constructor(server: Server, target: number) {
		this.#server = server;
		this.#target = target;
		this.port = (server.address() as { port: number }).port;
		this.url = `amqp://guest:guest@127.0.0.1:${this.port}`;
		server.on("connection", (client) => this.#connected(client));
	}

	/** @param target - The port of the broker. */
	static async to(target: number): Promise<Wire> {
		const server = createServer().listen(0, "127.0.0.1");
		await once(server, "listening");
		return new Wire(server, target);
	}

	/** How many connections go through it. */
	get connections(): number {
		return this.#pairs.size;
	}

	/** From now on nothing that the broker says arrives. */
	hold(): void {
		this.#holds = true;
	}

	/** Lets through what was held back, and all that follows. */
	pass(): void {
		this.#holds = false;
		this.#heldBytes = 0;
		for (const write of this.#held.splice(0)) write();
	}

	/** Resolves when at least that many bytes are held back. */
	async holds(bytes: number): Promise<void> {
		while (this.#heldBytes < bytes) {
			await new Promise<void>((resolve) => {
				const seen = () => {
					this.#onHeld.delete(seen);
					resolve();
				};
				this.#onHeld.add(seen);
			});
		}
	}

	/** Ends all connections, at both ends, and takes no more until `mend`. What is held back is lost. */
	cut(): void {
		this.#refuses = true;
		this.#holds = false;
		this.#heldBytes = 0;
		this.#held.length = 0;
		for (const [client, broker] of this.#pairs) {
			client.resetAndDestroy();
			broker.resetAndDestroy();
		}
	}

	/** Takes connections again. */
	mend(): void {
		this.#refuses = false;
	}

	/** Ends it. */
	async close(): Promise<void> {
		this.cut();
		this.#server.close();
		await once(this.#server, "close");
	}

	#connected(client: Socket): void {
		client.on("error", () => {});
		if (this.#refuses) {
			client.resetAndDestroy();
			return;
		}
		const broker = connect(this.#target, "127.0.0.1");
		const pair = [client, broker] as const;
		this.#pairs.add(pair);
		broker.on("error", () => {});
		client.pipe(broker);
		broker.on("data", (bytes) => {
			const write = () => client.destroyed || client.write(bytes);
			if (!this.#holds) write();
			else {
				this.#held.push(write);
				this.#heldBytes += bytes.length;
				for (const seen of [...this.#onHeld]) seen();
			}
		});
		broker.on("end", () => client.end());
		client.on("close", () => {
			broker.destroy();
			this.#pairs.delete(pair);
		});
		broker.on("close", () => client.destroy());
	}
}
