/**
 * The server: sockets in, sessions out. What a session does is in session.ts, what a package goes through in
 * transaction.ts.
 */
import type { AddressInfo, Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContextOptions } from "node:tls";
import { EventEmitter } from "eventemitter3";
import { ProtocolError, type TransportError, UsageError } from "../errors.js";
import type { Peer } from "../protocol/peer.js";
import { Timers } from "../timers.js";
import { Entrance } from "./entrance.js";
import { HeldBytes } from "./held-bytes.js";
import { addressOf, type ListenTarget, openListener } from "./listening.js";
import { newMessageId } from "./message-id.js";
import { type ServerOptions, type ServerSettings, serverSettings } from "./options.js";
import { publishConnection } from "./package-trace.js";
import { socketPeer } from "./peer.js";
import type { DisconnectReport, FaultContext, PackageReport } from "./reports.js";
import { Session } from "./session.js";
import type { SessionContext } from "./session-context.js";
import { Counts, type ServerStats } from "./stats.js";
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
	/** A connection was closed at once: there are as many as may be (`ERR_QMTP_CONNECTION_LIMIT`). */
	refused: (peer: Peer, error: TransportError) => void;
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
	readonly #counts = new Counts();
	readonly #heldBytes: HeldBytes;
	readonly #context: SessionContext;
	readonly #listeners = new Set<Server>();
	readonly #sessions = new Map<Session, Promise<void>>();
	readonly #entrance: Entrance;
	#closing: Promise<void> | null = null;

	/** @throws UsageError `ERR_QMTP_OPTION` if the options make no sense. */
	constructor(options: ServerOptions) {
		super();
		this.#settings = serverSettings(options);
		const { limits, timeouts } = this.#settings;
		this.#timers = new Timers(Math.min(...Object.values(timeouts)));
		this.#heldBytes = new HeldBytes(limits.heldBytes);
		this.#entrance = new Entrance({
			settings: this.#settings,
			start: (stream, peer) => this.#start(stream, peer),
			failed: (peer, error) => {
				this.#connected(peer);
				this.#disconnected({ peer, packages: 0, error });
			},
			refused: (peer, error) => {
				this.#counts.refused++;
				this.#tell("refused", peer, error);
			},
			fault: (error) => this.#fault(error, {}),
		});
		const server = this;
		this.#context = {
			settings: this.#settings,
			timers: this.#timers,
			counts: this.#counts,
			heldBytes: this.#heldBytes,
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
		return this.#sessions.size + this.#entrance.connections;
	}

	/** What the server has counted, and what there is now. It costs no more than making the object. */
	stats(): ServerStats {
		const { connections: accepted, refused, packages: answered, committing, responses } = this.#counts;
		const { bodyBytes, faults, protocolErrors } = this.#counts;
		return {
			connections: { open: this.connections, waiting: this.#entrance.waiting, accepted, refused },
			packages: { answered, committing },
			responses: { accepted: responses.K, deferred: responses.Z, rejected: responses.D },
			bodyBytes,
			heldBytes: this.#heldBytes.total,
			faults,
			protocolErrors,
		};
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
		const listener = await openListener(target, (socket, isLocal) => this.#entrance.accept(socket, isLocal));
		listener.on("error", (error) => this.#fault(error, {}));
		if (this.#closing !== null) listener.close();
		this.#assertOpen();
		this.#listeners.add(listener);
		const address = addressOf(listener);
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
		this.#entrance.updateSecureContext(options);
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

	#start(stream: Duplex | WebStreamPair, peer: Peer): Promise<void> {
		const session = new Session(openTransport(stream), peer, this.#context);
		this.#counts.connections++;
		// First it stands among the sessions, then others hear of it: a listener or a hook may close the server.
		const ended = Promise.resolve().then(() => this.#run(session, peer));
		this.#sessions.set(session, ended);
		if (this.#closing !== null) session.close(); // in the very turn in which a handshake was done
		return ended;
	}

	async #run(session: Session, peer: Peer): Promise<void> {
		this.#connected(peer);
		const report = await session.run();
		this.#sessions.delete(session);
		this.#disconnected(report);
	}

	#connected(peer: Peer): void {
		publishConnection(peer);
		this.#tell("connection", peer);
	}

	#disconnected(report: DisconnectReport): void {
		if (report.error instanceof ProtocolError) this.#counts.protocolErrors++;
		this.#tell("disconnect", report);
	}

	async #close(timeout: number): Promise<void> {
		const closed = [...this.#listeners].map((listener) => new Promise((resolve) => listener.close(resolve)));
		const entered = this.#entrance.close();
		for (const session of this.#sessions.keys()) session.close();
		const destroy = () => {
			for (const session of this.#sessions.keys()) session.destroy();
		};
		const late = timeout > LONGEST_TIMER ? undefined : setTimeout(destroy, timeout);
		await Promise.all([...this.#sessions.values(), entered, ...closed]);
		clearTimeout(late);
		this.#tell("close");
	}

	#assertOpen(): void {
		if (this.#closing !== null) throw new UsageError("ERR_QMTP_SERVER_STATE", "the server was closed");
	}

	#fault(error: Error, context: FaultContext): void {
		this.#counts.faults++;
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

const CLOSE_TIMEOUT = 30_000;
const LONGEST_TIMER = 2 ** 31 - 1; // what is longer Node makes 1 ms
