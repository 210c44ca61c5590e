/** A client for tests of the server: it sends text (one character is one byte) and gathers responses. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { bytesOf, netstring, textOf } from "./bytes.js";
import { Signal } from "./server-signal.js";

/** The parts of a package; what is left out has a default. */
export interface Mail {
	/** The message as sent, its first byte included. */
	readonly message?: string;
	readonly sender?: string;
	readonly recipients?: readonly string[];
}

/** A package as it goes over the wire. */
export function mail({
	message = "\nhello\n",
	sender = SENDER,
	recipients = [RECIPIENT],
}: Mail = {}): string {
	return netstring(message) + netstring(sender) + netstring(recipients.map(netstring).join(""));
}

/** The sender of a {@link mail}. */
export const SENDER = "sender@example.org";
/** The recipient of a {@link mail}. */
export const RECIPIENT = "rcpt@example.com";

/** The client's end of a connection. */
export class TestClient {
	readonly duplex: Duplex;
	/** The complete responses so far, without length and comma. */
	readonly responses: string[] = [];
	/** What broke the connection. */
	error: Error | null = null;
	/** The server has closed its direction. */
	ended = false;
	closed = false;
	readonly changes = new Signal();
	#rest = "";

	/** @param reads - False for a client that does not read what it is told until `read()` is called. */
	constructor(duplex: Duplex, reads = true) {
		this.duplex = duplex;
		duplex.on("error", (error) => {
			this.error ??= error;
			this.changes.notify();
		});
		duplex.on("end", () => {
			this.ended = true;
			this.changes.notify();
		});
		duplex.on("close", () => {
			this.closed = true;
			this.changes.notify();
		});
		if (reads) this.read();
	}

	/** Connects over TCP on this machine. */
	static async connect(port: number, reads = true): Promise<TestClient> {
		const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
		const client = new TestClient(socket, reads);
		await once(socket, "connect");
		return client;
	}

	/** The socket, for a client over TCP. */
	get socket(): Socket {
		return this.duplex as Socket;
	}

	read(): void {
		this.duplex.on("data", (chunk: Buffer) => this.#receive(chunk));
	}

	send(text: string): void {
		this.duplex.write(bytesOf(text));
	}

	/** Closes this direction; answers may still come. */
	end(text = ""): void {
		if (text === "") this.duplex.end();
		else this.duplex.end(bytesOf(text));
	}

	/** Resolves with all responses so far when there are at least `count`. Rejects if the server ends before. */
	async receives(count: number): Promise<string[]> {
		await this.changes.until(() => {
			if (this.responses.length >= count) return true;
			if (this.error !== null) throw this.error;
			if (this.ended || this.closed) throw new Error(`ended after ${this.responses.length} responses`);
			return false;
		});
		return this.responses;
	}

	/** Resolves with all responses when the server has closed its direction, and closes ours. Rejects on errors. */
	async all(): Promise<string[]> {
		await this.changes.until(() => {
			if (this.error !== null) throw this.error;
			return this.ended || this.closed;
		});
		if (this.#rest !== "") throw new Error(`ended inside a response: ${this.#rest}`);
		this.duplex.end();
		return this.responses;
	}

	/** Resolves when the connection is gone, however it went. */
	gone(): Promise<void> {
		return this.changes.until(() => this.closed || this.ended || this.error !== null);
	}

	#receive(chunk: Buffer): void {
		this.#rest += textOf(chunk);
		let from = 0;
		for (;;) {
			const colon = this.#rest.indexOf(":", from);
			if (colon === -1) break;
			const end = colon + 1 + Number(this.#rest.slice(from, colon));
			if (this.#rest.length <= end) break;
			this.responses.push(this.#rest.slice(colon + 1, end));
			from = end + 1;
		}
		this.#rest = this.#rest.slice(from);
		this.changes.notify();
	}
}
