/** A session whose clock the test moves. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import type { ClientOptions } from "../../src/client/options.js";
import { clientSettings } from "../../src/client/options.js";
import { OutgoingMessage, type OutgoingPackage } from "../../src/client/outgoing.js";
import { PackageQueue } from "../../src/client/package-queue.js";
import type { SendResult } from "../../src/client/result.js";
import { ClientSession } from "../../src/client/session.js";
import { TransportError } from "../../src/errors.js";
import { type Timed, Timers } from "../../src/timers.js";
import type { ScriptedConnection, ScriptedServer } from "./client-server.js";

/** Timers that tick only when they are told to. Like the real ones they do not know the time while they are stopped. */
export class TestTimers extends Timers {
	readonly members = new Set<Timed>();
	#time: number;

	/** @param time - What the clock says when the first member is added. */
	constructor(time: number) {
		super(1e9);
		this.now = 0;
		this.#time = time;
	}

	override add(member: Timed): void {
		if (this.members.size === 0) this.now = this.#time;
		this.members.add(member);
	}

	override remove(member: Timed): void {
		this.members.delete(member);
	}

	/** So much later. */
	pass(milliseconds: number): void {
		this.#time += milliseconds;
		this.now = this.#time;
		for (const member of this.members) member.check(this.now);
	}
}

/** A client's session on a connection to a server, and the queue that it sends from. */
export class TestSession {
	readonly timers = new TestTimers(1e8);
	readonly queue = new PackageQueue();
	readonly session: ClientSession;
	readonly socket: Socket;
	/** The server's end. */
	readonly server: ScriptedConnection;

	private constructor(socket: Socket, server: ScriptedConnection, options: ClientOptions) {
		this.socket = socket;
		this.server = server;
		this.session = new ClientSession(socket, clientSettings(options), this.timers);
	}

	/** Connects. */
	static async connect(server: ScriptedServer, options: ClientOptions = {}): Promise<TestSession> {
		const socket = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
		await once(socket, "connect");
		const made = new TestSession(socket, await server.connection(), options);
		onTestFinished(() => made.session.destroy(new TransportError("ERR_QMTP_DESTROYED", "over")));
		return made;
	}

	/** Puts a message into the queue. @returns Its result. */
	push(text: string): Promise<SendResult> {
		const outgoing = new OutgoingMessage("s@example.org", ["r@example.com"], "utf-8");
		const bytes = Buffer.from(text);
		const body = {
			length: bytes.length,
			bytes,
			repeatable: true,
			async *chunks() {
				yield bytes;
			},
			close: async () => {},
		};
		outgoing.prepare({ encoding: "lf", body });
		this.queue.push([outgoing.whole]);
		return outgoing.result;
	}

	/** Sends what is in the queue. */
	transmit(): Promise<OutgoingPackage | null> {
		return this.session.transmit(this.queue);
	}

	/** Resolves when the client has read what the server wrote. */
	async clientHasRead(bytes: number): Promise<void> {
		while (this.socket.bytesRead < bytes) await new Promise((resolve) => setImmediate(resolve));
	}
}
