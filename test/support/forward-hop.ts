/** Next hops for tests of the queue that forwards, and servers in front of it. All is gone when the test is over. */
import { createHash, type Hash } from "node:crypto";
import { readdirSync, readlinkSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { accepted } from "../../src/protocol/response.js";
import { type ForwardQueue, type ForwardQueueOptions, forwardQueue } from "../../src/queue/forward.js";
import { type MemoryQueue, memoryQueue } from "../../src/queue/memory.js";
import type { Delivery, Queue } from "../../src/queue/queue.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import type { ServerOptions } from "../../src/server/options.js";
import type { DisconnectReport } from "../../src/server/reports.js";
import { QmtpServer } from "../../src/server/server.js";
import { Signal } from "./server-signal.js";

/** A QMTP server with a queue, which counts the deliveries that are under way. */
export class TestHop<Q extends Queue = MemoryQueue> {
	readonly port: number;
	readonly queue: Q;
	readonly server: QmtpServer;
	readonly disconnects: DisconnectReport[] = [];
	readonly changes = new Signal();
	readonly faults: Error[] = [];
	/** Connections at the same time, at most. */
	mostConnections = 0;
	#connections = 0;
	#underWay = 0;

	readonly #counted = (delivery: Delivery): Delivery => {
		this.#change(() => this.#underWay++);
		let ended = false;
		const end = () => {
			if (ended) return;
			ended = true;
			this.#change(() => this.#underWay--);
		};
		return {
			write: (bytes) => delivery.write(bytes),
			commit: (envelope) => delivery.commit(envelope).finally(end),
			abort: (reason) => delivery.abort(reason).finally(end),
		};
	};

	private constructor(server: QmtpServer, port: number, queue: Q) {
		this.server = server;
		this.port = port;
		this.queue = queue;
		server.on("fault", (error) => this.#change(() => this.faults.push(error)));
		server.on("disconnect", (report) => {
			this.#connections--;
			this.#change(() => this.disconnects.push(report));
		});
	}

	/** Starts one that takes mail for anyone and adds no field. It must be stopped. */
	static async start<Q extends Queue>(queue: Q, options: Partial<ServerOptions> = {}): Promise<TestHop<Q>> {
		let hop: TestHop<Q> | null = null;
		const counted: Queue = {
			...(queue.lines === undefined ? {} : { lines: queue.lines }),
			open: (info) => {
				const opened = queue.open(info);
				const counted = (hop as TestHop<Q>).#counted;
				return opened instanceof Promise ? opened.then(counted) : counted(opened);
			},
		};
		const hooks = {
			authorize: () => {
				(hop as TestHop<Q>).#connected();
				return true;
			},
			recipient: acceptAnyone,
			...options.hooks,
		};
		const limits = { messageBytes: 2 ** 31 };
		const server = new QmtpServer({ received: false, limits, ...options, hooks, queue: counted });
		const { port } = (await server.listen({ port: 0, host: "127.0.0.1" })) as AddressInfo;
		hop = new TestHop(server, port, queue);
		return hop;
	}

	async stop(): Promise<void> {
		this.server.destroy();
		await this.server.close();
	}

	/** Resolves when no delivery is under way. */
	rest(): Promise<void> {
		return this.changes.until(() => this.#underWay === 0);
	}

	#connected(): void {
		this.#connections++;
		this.mostConnections = Math.max(this.mostConnections, this.#connections);
		this.changes.notify();
	}

	#change(change: () => void): void {
		change();
		this.changes.notify();
	}
}

/** A next hop that keeps what it takes as it was sent, until the test is over. */
export async function startHop(options: Partial<ServerOptions> = {}): Promise<TestHop> {
	const hop = await TestHop.start(asSentQueue(), options);
	onTestFinished(() => hop.stop());
	return hop;
}

/** A memory queue that takes bodies as they are on the wire. */
export function asSentQueue(): MemoryQueue {
	return Object.assign(memoryQueue({ maxBytes: 2 ** 30 }), { lines: "as-sent" as const });
}

/** A queue that forwards to a port of this machine, and is closed when the test is over. */
export function forwardTo(port: number, options: ForwardQueueOptions = {}): ForwardQueue {
	const queue = forwardQueue({ host: "127.0.0.1", port, ...options });
	onTestFinished(() => queue.close());
	return queue;
}

/** A server in front of a queue, until the test is over. */
export async function startFront<Q extends Queue>(
	queue: Q,
	options: Partial<ServerOptions> = {},
): Promise<TestHop<Q>> {
	const front = await TestHop.start(queue, options);
	onTestFinished(() => front.stop());
	return front;
}

/** A queue that keeps the length and the hash of each message, and nothing else. */
export class HashQueue implements Queue {
	readonly lines = "as-sent";
	readonly messages: { readonly length: number; readonly hash: string }[] = [];

	open(): Delivery {
		const hash: Hash = createHash("sha256");
		let length = 0;
		return {
			write: (bytes) => {
				hash.update(bytes);
				length += bytes.length;
			},
			commit: async ({ recipients }) => {
				this.messages.push({ length, hash: hash.digest("hex") });
				return recipients.map(() => accepted());
			},
			abort: async () => {},
		};
	}
}

/** The spool files that this process has open; only Linux tells. */
export function openSpools(): string[] {
	if (process.platform !== "linux") return [];
	const targets = readdirSync("/proc/self/fd").map((descriptor) => {
		try {
			return readlinkSync(`/proc/self/fd/${descriptor}`);
		} catch {
			return ""; // the one with which the directory was read
		}
	});
	return targets.filter((target) => /\/qmtp-[0-9a-f-]+ \(deleted\)$/.test(target));
}
