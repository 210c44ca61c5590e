/**
 * Exchanges of tests: hosts on loopback addresses of their own, which all listen on the same two ports, and a resolver
 * that knows what the test tells it. All of it is gone when the test is over.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { expect, onTestFinished } from "vitest";
import { TransportError } from "../../src/errors.js";
import { type MemoryQueue, memoryQueue } from "../../src/queue/memory.js";
import type { LookupOptions, Resolver } from "../../src/routing/resolver.js";
import type { RouterOptions } from "../../src/routing/router/options.js";
import type { RoutedMail } from "../../src/routing/router/result.js";
import { type DeliverOptions, MailRouter } from "../../src/routing/router.js";
import type { MxRecord } from "../../src/routing/routes.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import type { ServerOptions } from "../../src/server/options.js";
import { QmtpServer } from "../../src/server/server.js";
import { textOf } from "./bytes.js";
import { type Script, ScriptedConnection } from "./client-server.js";
import { Signal } from "./server-signal.js";
import { type ReceivedMail, SmtpPeer, type SmtpScript } from "./smtp-peer.js";

/** The ports of all hosts. They are no ports that the system gives away by itself. */
export const PORTS = { qmtp: 12_209, smtp: 12_525 } as const;

/** An address that no other test has. */
export function freshAddress(): string {
	taken++;
	return `127.${100 + ((process.pid >> 8) % 100)}.${process.pid & 0xff}.${1 + (taken % 254)}`;
}

/** A QMTP server of ours at an address. */
export interface QmtpHost {
	readonly server: QmtpServer;
	/** Connections so far. */
	connections: number;
	readonly changes: Signal;
	/** What it took: `body` for `recipient, recipient`. */
	readonly mail: string[];
}

/** Starts one, which takes mail for anyone. */
export async function qmtpHost(address: string, options: Partial<ServerOptions> = {}): Promise<QmtpHost> {
	const queue = options.queue ?? memoryQueue();
	const server = new QmtpServer({ received: false, hooks: { recipient: acceptAnyone }, ...options, queue });
	const host: QmtpHost = {
		server,
		connections: 0,
		changes: new Signal(),
		get mail() {
			const { messages = [] } = queue as Partial<MemoryQueue>;
			return messages.map(({ body, recipients }) => `${textOf(body)} for ${recipients.join(", ")}`);
		},
	};
	server.on("connection", () => {
		host.connections++;
		host.changes.notify();
	});
	server.on("disconnect", () => host.changes.notify());
	await server.listen({ host: address, port: PORTS.qmtp });
	onTestFinished(async () => {
		server.destroy();
		await server.close();
	});
	return host;
}

/** A QMTP server at an address that does what a script says. */
export async function scriptedHost(
	address: string,
	script: Script,
): Promise<{ readonly connections: ScriptedConnection[]; readonly changes: Signal; stopListening(): void }> {
	const connections: ScriptedConnection[] = [];
	const changes = new Signal();
	const failures: unknown[] = [];
	const stopListening = await listen(address, PORTS.qmtp, (socket) => {
		const connection = new ScriptedConnection(socket, connections.length);
		connections.push(connection);
		Promise.resolve(connection)
			.then(script)
			.catch((error) => failures.push(error));
		changes.notify();
	});
	onTestFinished(() => expect(failures, "scripts that failed").toEqual([]));
	return { connections, changes, stopListening };
}

/** An SMTP server at an address. */
export interface SmtpHost {
	readonly peers: SmtpPeer[];
	readonly changes: Signal;
	readonly messages: ReceivedMail[];
}

/** Starts one, with a script for each connection; the last one is for all further ones too. */
export async function smtpHost(address: string, ...scripts: SmtpScript[]): Promise<SmtpHost> {
	const peers: SmtpPeer[] = [];
	const changes = new Signal();
	await listen(address, PORTS.smtp, (socket) => {
		const script = scripts[Math.min(peers.length, scripts.length - 1)] ?? {};
		const peer = new SmtpPeer(socket, peers.length, script);
		peers.push(peer);
		peer.play();
		changes.notify();
	});
	return {
		peers,
		changes,
		get messages() {
			return peers.flatMap(({ messages }) => messages);
		},
	};
}

async function listen(address: string, port: number, take: (socket: Socket) => void): Promise<() => void> {
	const server = createServer({ allowHalfOpen: port === PORTS.qmtp, noDelay: true });
	const sockets = new Set<Socket>();
	server.on("connection", (socket) => {
		sockets.add(socket);
		take(socket);
	});
	server.listen(port, address);
	await once(server, "listening");
	const closed = once(server, "close");
	let open = true;
	const stop = () => {
		if (open) server.close();
		open = false;
	};
	onTestFinished(async () => {
		stop();
		for (const socket of sockets) socket.destroy();
		await closed;
	});
	return stop;
}

/** What a resolver says: the answer, a code of a failure, or whatever a function comes to. */
type Told<T> =
	| readonly T[]
	| "ERR_QMTP_DNS"
	| "ERR_QMTP_DNS_NAME"
	| ((options: LookupOptions) => Promise<T[]>);

/** What a resolver knows. A name that it has not been told of is not there. */
export interface Zone {
	/** Records, such as `"10 mx.example"`. */
	readonly mx?: Readonly<Record<string, Told<string>>>;
	readonly addresses?: Readonly<Record<string, Told<string>>>;
}

/** A resolver, and what it was asked. */
export class ZoneResolver implements Resolver {
	readonly questions: string[] = [];
	readonly changes = new Signal();
	readonly #zone: Zone;

	constructor(zone: Zone) {
		this.#zone = zone;
	}

	async mx(domain: string, options: LookupOptions = {}): Promise<readonly MxRecord[]> {
		const records = await this.#ask(`mx ${domain}`, this.#zone.mx?.[domain], options);
		return records.map((record) => {
			const [preference, exchange = ""] = record.split(" ");
			return { preference: Number(preference), exchange };
		});
	}

	addresses(host: string, options: LookupOptions = {}): Promise<readonly string[]> {
		return this.#ask(`addresses ${host}`, this.#zone.addresses?.[host], options);
	}

	async #ask(
		question: string,
		told: Told<string> = "ERR_QMTP_DNS_NAME",
		options: LookupOptions,
	): Promise<readonly string[]> {
		this.questions.push(question);
		this.changes.notify();
		if (typeof told === "function") return await told(options);
		if (typeof told === "string") throw new TransportError(told, `the test says so of ${question}`);
		return told;
	}
}

/** A router with this zone, which is destroyed when the test is over. */
export function routerFor(
	zone: Zone,
	options: RouterOptions = {},
): { readonly router: MailRouter; readonly resolver: ZoneResolver } {
	const resolver = new ZoneResolver(zone);
	// In their order, without chance: of equal records the first one stays the first.
	const random = () => 0.999_999;
	const router = new MailRouter({ resolver, ports: PORTS, hostname: "router.test", random, ...options });
	onTestFinished(async () => {
		router.destroy();
		await router.close();
	});
	return { router, resolver };
}

/** A zone of one exchange for one domain. */
export function oneExchange(address: string, preference: number, domain = "example.com"): Zone {
	return {
		mx: { [domain]: [`${preference} mx.${domain}`] },
		addresses: { [`mx.${domain}`]: [address] },
	};
}

/** What to deliver, unless told otherwise. */
export function routed(options: Partial<DeliverOptions> = {}): DeliverOptions {
	return {
		sender: "sender@example.org",
		recipients: ["a@example.com"],
		message: "Subject: hello\n\nhello\n",
		...options,
	};
}

/** A line for each recipient: status, protocol and address, and what was tried before. */
export function outcomes({ responses }: RoutedMail): string[] {
	return responses.map(({ status, protocol, address, error, tried }) =>
		[
			[status, protocol, address, error?.code].filter(Boolean).join(" "),
			...tried.map((attempt) =>
				[attempt.protocol, attempt.address || attempt.host, attempt.error.code].join(" "),
			),
		].join(" < "),
	);
}

let taken = 0;
