/** What serves in one process: the doors, with the queue and the hooks behind them. */
import { hostname as systemHostname } from "node:os";
import type { Queue } from "../../queue/queue.js";
import type { Source } from "../../queue/source.js";
import type { Relay } from "../../relay/relay.js";
import type { ConnectionLimiter } from "../../server/connection-limit.js";
import { QmtpServer } from "../../server/server.js";
import type { ListenAddress } from "../listening-lines.js";
import { follow } from "../log.js";
import { type NamedQueue, namedQueue, prepareQueue } from "../queues.js";
import type { TlsFileContents } from "../tls-files.js";
import { type AccessSources, accessHooks, prepareAccess } from "./access.js";
import { Doors } from "./doors.js";
import type { NamedServer } from "./metrics-door.js";
import type { ServeSettings } from "./settings.js";
import { openSmtpDoor } from "./smtp-door.js";
import type { DoorName, DoorTargets } from "./sockets.js";
import { tlsServer } from "./tls-door.js";

/** What a service gets from outside. */
export interface ServiceParts {
	readonly limit: ConnectionLimiter;
	/** Null without TLS. */
	readonly tls: TlsFileContents | null;
	/** Connections at once at the door for SMTP, which counts its own. */
	readonly smtpConnections: number;
}

/** Where the doors listen. */
export type DoorAddresses = Readonly<Record<DoorName, readonly ListenAddress[]>>;

/** The doors of one process, and what is behind them. */
export class Service {
	readonly doors: Doors;
	readonly access: AccessSources;
	readonly #settings: ServeSettings;
	readonly #named: NamedQueue;
	readonly #plain: QmtpServer;
	readonly #tls: QmtpServer | null;
	readonly #smtpOptions: Parameters<typeof openSmtpDoor>[0];
	#relay: Relay | null = null;
	#open: () => void = () => {};
	#userChanged: () => void = () => {};

	private constructor(
		settings: ServeSettings,
		access: AccessSources,
		named: NamedQueue,
		parts: ServiceParts,
	) {
		const { hostname, limits, closeTimeout, proxies, log } = settings;
		// No client is let in before the process is who it is to be, and the queue is there.
		const ready = new Promise<void>((resolve) => {
			this.#open = resolve;
		});
		const common = {
			queue: named.queue,
			hooks: accessHooks(access, ready),
			hostname: hostname ?? access.control?.me ?? systemHostname(),
		};
		const options = {
			...common,
			addressEncoding: named.addressEncoding,
			limits,
			connectionLimit: settings.changesUser ? this.#lateLimit(parts.limit) : parts.limit,
			proxyProtocol: proxies,
		};
		this.#settings = settings;
		this.access = access;
		this.#named = named;
		this.#plain = new QmtpServer(options);
		this.#tls = parts.tls === null ? null : tlsServer(options, parts.tls);
		this.doors = new Doors(closeTimeout);
		for (const server of [this.#plain, this.#tls]) {
			if (server === null) continue;
			follow(server, log);
			this.doors.add(server);
		}
		const { messageBytes } = limits;
		this.#smtpOptions = {
			...common,
			limits: { connections: parts.smtpConnections, ...(messageBytes === undefined ? {} : { messageBytes }) },
			timeouts: { close: closeTimeout },
		};
	}

	/** One that does not listen yet. @throws WrongUse, or an Error that says which file cannot be used, and why. */
	static async make(settings: ServeSettings, parts: ServiceParts): Promise<Service> {
		const access = settings.accessSources();
		const named = await namedQueue(settings.queue, "queue", (error) => settings.log.fault(error, {}));
		await prepareAccess(access);
		return new Service(settings, access, named, parts);
	}

	/** The servers of QMTP, for those who count. */
	get servers(): readonly NamedServer[] {
		const plain = { name: "plain", server: this.#plain };
		return this.#tls === null ? [plain] : [plain, { name: "tls", server: this.#tls }];
	}

	/** New certificates for connections to come. @throws UsageError if they cannot be used. */
	updateCertificates(contents: TlsFileContents): void {
		this.#tls?.updateSecureContext(contents);
	}

	/**
	 * Listens at all doors, becomes the user, and makes the queue ready. Clients wait until `open()`.
	 *
	 * @throws An Error that says what cannot be had, in one line.
	 */
	async listen(targets: DoorTargets): Promise<DoorAddresses> {
		const { log, connections, changesUser, becomeUser, accessSources } = this.#settings;
		const addresses = { qmtp: [], qmtps: [], smtp: [] } as Record<DoorName, ListenAddress[]>;
		// One after the other: workers ask their primary for sockets in the same order, and so get the same ones.
		for (const [name, server] of [["qmtp", this.#plain] as const, ["qmtps", this.#tls] as const]) {
			for (const target of targets[name]) {
				const address = await (server as QmtpServer).listen(target);
				log.listening(address, connections.connections);
				addresses[name].push(address);
			}
		}
		for (const target of targets.smtp) {
			const door = await openSmtpDoor(this.#smtpOptions, target, log);
			this.doors.add(door);
			addresses.smtp.push(door.address);
		}
		becomeUser();
		this.#userChanged();
		// What only root can read could not be read again when it changes.
		if (changesUser) await prepareAccess(accessSources());
		await prepareQueue(this.#named);
		await this.#startRelay();
		return addresses;
	}

	/** Lets the clients in. */
	open(): void {
		this.#open();
	}

	/** Drops all that there is. */
	destroy(): void {
		this.#relay?.destroy();
		this.doors.destroy();
		this.doors.close().catch(() => {});
		this.closeQueue().catch(() => {}); // one that goes on trying to connect would keep the process
	}

	/** When all doors are closed. */
	async closeQueue(): Promise<void> {
		await this.#relay?.close();
		await this.#named.queue.close?.();
	}

	/** Nothing of a connection is read before the process is who it is to be: neither a PROXY header nor a handshake. */
	#lateLimit(limit: ConnectionLimiter): ConnectionLimiter {
		const changed = new Promise<void>((resolve) => {
			this.#userChanged = resolve;
		});
		return { enter: (address, signal) => changed.then(() => limit.enter(address, signal)) };
	}

	async #startRelay(): Promise<void> {
		const { relay, log, hostname } = this.#settings;
		if (relay === undefined) return;
		const { startRelay } = await import("../relay.js");
		const source = this.#named.queue as Queue & Source; // nothing else is let through to here
		const options = hostname === undefined ? {} : { hostname };
		this.#relay = await startRelay(source, relay, (line) => log.note(`relay: ${line}`), options);
	}
}
