/** A server with a queue and clients, for one test: all of it is gone when the test is over. */
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { expect, onTestFinished } from "vitest";
import type { Peer } from "../../src/protocol/peer.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import type { ServerOptions } from "../../src/server/options.js";
import type { DisconnectReport, FaultContext, PackageReport } from "../../src/server/reports.js";
import { QmtpServer } from "../../src/server/server.js";
import type { WebStreamPair } from "../../src/server/transport.js";
import { TestClient } from "./server-client.js";
import { type QueuePlan, TestQueue } from "./server-queue.js";
import { Signal } from "./server-signal.js";
import { duplexPair } from "./server-streams.js";

/** Options of the server, but for its queue: `queue` is what that does. */
export interface BenchOptions extends Omit<ServerOptions, "queue"> {
	readonly queue?: QueuePlan;
}

/** Who the client in memory says it is. */
export const PEER: Peer = {
	remoteAddress: "192.0.2.7",
	remotePort: 40_000,
	localAddress: "192.0.2.1",
	localPort: 209,
};

/** The server and what it told. */
export class Bench {
	readonly queue: TestQueue;
	readonly server: QmtpServer;
	readonly reports: PackageReport[] = [];
	readonly disconnects: DisconnectReport[] = [];
	readonly changes = new Signal();
	#faults: { error: Error; context: FaultContext }[] = [];
	#port: number | null = null;
	readonly #clients: TestClient[] = [];

	/** Unless it is told otherwise the server takes mail for anyone and adds no field. */
	constructor({ queue, ...options }: BenchOptions = {}) {
		this.queue = new TestQueue(queue);
		const hooks = { recipient: acceptAnyone, ...options.hooks };
		this.server = new QmtpServer({ received: false, ...options, hooks, queue: this.queue });
		this.server.on("package", (report) => this.#note(this.reports, report));
		this.server.on("disconnect", (report) => this.#note(this.disconnects, report));
		this.server.on("fault", (error, context) => this.#note(this.#faults, { error, context }));
		onTestFinished(() => this.#finish());
	}

	/** A client in memory. */
	talk(peer: Peer = PEER): TestClient {
		const [ours, theirs] = duplexPair();
		this.serve(ours, peer);
		return this.client(theirs);
	}

	/** Serves one end of a connection that the test made. */
	serve(stream: Duplex | WebStreamPair, peer: Peer = PEER): Promise<void> {
		return this.server.serve(stream, peer);
	}

	/** A client at the other end of a connection that the test made. */
	client(duplex: Duplex, reads = true): TestClient {
		const client = new TestClient(duplex, reads);
		this.#clients.push(client);
		return client;
	}

	/** The port of the server on 127.0.0.1. */
	async port(): Promise<number> {
		this.#port ??= ((await this.server.listen({ port: 0, host: "127.0.0.1" })) as AddressInfo).port;
		return this.#port;
	}

	/** A client over TCP. */
	async connect(reads = true): Promise<TestClient> {
		const client = await TestClient.connect(await this.port(), reads);
		this.#clients.push(client);
		return client;
	}

	/** Sends packages over a connection of their own. @returns Their responses, and how the connection ended. */
	async exchange(text: string, peer?: Peer): Promise<string[]> {
		const before = this.disconnects.length;
		const client = this.talk(peer);
		client.end(text);
		const responses = await client.all();
		await this.disconnected(before + 1);
		return responses;
	}

	/** Resolves with the last report when `count` connections have ended. */
	async disconnected(count = 1): Promise<DisconnectReport> {
		await this.changes.until(() => this.disconnects.length >= count);
		return this.disconnects.at(-1) as DisconnectReport;
	}

	/** The messages of the faults told since the last call. What a test does not take makes it fail. */
	takeFaults(): string[] {
		const faults = this.#faults.map(({ error }) => error.message);
		this.#faults = [];
		return faults;
	}

	/** The only fault told since the last call. */
	takeFault(): { error: Error; context: FaultContext } {
		expect(this.#faults).toHaveLength(1);
		return this.#faults.pop() as { error: Error; context: FaultContext };
	}

	faulted(count = 1): Promise<void> {
		return this.changes.until(() => this.#faults.length >= count);
	}

	#note<T>(list: T[], item: T): void {
		list.push(item);
		this.changes.notify();
	}

	async #finish(): Promise<void> {
		this.server.destroy();
		await this.server.close();
		for (const { duplex } of this.#clients) duplex.destroy();
		expect(this.takeFaults(), "faults that the test did not expect").toEqual([]);
	}
}
