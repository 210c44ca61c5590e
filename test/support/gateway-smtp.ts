/** An SMTP door for tests, and a client that says to it, line by line, what a test tells it to. */
import { type AddressInfo, connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { createSmtpServer, type SmtpDoor, type SmtpServerOptions } from "../../src/gateway/smtp.js";
import type { Queue } from "../../src/queue/queue.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import type { FaultContext, PackageReport } from "../../src/server/reports.js";
import { bytesOf } from "./bytes.js";
import { type QueuePlan, TestQueue } from "./server-queue.js";
import { Signal } from "./server-signal.js";

/** A door that listens until the test is over. */
export interface OpenDoor {
	readonly door: SmtpDoor;
	readonly port: number;
	readonly queue: TestQueue;
	readonly packages: PackageReport[];
	readonly faults: { readonly error: Error; readonly context: FaultContext }[];
	/** A client that has got the greeting. */
	client(): Promise<SmtpDialogue>;
	/** One that has said EHLO too. */
	greeted(): Promise<SmtpDialogue>;
}

/** What a test may say of a door. Without hooks it takes mail for everybody; without a plan, its queue says K. */
export interface DoorPlan extends Partial<SmtpServerOptions> {
	readonly plan?: QueuePlan;
}

/** Opens a door. */
export async function openDoor({ plan, ...options }: DoorPlan = {}): Promise<OpenDoor> {
	const queue = new TestQueue(plan);
	const [packages, faults]: [PackageReport[], { error: Error; context: FaultContext }[]] = [[], []];
	const door = createSmtpServer({
		queue: queue as Queue,
		hooks: { recipient: acceptAnyone },
		received: false,
		hostname: "mx.example.com",
		...options,
	});
	door.on("package", (report) => void packages.push(report));
	door.on("fault", (error, context) => void faults.push({ error, context }));
	await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
	onTestFinished(() => door.close());
	const { port } = door.server.address() as AddressInfo;
	const client = async () => {
		const dialogue = new SmtpDialogue(connect(port, "127.0.0.1"));
		await dialogue.reply();
		return dialogue;
	};
	const greeted = async () => {
		const dialogue = await client();
		await dialogue.ask("EHLO client.example.org");
		return dialogue;
	};
	return { door, port, queue, packages, faults, client, greeted };
}

/** The client's end of a connection. One character is one byte. */
export class SmtpDialogue {
	socket: Socket;
	/** All replies so far; the lines of one are joined by LF. */
	readonly replies: string[] = [];
	closed = false;
	readonly changes = new Signal();
	#next = 0;
	#unread = "";

	constructor(socket: Socket) {
		this.socket = socket;
		this.#listen();
		onTestFinished(() => void this.socket.destroy());
	}

	/** Sends bytes as they are. */
	send(text: string): void {
		this.socket.write(bytesOf(text));
	}

	/** Sends bytes, and resolves when the kernel has them. */
	sent(text: string): Promise<void> {
		return new Promise((resolve) => this.socket.write(bytesOf(text), () => resolve()));
	}

	/** The next reply that was not asked for yet; "" if the connection is closed before it. */
	async reply(): Promise<string> {
		await this.changes.until(() => this.replies.length > this.#next || this.closed);
		return this.replies[this.#next++] ?? "";
	}

	/** Sends a line, and resolves with the reply. */
	ask(line: string): Promise<string> {
		this.send(`${line}\r\n`);
		return this.reply();
	}

	/** Sends several lines at once, and resolves with the replies. */
	async askAll(lines: readonly string[]): Promise<string[]> {
		this.send(lines.map((line) => `${line}\r\n`).join(""));
		const replies: string[] = [];
		for (const _ of lines) replies.push(await this.reply());
		return replies;
	}

	/** Says MAIL, RCPT for each recipient, and DATA: the body may follow. Resolves with the reply to DATA. */
	async envelope(recipients: readonly string[] = ["rcpt@example.com"], sender = SENDER): Promise<string> {
		const lines = [`MAIL FROM:<${sender}>`, ...recipients.map((to) => `RCPT TO:<${to}>`), "DATA"];
		return (await this.askAll(lines)).at(-1) as string;
	}

	/** Sends a message as it is, dots and all, and resolves with the reply to it. */
	async message(body = "hello\r\n", recipients?: readonly string[]): Promise<string> {
		await this.envelope(recipients);
		this.send(`${body}.\r\n`);
		return this.reply();
	}

	/** Goes on over another socket, such as one with TLS. */
	switchTo(socket: Socket): void {
		this.socket.removeAllListeners("data");
		this.socket = socket;
		this.#listen();
	}

	/** Resolves when the connection is closed. */
	end(): Promise<void> {
		return this.changes.until(() => this.closed);
	}

	#listen(): void {
		this.socket.on("data", (chunk: Buffer) => this.#receive(chunk.toString("latin1")));
		this.socket.on("error", () => {});
		this.socket.on("close", () => {
			this.closed = true;
			this.changes.notify();
		});
	}

	#receive(text: string): void {
		this.#unread += text;
		for (let match = REPLY.exec(this.#unread); match !== null; match = REPLY.exec(this.#unread)) {
			this.#unread = this.#unread.slice(match[0].length);
			this.replies.push(match[0].trimEnd().replaceAll("\r\n", "\n"));
		}
		this.changes.notify();
	}
}

/** The sender of an envelope. */
export const SENDER = "sender@example.org";

const REPLY = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/;
