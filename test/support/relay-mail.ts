/** Relays over spools of tests, with a clock that the test moves. All is gone when the test is over. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { type ParsedMail, simpleParser } from "mailparser";
import { onTestFinished } from "vitest";
import { type MemoryQueue, memoryQueue } from "../../src/queue/memory.js";
import type { SpoolQueue, SpoolQueueOptions } from "../../src/queue/spool.js";
import type { Clock } from "../../src/relay/clock.js";
import { Relay, type RelayEvents, type RelayOptions } from "../../src/relay/relay.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { newMessageId } from "../../src/server/message-id.js";
import type { ServerOptions } from "../../src/server/options.js";
import { QmtpServer } from "../../src/server/server.js";
import { messageInfo } from "./queue-message-info.js";
import { TestSpool } from "./queue-spool.js";
import { Signal } from "./server-signal.js";

/** A clock that stands still until the test moves it. */
export class TestClock implements Clock {
	#now: number;
	readonly #sleepers = new Set<{ readonly until: number; wake(): void }>();

	constructor(now: number = START) {
		this.#now = now;
	}

	readonly now = (): number => this.#now;

	readonly sleep = (ms: number, signal: AbortSignal): Promise<void> =>
		new Promise((resolve) => {
			const sleeper = {
				until: this.#now + ms,
				wake: () => {
					this.#sleepers.delete(sleeper);
					resolve();
				},
			};
			this.#sleepers.add(sleeper);
			signal.addEventListener("abort", sleeper.wake, { once: true });
			if (ms <= 0 || signal.aborted) sleeper.wake();
		});

	/** Moves on to this time. */
	moveTo(time: number): void {
		this.#now = Math.max(time, this.#now);
		for (const { until, wake } of [...this.#sleepers]) if (until <= this.#now) wake();
	}
}

/** 1 March 2026. */
export const START: number = Date.UTC(2026, 2, 1);

/** What a relay has told, in order. */
export type Told = {
	[Name in keyof RelayEvents]: readonly [Name, ...Parameters<RelayEvents[Name]>];
}[keyof RelayEvents];

/** A relay, its spool, and what it tells. */
export interface TestRelay {
	readonly relay: Relay;
	readonly spool: SpoolQueue;
	readonly clock: TestClock;
	readonly told: Told[];
	readonly changes: Signal;
	/** Puts a message into the spool. @returns Its id. */
	put(mail: Partial<TestMail>): Promise<string>;
	/** What was told by one event. */
	all<Name extends keyof RelayEvents>(name: Name): Parameters<RelayEvents[Name]>[0][];
	/** Resolves when an event of this name has come so many times. */
	until(name: keyof RelayEvents, count: number): Promise<void>;
}

/** A message to be put into a spool. */
export interface TestMail {
	readonly sender: string;
	readonly recipients: readonly string[];
	readonly body: string | Buffer;
}

/** A relay that is started over a spool of its own. */
export async function startRelay(
	options: Omit<RelayOptions, "source"> & { readonly spoolOptions?: Partial<SpoolQueueOptions> },
): Promise<TestRelay> {
	const test = await makeRelay(options);
	await test.relay.start();
	return test;
}

/** The same, not started. */
export async function makeRelay({
	spoolOptions,
	...options
}: Omit<RelayOptions, "source"> & {
	readonly spoolOptions?: Partial<SpoolQueueOptions>;
}): Promise<TestRelay> {
	const clock = new TestClock();
	const folder = await TestSpool.create();
	// The clock leaps, and a lease is not to run out by that.
	const spool = folder.queue({ lease: 2 ** 31 - 1, poll: 5, now: clock.now, ...spoolOptions });
	const random = () => 0.5; // no chance
	const relay = new Relay({ source: spool, clock, random, hostname: "relay.example.org", ...options });
	const told: Told[] = [];
	const changes = new Signal();
	for (const name of EVENTS) {
		relay.on(name, (...values: unknown[]) => {
			told.push([name, ...values] as unknown as Told);
			changes.notify();
		});
	}
	onTestFinished(async () => {
		relay.destroy();
		await relay.close();
		await folder.remove();
	});
	const count = (name: keyof RelayEvents) => told.filter(([one]) => one === name).length;
	return {
		...{ relay, spool, clock, told, changes },
		put: (mail) => putInto(spool, mail),
		all: (name) => told.filter(([one]) => one === name).map(([, value]) => value) as never,
		until: (name, times) => changes.until(() => count(name) >= times),
	};
}

/** Puts a message into a spool. @returns Its id. */
export async function putInto(spool: SpoolQueue, mail: Partial<TestMail>): Promise<string> {
	const {
		sender = "sender@example.org",
		recipients = ["one@example.com"],
		body = "Subject: test\n\nhello\n",
	} = mail;
	const bytes = Buffer.from(body as string);
	const id = newMessageId();
	const delivery = await spool.open(messageInfo({ id, length: bytes.length }));
	await delivery.write(bytes);
	const responses = await delivery.commit({ sender, recipients });
	if (responses.some(({ status }) => status !== "K")) throw new Error(JSON.stringify(responses));
	return id;
}

/** A next hop, or a port where one will be. */
export interface RelayHop {
	readonly port: number;
	readonly url: string;
	readonly queue: MemoryQueue;
	readonly changes: Signal;
	start(): Promise<void>;
	stop(): Promise<void>;
	/** Resolves when it has so many messages. */
	until(messages: number): Promise<void>;
}

/** A QMTP server on a port where nobody listens until it is started. */
export async function hopOnPort(options: Partial<ServerOptions> = {}): Promise<RelayHop> {
	const probe = createServer().listen(0, "127.0.0.1");
	await once(probe, "listening");
	const { port } = probe.address() as AddressInfo;
	probe.close();
	await once(probe, "close");
	const queue = memoryQueue();
	const changes = new Signal();
	let server: QmtpServer | null = null;
	const stop = async () => {
		server?.destroy();
		await server?.close();
		server = null;
	};
	onTestFinished(stop);
	return {
		...{ port, url: `qmtp://127.0.0.1:${port}`, queue, changes, stop },
		async start() {
			server = new QmtpServer({ received: false, hooks: { recipient: acceptAnyone }, ...options, queue });
			server.on("package", () => changes.notify());
			await server.listen({ port, host: "127.0.0.1" });
		},
		until: (messages) => changes.until(() => queue.messages.length >= messages),
	};
}

/** The same, started. */
export async function startHop(options: Partial<ServerOptions> = {}): Promise<RelayHop> {
	const hop = await hopOnPort(options);
	await hop.start();
	return hop;
}

/** A bounce, as others read it. */
export interface ReadBounce {
	readonly mail: ParsedMail;
	/** The fields about the message, and those about each recipient, by their names in lower case. */
	readonly message: ReadonlyMap<string, string>;
	readonly recipients: readonly ReadonlyMap<string, string>[];
	/** The last part: its type and its text. */
	readonly original: { readonly type: string; readonly text: string } | null;
}

/** Reads a bounce by mailparser, and its fields by the rules of RFC 3464. */
export async function readBounce(body: Uint8Array): Promise<ReadBounce> {
	const mail = await simpleParser(Buffer.from(body), { keepDeliveryStatus: true } as object);
	const [status, original] = mail.attachments;
	if (status?.contentType !== "message/delivery-status") throw new Error("there is no delivery-status");
	const groups = status.content
		.toString()
		.replace(/\r\n/g, "\n")
		.trim()
		.split("\n\n")
		.map((group) => {
			const fields = group.replace(/\n[ \t]+/g, " ").split("\n");
			return new Map(
				fields.map((field) => {
					const [, name = "", value = ""] = /^([\w-]+): (.*)$/.exec(field) ?? [];
					if (name === "") throw new Error(`this is no field: ${field}`);
					return [name.toLowerCase(), value] as const;
				}),
			);
		});
	const [message = new Map<string, string>(), ...recipients] = groups;
	const part =
		original === undefined ? null : { type: original.contentType, text: original.content.toString() };
	return { mail, message, recipients, original: part };
}

const EVENTS = ["delivered", "deferred", "bounced", "dropped", "rest", "back", "fault", "close"] as const;
