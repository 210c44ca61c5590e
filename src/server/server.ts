/**
 * The server: sockets in, sessions out. What a session does is in session.ts, what a package goes through in
 * transaction.ts.
 */
import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import { EventEmitter } from "eventemitter3";
import { TransportError, UsageError } from "../errors.js";
import type { Peer } from "../protocol/peer.js";
import { Timers } from "../timers.js";
import { newMessageId } from "./message-id.js";
import { type ServerOptions, type ServerSettings, serverSettings } from "./options.js";
import { socketPeer } from "./peer.js";
import { proxiedPeer } from "./proxy/peer.js";
import { readProxyHeader } from "./proxy/read.js";
import type { DisconnectReport, FaultContext, PackageReport } from "./reports.js";
import { Session, type SessionContext } from "./session.js";
import { TlsAcceptor } from "./tls.js";
import { tlsPeer } from "./tls-peer.js";
import { openTransport, type WebStreamPair } from "./transport.js";

/**
 * Events of a {@link QmtpServer}. They tell, and nothing depends on them: what is decided is decided by hooks. A
 * listener that throws is a fault.
 */
export interface ServerEvents {
	/** A socket listens. `address` is a path for a Unix socket. */
	listening: (address: AddressInfo | string) => void;
	/** A client has connected; with TLS, its handshake is done, or has failed: then `disconnect` follows at once. */
	connection: (peer: Peer) => void;
	/** A package has its responses; they may not have been sent yet. */
	package: (report: PackageReport) => void;
	/** A connection has ended. */
	disconnect: (report: DisconnectReport) => void;
	/**
	 * Something failed that is neither the client's fault nor the caller's: a hook that threw, a queue that could not
	 * store. Its mail was answered Z (or D). Without a listener it goes to console.error.
	 */
	fault: (error: Error, context: FaultContext) => void;
	/** The server has closed, and all its connections have ended. */
	close: () => void;
}

/** Where to listen: a port, a path of a Unix socket, or a descriptor that listens already. */
export interface ListenTarget {
	/**
	 * 0 picks a free one.
	 * @defaultValue 209
	 */
	readonly port?: number;
	/** An address of this host; all addresses if it is left out. */
	readonly host?: string;
	/** The path of a Unix socket to make. */
	readonly path?: string;
	/** A descriptor that listens already. */
	readonly fd?: number;
}

/** Options of `server.close()`. */
export interface CloseOptions {
	/**
	 * How long connections get to finish, in milliseconds; what is left then is dropped unanswered.
	 * @defaultValue 30000
	 */
	readonly timeout?: number;
}

/**
 * A QMTP server.
 *
 * It answers K only when the queue has committed a message, and takes no mail for strangers: with no `recipient` hook
 * and no right to relay every recipient is rejected.
 *
 * Source: D. J. Bernstein, "Quick Mail Transfer Protocol (QMTP)", sections 2 and 5 to 7.
 */
export class QmtpServer extends EventEmitter<ServerEvents> {
	readonly #settings: ServerSettings;
	readonly #timers: Timers;
	readonly #context: SessionContext;
	readonly #listeners = new Set<Server>();
	readonly #sessions = new Map<Session, Promise<void>>();
	readonly #accepted = new Set<Promise<void>>(); // sockets that a listener of ours accepted, until they are done with
	readonly #headers = new Set<Socket>(); // of which a PROXY header is being read
	readonly #tls: TlsAcceptor | null;
	#closing: Promise<void> | null = null;

	/** @throws UsageError `ERR_QMTP_OPTION` if the options make no sense. */
	constructor(options: ServerOptions) {
		super();
		this.#settings = serverSettings(options);
		const { tls, timeouts } = this.#settings;
		this.#tls = tls === null ? null : new TlsAcceptor(tls, Math.min(timeouts.idle, HANDSHAKE_TIMEOUT));
		this.#timers = new Timers(Math.min(...Object.values(timeouts)));
		const server = this;
		this.#context = {
			settings: this.#settings,
			timers: this.#timers,
			newId: newMessageId,
			get reportsPackages() {
				return server.listenerCount("package") > 0;
			},
			package: (report) => this.#tell("package", report),
			fault: (error, context) => this.#fault(error, context),
		};
	}

	/** Connections at the moment, those whose PROXY header or TLS handshake is under way among them. */
	get connections(): number {
		return this.#sessions.size + this.#headers.size + (this.#tls?.handshakes ?? 0);
	}

	/**
	 * Starts to listen. It may be called more than once, for several addresses.
	 *
	 * @returns The address in use; for a Unix socket its path.
	 * @throws TransportError `ERR_QMTP_LISTEN`; `cause` is the system's error. UsageError `ERR_QMTP_SERVER_STATE` after
	 * `close()`.
	 */
	listen(target: ListenTarget & { readonly path: string }): Promise<string>;
	listen(target?: ListenTarget & { readonly path?: never; readonly fd?: never }): Promise<AddressInfo>;
	listen(target: ListenTarget): Promise<AddressInfo | string>;
	async listen(target: ListenTarget = {}): Promise<AddressInfo | string> {
		this.#assertOpen();
		// A client's end of input must not end our side; and small reads would cost more than the parsing.
		const listener = createServer({
			allowHalfOpen: true,
			noDelay: true,
			highWaterMark: SOCKET_HIGH_WATER_MARK,
		});
		listener.on("connection", (socket) => this.#accept(socket, listener));
		const { path, fd, host, port = DEFAULT_PORT } = target;
		let options: ListenOptions & { fd?: number };
		if (fd !== undefined) options = { fd };
		else if (path !== undefined) options = { path };
		else options = host === undefined ? { port } : { port, host };
		await new Promise<void>((resolve, reject) => {
			listener.once("error", reject);
			listener.listen(options, resolve); // it throws what it can tell at once
		}).catch((cause) => {
			throw listenError(options, cause);
		});
		listener.removeAllListeners("error");
		listener.on("error", (error) => this.#fault(error, {}));
		if (this.#closing !== null) listener.close();
		this.#assertOpen();
		this.#listeners.add(listener);
		const address = listener.address() as AddressInfo | string;
		this.#tell("listening", address);
		return address;
	}

	/**
	 * Runs one session over a stream that the caller made: a Duplex (a socket, a TLS socket, a pipe) or a pair of Web
	 * Streams. The stream is the server's from now on, and destroyed at the end. Limits on connections do not count it.
	 *
	 * @param peer - Who is at the other end; for a socket, and one of TLS, it is known.
	 * @returns Resolves when the session has ended, however it did.
	 * @throws UsageError `ERR_QMTP_SERVER_STATE` after `close()`.
	 */
	async serve(stream: Duplex | WebStreamPair, peer: Peer = socketPeer(stream as Socket)): Promise<void> {
		this.#assertOpen();
		await this.#start(stream, peer);
	}

	/**
	 * New certificates, or what else `tls.createSecureContext` takes, for connections to come; those that there are go on.
	 * What is left out stays as it is.
	 *
	 * @throws UsageError `ERR_QMTP_OPTION` if they cannot be used, and then the old ones stay; `ERR_QMTP_SERVER_STATE` if
	 * the server was made without `tls`.
	 */
	updateSecureContext(options: SecureContextOptions): void {
		if (this.#tls === null) {
			const message = "the server speaks no TLS: give it the option tls when it is made";
			throw new UsageError("ERR_QMTP_SERVER_STATE", message);
		}
		this.#tls.update(options);
	}

	/**
	 * Closes the server: no more connections are taken; the package that each connection is sending is finished and
	 * answered, and so is every one before it; then the connection is closed. Resolves when all have ended. The queue
	 * is not closed: whoever made it may close it then.
	 */
	close(options: CloseOptions = {}): Promise<void> {
		this.#closing ??= this.#close(options.timeout ?? CLOSE_TIMEOUT);
		return this.#closing;
	}

	/** Closes the server and all connections now. Commits under way go on, and their answers are dropped. */
	destroy(): void {
		this.#closing ??= this.#close(0);
		for (const session of this.#sessions.keys()) session.destroy();
	}

	/** The same as `close()`, for `await using`. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	#accept(socket: Socket, listener: Server): void {
		// A client that has reset the connection already has no address any more. No rule for addresses would find it.
		const isNobody = socket.remoteAddress === undefined && typeof listener.address() === "object";
		if (isNobody || this.#closing !== null || this.#accepted.size >= this.#settings.limits.connections) {
			socket.destroy();
			return;
		}
		const peer = socketPeer(socket);
		const isProxy = this.#settings.isProxy(peer.remoteAddress);
		const ended = isProxy ? this.#behindProxy(socket, peer) : this.#begin(socket, peer);
		this.#accepted.add(ended);
		ended.then(() => this.#accepted.delete(ended));
	}

	/** Reads who the client is, first. */
	async #behindProxy(socket: Socket, proxy: Peer): Promise<void> {
		let peer: Peer;
		this.#headers.add(socket);
		try {
			const timeout = Math.min(this.#settings.timeouts.idle, HANDSHAKE_TIMEOUT);
			peer = proxiedPeer(proxy, await readProxyHeader(socket, { timeout }));
		} catch (error) {
			this.#tell("connection", proxy);
			this.#tell("disconnect", { peer: proxy, packages: 0, error: error as Error });
			return;
		} finally {
			this.#headers.delete(socket);
		}
		if (this.#closing === null) await this.#begin(socket, peer);
		else socket.destroy();
	}

	#begin(socket: Socket, peer: Peer): Promise<void> {
		return this.#tls === null ? this.#start(socket, peer) : this.#secure(this.#tls, socket, peer);
	}

	/** Speaks TLS first. */
	async #secure(tls: TlsAcceptor, socket: Socket, peer: Peer): Promise<void> {
		let stream: TLSSocket;
		try {
			stream = await tls.secure(socket);
		} catch (error) {
			this.#tell("connection", peer);
			this.#tell("disconnect", { peer, packages: 0, error: error as TransportError });
			return;
		}
		const secured = tlsPeer(stream);
		await this.#start(stream, secured === undefined ? peer : { ...peer, tls: secured });
	}

	#start(stream: Duplex | WebStreamPair, peer: Peer): Promise<void> {
		const session = new Session(openTransport(stream), peer, this.#context);
		// First it stands among the sessions, then others hear of it: a listener or a hook may close the server.
		const ended = Promise.resolve().then(() => this.#run(session, peer));
		this.#sessions.set(session, ended);
		if (this.#closing !== null) session.close(); // in the very turn in which a handshake was done
		return ended;
	}

	async #run(session: Session, peer: Peer): Promise<void> {
		this.#tell("connection", peer);
		const report = await session.run();
		this.#sessions.delete(session);
		this.#tell("disconnect", report);
	}

	async #close(timeout: number): Promise<void> {
		const closed = [...this.#listeners].map((listener) => new Promise((resolve) => listener.close(resolve)));
		this.#tls?.destroy(); // no mail has begun there, and in what comes next
		for (const socket of this.#headers) socket.destroy();
		for (const session of this.#sessions.keys()) session.close();
		const destroy = () => {
			for (const session of this.#sessions.keys()) session.destroy();
		};
		const late = timeout > LONGEST_TIMER ? undefined : setTimeout(destroy, timeout);
		await Promise.all([...this.#sessions.values(), ...this.#accepted, ...closed]);
		clearTimeout(late);
		this.#tell("close");
	}

	#assertOpen(): void {
		if (this.#closing !== null) throw new UsageError("ERR_QMTP_SERVER_STATE", "the server was closed");
	}

	#fault(error: Error, context: FaultContext): void {
		if (this.listenerCount("fault") === 0) console.error("qmtp: fault:", error);
		else this.#tell("fault", error, context);
	}

	/** Events tell: a listener that throws must not end the session that it was told about. */
	#tell<Name extends keyof ServerEvents>(name: Name, ...values: Parameters<ServerEvents[Name]>): void {
		try {
			this.emit(name, ...(values as Parameters<EventEmitter.EventListener<ServerEvents, Name>>));
		} catch (error) {
			if (name === "fault") console.error("qmtp: a listener of fault events threw:", error);
			else this.#fault(error instanceof Error ? error : new Error(String(error)), {});
		}
	}
}

function listenError(options: ListenOptions & { fd?: number }, cause: NodeJS.ErrnoException): TransportError {
	const { fd, path, host = "*", port } = options;
	const where = fd === undefined ? (path ?? `${host}:${port}`) : `descriptor ${fd}`;
	const privileged = cause.code === "EACCES" && port !== undefined && port < 1024;
	const reason =
		(REASONS[cause.code ?? ""] ?? cause.message) + (privileged ? ": ports below 1024 are root's" : "");
	return new TransportError("ERR_QMTP_LISTEN", `cannot listen on ${where}: ${reason}`, { cause });
}

const REASONS: Readonly<Record<string, string>> = {
	EADDRINUSE: "the address is in use already",
	EACCES: "permission denied",
	EADDRNOTAVAIL: "the address is not one of this host's",
	ENOTFOUND: "there is no host by that name",
};

const DEFAULT_PORT = 209;
const CLOSE_TIMEOUT = 30_000;
const HANDSHAKE_TIMEOUT = 30_000;
const LONGEST_TIMER = 2 ** 31 - 1; // what is longer Node makes 1 ms
// Node 20's own is 16 KiB, less than one read of a socket.
const SOCKET_HIGH_WATER_MARK = 256 * 1024;
