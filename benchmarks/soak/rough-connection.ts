/** A bare socket to a server, for clients that do what no client should. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A connection, and what the server said on it. */
export class RoughConnection {
	readonly socket: Socket;
	/** What was read so far, as Latin-1. */
	#text = "";
	/** The server has ended it, or it broke. */
	gone = false;
	#wake: () => void = () => {};

	private constructor(socket: Socket) {
		this.socket = socket;
		socket.on("error", () => this.#end());
		socket.on("end", () => this.#end());
		socket.on("close", () => this.#end());
	}

	/** @param reads - False for a client that does not read what it is told. */
	static async open(port: number, reads = true): Promise<RoughConnection> {
		const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
		await once(socket, "connect");
		const connection = new RoughConnection(socket);
		if (reads) socket.on("data", (chunk) => connection.#receive(chunk));
		return connection;
	}

	/** Writes some bytes; resolves when the socket takes more, or after some time. */
	async write(bytes: Uint8Array, milliseconds = 10_000): Promise<void> {
		if (this.gone || this.socket.write(bytes)) return;
		const drained = new AbortController();
		const timer = setTimeout(() => drained.abort(), milliseconds);
		await Promise.race([
			once(this.socket, "drain", { signal: drained.signal }),
			once(this.socket, "close", { signal: drained.signal }),
		]).catch(() => {});
		clearTimeout(timer);
		drained.abort();
	}

	/** Resolves when so many responses came, the server is gone, or the time is over. Returns all that came. */
	async responses(count: number, milliseconds: number): Promise<string[]> {
		const until = Date.now() + milliseconds;
		for (let responses = this.#parsed(); ; responses = this.#parsed()) {
			const left = until - Date.now();
			if (responses.length >= count || this.gone || left <= 0) return responses;
			await new Promise<void>((resolve) => {
				const timer = setTimeout(resolve, left);
				this.#wake = () => {
					clearTimeout(timer);
					resolve();
				};
			});
		}
	}

	#parsed(): string[] {
		const responses: string[] = [];
		for (let at = 0; ; ) {
			const colon = this.#text.indexOf(":", at);
			const end = colon + 1 + Number(this.#text.slice(at, colon));
			if (colon === -1 || this.#text.length <= end) return responses;
			responses.push(this.#text.slice(colon + 1, end));
			at = end + 1;
		}
	}

	#receive(chunk: Buffer): void {
		this.#text += chunk.toString("latin1");
		this.#wake();
	}

	#end(): void {
		this.gone = true;
		this.#wake();
	}
}
