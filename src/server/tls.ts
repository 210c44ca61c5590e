/**
 * TLS on sockets that a listener has accepted. The listener is one for plain sockets, so whatever precedes the handshake
 * on a socket can be read there; Node's TLS server behind it never listens, and is handed one socket after the other.
 *
 * A handshake is bounded as a whole: Node's own time limit starts again with each byte, and ends nothing.
 */
import type { Socket } from "node:net";
import type { SecureContextOptions, Server, TLSSocket, TlsOptions } from "node:tls";
import { nodeTls } from "../connecting.js";
import { TransportError, UsageError } from "../errors.js";

/** Makes TLS connections of plain ones. */
export class TlsAcceptor {
	readonly #server: Server;
	readonly #timeout: number;
	readonly #handshakes = new Map<Socket, Handshake>();
	#options: TlsOptions;

	/**
	 * @param timeout - How long a handshake may take unless the options say it, in milliseconds.
	 * @throws UsageError `ERR_QMTP_OPTION` if no TLS can be spoken with these options.
	 */
	constructor(options: TlsOptions, timeout: number) {
		const { handshakeTimeout = timeout } = options;
		this.#timeout = Math.min(handshakeTimeout > 0 ? handshakeTimeout : timeout, LONGEST_TIMER);
		this.#options = options;
		this.#server = checked(() =>
			nodeTls().createServer({ ...options, allowHalfOpen: true, pauseOnConnect: false }),
		);
		this.#server.on("secureConnection", (stream) => this.#secured(stream));
		this.#server.on("tlsClientError", (error, stream) => {
			const socket = rawSocket(stream);
			if (socket !== undefined) this.#fail(socket, handshakeError(error, stream));
		});
	}

	/** Handshakes under way. */
	get handshakes(): number {
		return this.#handshakes.size;
	}

	/**
	 * The TLS connection over a socket, which is destroyed if there is none.
	 *
	 * @param socket - Of a listener; what was read from it and put back by `unshift` counts.
	 * @throws TransportError `ERR_QMTP_TLS`.
	 */
	secure(socket: Socket): Promise<TLSSocket> {
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => {
				this.#fail(socket, tlsError(`no TLS handshake within ${this.#timeout} ms`));
			}, this.#timeout);
			this.#handshakes.set(socket, { resolve, reject, timer });
			// What the TLS server has to say of the end is better, and comes right behind it.
			socket.once("close", () => setImmediate(() => this.#fail(socket, tlsError(LEFT))));
			// A client that ends its input inside the handshake is gone: nothing else would tell so.
			socket.allowHalfOpen = false;
			this.#server.emit("connection", socket);
		});
	}

	/**
	 * Other certificates, or what else a secure context has, for handshakes to come. What is left out stays.
	 *
	 * @throws UsageError `ERR_QMTP_OPTION` if they cannot be used; then nothing has changed.
	 */
	update(options: SecureContextOptions): void {
		const merged = { ...this.#options, ...options };
		checked(() => nodeTls().createSecureContext(merged)); // the server's own is half changed when it throws
		this.#server.setSecureContext(merged);
		this.#options = merged;
	}

	/** Ends the handshakes under way. */
	destroy(): void {
		for (const socket of this.#handshakes.keys()) {
			this.#fail(socket, tlsError("the server was closed before the TLS handshake was done"));
		}
	}

	#secured(stream: TLSSocket): void {
		const handshake = this.#take(rawSocket(stream));
		if (handshake === undefined) {
			stream.destroy(); // it was given up in this very turn
			return;
		}
		stream.allowHalfOpen = true; // before its end can be told, which may have come with the handshake's last bytes
		handshake.resolve(stream);
	}

	#fail(socket: Socket, error: TransportError): void {
		const handshake = this.#take(socket);
		if (handshake === undefined) return;
		socket.destroy();
		handshake.reject(error);
	}

	#take(socket: Socket | undefined): Handshake | undefined {
		if (socket === undefined) return undefined;
		const handshake = this.#handshakes.get(socket);
		this.#handshakes.delete(socket);
		clearTimeout(handshake?.timer);
		return handshake;
	}
}

interface Handshake {
	readonly resolve: (stream: TLSSocket) => void;
	readonly reject: (error: TransportError) => void;
	readonly timer: NodeJS.Timeout;
}

/** The socket under a TLS connection. Node has no public name for it, and its TLS server tells of connections only by theirs. */
function rawSocket(stream: TLSSocket): Socket | undefined {
	return (stream as TLSSocket & { readonly _parent?: Socket })._parent;
}

/** What `make` makes. @throws UsageError `ERR_QMTP_OPTION` in place of whatever it throws. */
function checked<T>(make: () => T): T {
	try {
		return make();
	} catch (cause) {
		const { reason, message } = cause as OpenSslError;
		throw new UsageError("ERR_QMTP_OPTION", `tls cannot be used: ${reason ?? message}`, { cause });
	}
}

function handshakeError(cause: OpenSslError, stream: TLSSocket): TransportError {
	const { code = "", reason, message } = cause;
	const refusal = stream.authorizationError as Error | string | null | undefined;
	if (refusal) return tlsError(`the client's certificate is not accepted: ${refusal}`, cause);
	if (code === "ECONNRESET") return tlsError(LEFT, cause);
	if (NO_TLS.has(code)) return tlsError("the client does not speak TLS", cause);
	if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE")
		return tlsError("the client has no certificate", cause);
	if (code.includes("_ALERT_"))
		return tlsError(`the client gave the TLS handshake up: ${reason ?? code}`, cause);
	return tlsError(`the TLS handshake failed: ${reason ?? message}`, cause);
}

function tlsError(message: string, cause?: Error): TransportError {
	return new TransportError("ERR_QMTP_TLS", message, cause === undefined ? {} : { cause });
}

/** OpenSSL's `message` is made for its developers; its `reason` is the part for people. */
type OpenSslError = NodeJS.ErrnoException & { readonly reason?: string };

const LEFT = "the client left in the TLS handshake";
const NO_TLS = new Set([
	"ERR_SSL_WRONG_VERSION_NUMBER",
	"ERR_SSL_HTTP_REQUEST",
	"ERR_SSL_HTTPS_PROXY_REQUEST",
	"ERR_SSL_PACKET_LENGTH_TOO_LONG",
	"ERR_SSL_UNEXPECTED_MESSAGE",
	"ERR_SSL_BAD_RECORD_TYPE",
]);
const LONGEST_TIMER = 2 ** 31 - 1; // what is longer Node makes 1 ms
