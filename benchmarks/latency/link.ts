/**
 * A link that is far: a server on a free port of the loopback interface that hands on what it gets, both ways, each after
 * half the round trip. Its bandwidth has no bound, and nothing is lost: what a wide, good line would be, without the slow
 * start of TCP.
 *
 * The handshake costs what it would: nothing of the client is on its way before one round trip is over, and the server
 * sees the connection half a round trip later. (The client itself believes to be connected at once, and may write.)
 *
 * It counts round trips: the handshake, and from then on each time that something arrives at the client after the client
 * had written. So many turns were taken, whatever the clock says.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Delay } from "./delay.js";

/** A running link to one port. */
export class Link {
	readonly #server: Server;
	readonly #roundTripMs: number;
	readonly #targetPort: number;
	readonly #sockets = new Set<Socket>();
	#roundTrips = 0;

	private constructor(targetPort: number, roundTripMs: number) {
		this.#targetPort = targetPort;
		this.#roundTripMs = roundTripMs;
		this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#connect(client));
	}

	/** Opens a link to a port of this host. */
	static async open(targetPort: number, roundTripMs: number): Promise<Link> {
		const link = new Link(targetPort, roundTripMs);
		link.#server.listen(0, "127.0.0.1");
		await once(link.#server, "listening");
		return link;
	}

	get port(): number {
		return (this.#server.address() as AddressInfo).port;
	}

	/** The round trips of all connections since it was asked last. */
	takeRoundTrips(): number {
		const count = this.#roundTrips;
		this.#roundTrips = 0;
		return count;
	}

	/** Ends it with all its connections. */
	close(): void {
		for (const socket of this.#sockets) socket.destroy();
		this.#server.close();
	}

	#connect(client: Socket): void {
		const connected = performance.now() + this.#roundTripMs; // when the client's end of the handshake would be
		const there = new Delay(this.#roundTripMs / 2);
		const back = new Delay(this.#roundTripMs / 2);
		this.#keep(client);
		this.#roundTrips++;
		let hasWritten = true; // the handshake's last part; a server that speaks first answers it
		there.pass(() => {
			const server = connect({ port: this.#targetPort, host: "127.0.0.1", ...OPTIONS });
			this.#keep(server);
			server.on("data", (chunk) => {
				back.pass(() => {
					if (hasWritten) this.#roundTrips++;
					hasWritten = false;
					client.write(chunk);
				});
			});
			server.on("end", () => back.pass(() => client.end()));
			server.on("error", () => back.pass(() => client.destroy()));
			upstream = server;
		}, connected);
		let upstream: Socket | null = null;
		client.on("data", (chunk) => {
			hasWritten = true;
			there.pass(() => upstream?.write(chunk), connected);
		});
		client.on("end", () => there.pass(() => upstream?.end(), connected));
		client.on("error", () => there.pass(() => upstream?.destroy(), connected));
	}

	#keep(socket: Socket): void {
		this.#sockets.add(socket);
		socket.on("close", () => this.#sockets.delete(socket));
	}
}

const OPTIONS = { allowHalfOpen: true, noDelay: true };
