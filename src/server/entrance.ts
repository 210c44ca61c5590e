/**
 * What happens to a socket between a listener's accept and its session: it gets a place, or waits for one; then the PROXY
 * header is read, where a proxy is trusted to send one, and TLS is spoken, where the server does. No mail has begun here,
 * so whatever goes wrong just closes the socket.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContextOptions } from "node:tls";
import { TransportError, UsageError } from "../errors.js";
import type { Peer } from "../protocol/peer.js";
import type { ConnectionLimiter, NoPlace, Place } from "./connection-limit.js";
import { asError, isPromise } from "./intake.js";
import type { ServerSettings } from "./options.js";
import { socketPeer } from "./peer.js";
import { proxiedPeer } from "./proxy/peer.js";
import { readProxyHeader } from "./proxy/read.js";
import { TlsAcceptor } from "./tls.js";
import { tlsPeer } from "./tls-peer.js";

/** What an entrance needs of its server. */
export interface EntranceContext {
	readonly settings: ServerSettings;
	/** Runs a session. Resolves at its end. */
	start(stream: Duplex, peer: Peer): Promise<void>;
	/** A connection has ended before its session could begin. */
	failed(peer: Peer, error: Error): void;
	/** A connection was closed since there is no place for it. */
	refused(peer: Peer, error: TransportError): void;
	/** The limiter has failed. */
	fault(error: Error): void;
}

/** The way in. */
export class Entrance {
	readonly #context: EntranceContext;
	readonly #limiter: ConnectionLimiter;
	readonly #tls: TlsAcceptor | null;
	readonly #waiting = new Map<Socket, AbortController>(); // for a place
	readonly #headers = new Set<Socket>(); // of which a PROXY header is being read
	readonly #inside = new Set<Promise<void>>(); // what becomes of each socket, until it is done with
	#closed = false;

	constructor(context: EntranceContext) {
		const { tls, connectionLimit } = context.settings;
		this.#context = context;
		this.#limiter = connectionLimit;
		this.#tls = tls === null ? null : new TlsAcceptor(tls, this.#patience);
	}

	/** Connections that are on their way to their session. */
	get connections(): number {
		return this.#headers.size + (this.#tls?.handshakes ?? 0);
	}

	/** Connections that wait for a place. */
	get waiting(): number {
		return this.#waiting.size;
	}

	/** @param socket - Paused: what waits is not read. @param isLocal - It is one of a Unix socket. */
	accept(socket: Socket, isLocal: boolean): void {
		// A client that has reset the connection already has no address any more. No rule for addresses would find it.
		if (this.#closed || (socket.remoteAddress === undefined && !isLocal)) {
			socket.destroy();
			return;
		}
		const ended = this.#admit(socket).catch((error) => this.#fail(socket, error));
		this.#inside.add(ended);
		ended.then(() => this.#inside.delete(ended));
	}

	/** @throws UsageError; see `QmtpServer.updateSecureContext`. */
	updateSecureContext(options: SecureContextOptions): void {
		if (this.#tls === null) {
			const message = "the server speaks no TLS: give it the option tls when it is made";
			throw new UsageError("ERR_QMTP_SERVER_STATE", message);
		}
		this.#tls.update(options);
	}

	/** Lets nobody in any more, and drops whoever is on the way. Resolves when all have ended who came in. */
	async close(): Promise<void> {
		this.#closed = true;
		this.#tls?.destroy();
		for (const socket of this.#headers) socket.destroy();
		for (const stop of this.#waiting.values()) stop.abort();
		while (this.#inside.size > 0) await Promise.all(this.#inside);
	}

	async #admit(socket: Socket): Promise<void> {
		const peer = socketPeer(socket);
		const isProxy = this.#context.settings.isProxy(peer.remoteAddress);
		const stop = new AbortController(); // gone when there is a place: 10,000 idle connections would keep 10,000
		const place = this.#limiter.enter(isProxy ? "" : peer.remoteAddress, stop.signal);
		if (!isPromise(place)) return this.#enter(socket, peer, { place, isProxy });
		const given = await this.#inTime(socket, place, { fallback: "full", stop });
		const leave = (late: Place | NoPlace) => {
			if (late !== given && typeof late !== "string") late.leave();
		};
		place.then(leave, () => {}); // that it fails now matters to nobody
		return this.#enter(socket, peer, { place: given, isProxy });
	}

	/** What a limiter says in its own time; `fallback` if the server closes before, or it takes longer than a minute. */
	async #inTime<T>(
		socket: Socket,
		answer: Promise<T>,
		{ fallback, stop = new AbortController() }: { readonly fallback: T; readonly stop?: AbortController },
	): Promise<T> {
		const { idle } = this.#context.settings.timeouts;
		const timer = setTimeout(() => stop.abort(), Math.min(idle, LONGEST_WAIT));
		const ignore = () => {}; // it broke: whoever reads from it will see
		socket.on("error", ignore);
		this.#waiting.set(socket, stop);
		const stopped = new Promise<T>((resolve) => {
			stop.signal.addEventListener("abort", () => resolve(fallback), { once: true });
		});
		try {
			return await Promise.race([answer, stopped]);
		} finally {
			this.#waiting.delete(socket);
			clearTimeout(timer);
			socket.off("error", ignore);
		}
	}

	async #enter(
		socket: Socket,
		peer: Peer,
		{ place, isProxy }: { readonly place: Place | NoPlace; readonly isProxy: boolean },
	): Promise<void> {
		if (typeof place === "string") return this.#refuse(socket, peer, place);
		try {
			if (this.#closed) socket.destroy();
			else if (isProxy) await this.#behindProxy(socket, peer, place);
			else await this.#begin(socket, peer);
		} finally {
			place.leave();
		}
	}

	/** Reads who the client is, first. */
	async #behindProxy(socket: Socket, proxy: Peer, place: Place): Promise<void> {
		let peer: Peer;
		this.#headers.add(socket);
		try {
			peer = proxiedPeer(proxy, await readProxyHeader(socket, { timeout: this.#patience }));
		} catch (error) {
			this.#context.failed(proxy, error as Error);
			return;
		} finally {
			this.#headers.delete(socket);
		}
		// Those whom the proxy does not name share its address, and are not one client.
		const claimed = peer.proxy?.told === true ? place.claim(peer.remoteAddress) : true;
		// A promise only where it is one: between the header and whoever listens next nobody hears the socket's errors.
		const isAllowed = isPromise(claimed) ? await this.#inTime(socket, claimed, { fallback: false }) : claimed;
		if (isAllowed) await this.#begin(socket, peer);
		else this.#refuse(socket, peer, "client-full");
	}

	/** Speaks TLS first, if the server does. */
	async #begin(socket: Socket, peer: Peer): Promise<void> {
		if (this.#closed) {
			socket.destroy();
			return;
		}
		if (this.#tls === null) return this.#context.start(socket, peer);
		let stream: Duplex;
		let tls: Peer["tls"];
		try {
			const secured = await this.#tls.secure(socket);
			tls = tlsPeer(secured);
			stream = secured;
		} catch (error) {
			this.#context.failed(peer, error as TransportError);
			return;
		}
		await this.#context.start(stream, tls === undefined ? peer : { ...peer, tls });
	}

	#refuse(socket: Socket, peer: Peer, reason: NoPlace): void {
		socket.destroy();
		if (this.#closed) return;
		const message = reason === "full" ? "too many connections" : "too many connections of this client";
		this.#context.refused(peer, new TransportError("ERR_QMTP_CONNECTION_LIMIT", message));
	}

	/** The limiter has failed: a fault, and no reason to let anybody in. */
	#fail(socket: Socket, error: unknown): void {
		socket.destroy();
		this.#context.fault(asError(error));
	}

	get #patience(): number {
		return Math.min(this.#context.settings.timeouts.idle, HANDSHAKE_TIMEOUT);
	}
}

const HANDSHAKE_TIMEOUT = 30_000;
// Who waits is not read from, so nobody sees that it has gone.
const LONGEST_WAIT = 60_000;
