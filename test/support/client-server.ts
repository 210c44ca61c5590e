/**
 * Servers for tests of the client that do what a script tells them, right or wrong: a plain socket, and a script for
 * each connection. All is gone when the test is over, and a script that failed makes the test fail.
 */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { expect, onTestFinished } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import type { ClientOptions } from "../../src/client/options.js";
import { bytesOf, netstring } from "./bytes.js";
import { Signal } from "./server-signal.js";

/** A package as the server read it. One character is one byte. */
export interface ReceivedPackage {
	readonly encoding: "lf" | "crlf";
	readonly body: string;
	readonly sender: string;
	readonly recipients: readonly string[];
}

/** What a server does with a connection. It may end before the connection does. */
export type Script = (connection: ScriptedConnection) => unknown;

/** A K, Z or D on the wire. */
export function response(text: string): string {
	return netstring(text);
}

/** A server's end of a connection. */
export class ScriptedConnection {
	/** 0 for the server's first connection. */
	readonly number: number;
	readonly socket: Socket;
	/** The whole packages so far. */
	readonly packages: ReceivedPackage[] = [];
	readonly changes = new Signal();
	/** Bytes read. */
	bytes = 0;
	/** Chunks read. */
	chunks = 0;
	/** The client has closed its direction. */
	ended = false;
	closed = false;
	error: Error | null = null;
	#unread: Buffer[] = [];
	#unreadBytes = 0;
	#wanted = 0; // no package can be whole before there are so many bytes

	constructor(socket: Socket, number: number) {
		this.socket = socket;
		this.number = number;
		socket.on("data", (chunk) => this.#receive(chunk));
		socket.on("end", () => this.#change(() => (this.ended = true)));
		socket.on("error", (error) => this.#change(() => (this.error = error)));
		socket.on("close", () => this.#change(() => (this.closed = true)));
	}

	/** Bytes of a package that is not whole yet. */
	get unread(): string {
		return Buffer.concat(this.#unread).toString("latin1");
	}

	/** Resolves with the last package when `count` of them came. */
	async received(count = 1): Promise<ReceivedPackage> {
		await this.#until(() => this.packages.length >= count, `${count} packages`);
		return this.packages.at(-1) as ReceivedPackage;
	}

	/** Resolves when `count` bytes came. */
	receivedBytes(count: number): Promise<void> {
		return this.#until(() => this.bytes >= count, `${count} bytes`);
	}

	/** Resolves when the client has closed its direction. */
	end(): Promise<void> {
		return this.#until(() => this.ended, "the end");
	}

	/** Resolves when the client is gone, however it went. */
	gone(): Promise<void> {
		return this.changes.until(() => this.ended || this.closed);
	}

	write(text: string): void {
		this.socket.write(bytesOf(text));
	}

	/** Answers all packages, those to come included, with a response for each recipient. */
	async answerAll(answer: (package_: ReceivedPackage, index: number) => string = accept): Promise<void> {
		for (let answered = 0; ; answered++) {
			await this.changes.until(() => this.packages.length > answered || this.ended || this.closed);
			const package_ = this.packages[answered];
			if (package_ === undefined) break;
			this.write(answer(package_, answered));
		}
		if (!this.closed) this.socket.end();
	}

	#until(condition: () => boolean, what: string): Promise<void> {
		return this.changes.until(() => {
			if (condition()) return true;
			if (this.ended || this.closed) throw new Error(`the client ended before ${what} came: ${this.error}`);
			return false;
		});
	}

	#receive(chunk: Buffer): void {
		this.bytes += chunk.length;
		this.chunks++;
		this.#unread.push(chunk);
		this.#unreadBytes += chunk.length;
		if (this.#unreadBytes >= this.#wanted) this.#parse();
		this.changes.notify();
	}

	#parse(): void {
		const bytes = Buffer.concat(this.#unread);
		let at = 0;
		for (;;) {
			const next = packageAt(bytes, at);
			if (typeof next === "number") {
				this.#wanted = next - at;
				break;
			}
			this.packages.push(next.package_);
			at = next.end;
		}
		this.#unread = [bytes.subarray(at)];
		this.#unreadBytes = bytes.length - at;
	}

	#change(change: () => void): void {
		change();
		this.changes.notify();
	}
}

/** A server on this machine. */
export class ScriptedServer {
	readonly port: number;
	readonly connections: ScriptedConnection[] = [];
	readonly changes = new Signal();
	readonly #server: Server;
	readonly #failures: unknown[] = [];
	#closed: Promise<void> | null = null;

	private constructor(server: Server, script: Script) {
		this.#server = server;
		this.port = (server.address() as AddressInfo).port;
		server.on("connection", (socket) => {
			const connection = new ScriptedConnection(socket, this.connections.length);
			this.connections.push(connection);
			Promise.resolve(connection)
				.then(script)
				.catch((error) => this.#failures.push(error));
			this.changes.notify();
		});
	}

	/** Starts a server, on any free port. It is closed when the test is over. */
	static async start(script: Script, port = 0): Promise<ScriptedServer> {
		const server = createServer({ allowHalfOpen: true, noDelay: true });
		await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
		const started = new ScriptedServer(server, script);
		onTestFinished(() => started.stop());
		return started;
	}

	/** Resolves with the connection of that number when it was made. */
	async connection(number = 0): Promise<ScriptedConnection> {
		await this.changes.until(() => this.connections.length > number);
		return this.connections[number] as ScriptedConnection;
	}

	/** A client of this server, which is destroyed when the test is over. */
	client(options: ClientOptions = {}): QmtpClient {
		const client = new QmtpClient({ port: this.port, ...options });
		onTestFinished(async () => {
			client.destroy();
			await client.close();
		});
		return client;
	}

	/** The bodies of all whole packages, in the order of the connections. */
	get bodies(): string[] {
		return this.connections.flatMap(({ packages }) => packages.map(({ body }) => body));
	}

	/** Takes no further connections: they are refused. */
	stopListening(): void {
		this.#closed ??= new Promise((resolve) => this.#server.close(() => resolve()));
	}

	/** Ends it before the test does. */
	async stop(): Promise<void> {
		this.stopListening();
		for (const { socket } of this.connections) socket.destroy();
		await this.#closed;
		expect(this.#failures, "scripts that failed").toEqual([]);
	}
}

/** A server that answers everything. */
export function acceptingServer(port = 0): Promise<ScriptedServer> {
	return ScriptedServer.start((connection) => connection.answerAll(), port);
}

/** A K for each recipient. */
export function accept({ recipients }: ReceivedPackage): string {
	return recipients.map((recipient) => response(`Kfor ${recipient}`)).join("");
}

/** The package that starts at `at` and where it ends, or, if it is not whole, how many bytes are needed at least. */
function packageAt(bytes: Buffer, at: number): { package_: ReceivedPackage; end: number } | number {
	const parts: string[] = [];
	let end = at;
	for (let part = 0; part < 3; part++) {
		const next = netstringAt(bytes, end);
		if (typeof next === "number") return next;
		parts.push(next.interpretation);
		end = next.end;
	}
	return { package_: packageOf(parts), end };
}

function packageOf([message = "", sender = "", list = ""]: readonly string[]): ReceivedPackage {
	const recipients: string[] = [];
	const bytes = Buffer.from(list, "latin1");
	for (let at = 0; at < bytes.length; ) {
		const next = netstringAt(bytes, at);
		if (typeof next === "number") throw new Error(`broken list of recipients: ${list}`);
		recipients.push(next.interpretation);
		at = next.end;
	}
	if (!/^[\n\r]/.test(message)) throw new Error(`message without an encoding: ${message.slice(0, 10)}`);
	const encoding = message.startsWith("\n") ? "lf" : "crlf";
	return { encoding, body: message.slice(1), sender, recipients };
}

/** The same for a netstring. */
function netstringAt(bytes: Buffer, at: number): { interpretation: string; end: number } | number {
	const colon = bytes.indexOf(0x3a, at);
	const digits = bytes.toString("latin1", at, colon === -1 ? Math.min(at + 20, bytes.length) : colon);
	if (!/^(0|[1-9][0-9]*|)$/.test(digits)) throw new Error(`not a netstring: ${digits.slice(0, 20)}`);
	if (colon === -1) return bytes.length + 1;
	const comma = colon + 1 + Number(digits);
	if (bytes.length <= comma) return comma + 1;
	if (bytes[comma] !== 0x2c) throw new Error("a netstring without its comma");
	return { interpretation: bytes.toString("latin1", colon + 1, comma), end: comma + 1 };
}
