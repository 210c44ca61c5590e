/**
 * SMTP servers for tests, which answer each command as a script tells them, right or wrong. They take the data as RFC 5321
 * says, and nothing else: only CR LF dot CR LF ends it.
 */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { expect, onTestFinished } from "vitest";
import { type Body, bytesBody } from "../../src/body/body.js";
import { SmtpClient, type SmtpMail } from "../../src/smtp/client.js";
import type { SmtpClientOptions } from "../../src/smtp/options.js";
import type { SmtpResult } from "../../src/smtp/result.js";
import { Signal } from "./server-signal.js";

/** A message as the server got it, with dots undone. One character is one byte. */
export interface ReceivedMail {
	readonly mail: string;
	readonly rcpt: readonly string[];
	readonly data: string;
}

/** What to answer: lines without their last CR LF; null: nothing. */
export type Answer =
	| string
	| null
	| ((peer: SmtpPeer, line: string) => string | null | Promise<string | null>);

/** Answers by command; "message" is for the end of the data. What is left out is answered as a good server does. */
export type SmtpScript = Readonly<
	Partial<
		Record<
			"greeting" | "EHLO" | "HELO" | "MAIL" | "RCPT" | "DATA" | "message" | "RSET" | "QUIT" | "STARTTLS",
			Answer
		>
	>
>;

/** A server's end of a connection. */
export class SmtpPeer {
	readonly socket: Socket;
	/** 0 for the server's first connection. */
	readonly number: number;
	readonly commands: string[] = [];
	readonly messages: ReceivedMail[] = [];
	readonly changes = new Signal();
	closed = false;
	readonly #script: SmtpScript;
	#unread = "";
	#inData = false;
	#quitting = false;
	#mail = "";
	#rcpt: string[] = [];

	constructor(socket: Socket, number: number, script: SmtpScript) {
		this.socket = socket;
		this.number = number;
		this.#script = script;
		socket.setEncoding("latin1");
		socket.on("data", (text: string) => {
			this.#unread += text;
			this.changes.notify();
		});
		socket.on("error", () => {});
		socket.on("close", () => {
			this.closed = true;
			this.changes.notify();
		});
	}

	/** Plays the server until the client is gone. */
	async play(): Promise<void> {
		await this.#answer("greeting", "220 test ESMTP", "");
		while (!this.closed && !this.#quitting) {
			const line = this.#inData ? await this.#data() : await this.#until("\r\n");
			if (line === null) return;
			if (this.#inData) await this.#message(line);
			else await this.#command(line);
			this.changes.notify();
		}
	}

	/** Resolves when the client has said this, at least `count` times. */
	said(command: string, count = 1): Promise<void> {
		return this.changes.until(() => this.commands.filter((line) => line.startsWith(command)).length >= count);
	}

	/** Resolves when at least so many bytes of data came that have not ended. */
	gotData(bytes: number): Promise<void> {
		return this.changes.until(() => this.#unread.length >= bytes);
	}

	gone(): Promise<void> {
		return this.changes.until(() => this.closed);
	}

	async #command(line: string): Promise<void> {
		this.commands.push(line);
		this.changes.notify();
		const verb = line.split(/[ :]/, 1)[0]?.toUpperCase() ?? "";
		if (verb === "MAIL") {
			this.#mail = line;
			this.#rcpt = [];
		}
		const reply = await this.#answer(verb as keyof SmtpScript, DEFAULTS[verb] ?? "502 unknown", line);
		if (verb === "RCPT" && reply?.startsWith("2")) this.#rcpt.push(line);
		if (verb === "DATA" && reply?.startsWith("3")) this.#inData = true;
		if (verb === "QUIT" && reply !== null) {
			this.#quitting = true;
			this.socket.end();
		}
	}

	async #message(data: string): Promise<void> {
		this.#inData = false;
		this.messages.push({ mail: this.#mail, rcpt: this.#rcpt, data });
		this.changes.notify();
		await this.#answer("message", "250 2.0.0 queued", "");
	}

	async #answer(step: keyof SmtpScript, usual: string, line: string): Promise<string | null> {
		const answer = step in this.#script ? (this.#script[step] as Answer) : usual;
		const reply = typeof answer === "function" ? await answer(this, line) : answer;
		if (reply !== null && !this.closed) this.socket.write(Buffer.from(`${reply}\r\n`));
		return reply;
	}

	/** The data up to its end, with the dots undone. */
	async #data(): Promise<string | null> {
		await this.changes.until(() => this.closed || this.#unread.length >= 3);
		if (this.#unread.startsWith(".\r\n")) {
			this.#unread = this.#unread.slice(3);
			return "";
		}
		const text = await this.#until("\r\n.\r\n");
		return text === null ? null : `${text}\r\n`.replace(/(^|\r\n)\./g, "$1");
	}

	/** What comes before `end`. Null if the client is gone before. */
	async #until(end: string): Promise<string | null> {
		let from = 0;
		let at = -1;
		await this.changes.until(() => {
			at = this.#unread.indexOf(end, from);
			from = Math.max(this.#unread.length - end.length, 0);
			return at !== -1 || this.closed;
		});
		if (at === -1) return null;
		const text = this.#unread.slice(0, at);
		this.#unread = this.#unread.slice(at + end.length);
		return text;
	}
}

/** A server on this machine. */
export class SmtpTestServer {
	readonly port: number;
	readonly peers: SmtpPeer[] = [];
	readonly changes = new Signal();
	readonly #server: Server;
	readonly #failures: unknown[] = [];

	private constructor(server: Server, scripts: readonly SmtpScript[]) {
		this.#server = server;
		this.port = (server.address() as AddressInfo).port;
		server.on("connection", (socket) => {
			const { length } = this.peers;
			const peer = new SmtpPeer(socket, length, scripts[Math.min(length, scripts.length - 1)] ?? {});
			this.peers.push(peer);
			peer.play().catch((error) => this.#failures.push(error));
			this.changes.notify();
		});
	}

	/** Starts a server that has a script for each connection; the last one is for all further ones too. */
	static async start(...scripts: SmtpScript[]): Promise<SmtpTestServer> {
		const server = createServer({ noDelay: true });
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		const started = new SmtpTestServer(server, scripts);
		onTestFinished(() => started.stop());
		return started;
	}

	/** A client of this server, in plain text, which is destroyed when the test is over. */
	client(options: Partial<SmtpClientOptions> = {}): SmtpClient {
		const client = new SmtpClient({ host: "127.0.0.1", port: this.port, name: "client.test", ...options });
		onTestFinished(async () => {
			client.destroy();
			await client.close();
		});
		return client;
	}

	/** Resolves with the connection of that number when it was made. */
	async peer(number = 0): Promise<SmtpPeer> {
		await this.changes.until(() => this.peers.length > number);
		return this.peers[number] as SmtpPeer;
	}

	/** What came on all connections. */
	get messages(): ReceivedMail[] {
		return this.peers.flatMap(({ messages }) => messages);
	}

	async stop(): Promise<void> {
		const closed = new Promise((resolve) => this.#server.close(resolve));
		for (const { socket } of this.peers) socket.destroy();
		await closed;
		expect(this.#failures, "scripts that failed").toEqual([]);
	}
}

/** A message for tests. */
export function smtpMail(
	options: Partial<Omit<SmtpMail, "body">> & { readonly body?: string | Body } = {},
): SmtpMail {
	const { body = "Subject: hello\n\nhello\n", ...rest } = options;
	return {
		sender: "sender@example.com",
		recipients: ["rcpt@example.com"],
		encoding: "lf",
		...rest,
		body: typeof body === "string" ? bytesBody(Buffer.from(body, "latin1")) : body,
	};
}

/** A body that is read once, from these chunks and then from `rest`. */
export function onceBody(length: number, chunks: () => AsyncIterable<Uint8Array>): Body {
	return { length, bytes: null, repeatable: false, chunks, close: async () => {} };
}

/** Status and description, and what there is of an error. */
export function summaries(results: readonly SmtpResult[]): string[] {
	return results.map(({ status, description, error, possiblyAccepted }) =>
		[`${status}${description}`, error?.code, possiblyAccepted && "possibly accepted"]
			.filter(Boolean)
			.join(" | "),
	);
}

const DEFAULTS: Readonly<Record<string, string>> = {
	EHLO: "250-test\r\n250 8BITMIME",
	HELO: "250 test",
	MAIL: "250 2.1.0 ok",
	RCPT: "250 2.1.5 ok",
	DATA: "354 go on",
	RSET: "250 2.0.0 ok",
	QUIT: "221 2.0.0 bye",
};
