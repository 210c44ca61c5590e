/** Connecting to a server, and TLS on the connection where it is asked for. */
import { once } from "node:events";
import { connect, isIP, type Socket, type TcpNetConnectOpts } from "node:net";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { type Bounds, bounded, connected, nodeTls } from "../connecting.js";
import { TransportError, UsageError } from "../errors.js";
import type { ClientSettings } from "./options.js";
import { CLOSED_IN_HANDSHAKE, tlsProblem } from "./tls-problems.js";

/**
 * A connected socket; with `settings.tls` its handshake is done, and the server's certificate is what it must be.
 *
 * @throws TransportError `ERR_QMTP_CONNECT`, `ERR_QMTP_CONNECT_TIMEOUT` or `ERR_QMTP_TLS`; `signal`'s reason if it is
 * aborted.
 */
export async function connectSocket(settings: ClientSettings, signal: AbortSignal): Promise<Socket> {
	const begun = performance.now();
	const socket = await connectTcp(settings, signal);
	if (settings.tls === null) return socket;
	const { timeouts } = settings;
	return secureSocket(socket, settings, { signal, timeout: begun + timeouts.connect - performance.now() });
}

/** The same, without TLS whatever the settings say. */
export async function connectTcp(settings: ClientSettings, signal: AbortSignal): Promise<Socket> {
	signal.throwIfAborted();
	const { host, port, timeouts } = settings;
	// What the server says before our first byte must be seen, and its end of input must not end our side.
	const options: TcpNetConnectOpts & { highWaterMark: number } = {
		host,
		port,
		allowHalfOpen: true,
		noDelay: true,
		highWaterMark: HIGH_WATER_MARK,
	};
	const socket = connect(options);
	await connected(socket, `${host}:${port}`, { signal, timeout: timeouts.connect });
	return socket;
}

/**
 * TLS on a connected socket, which is destroyed if there is none.
 *
 * @throws TransportError `ERR_QMTP_TLS` or `ERR_QMTP_CONNECT_TIMEOUT`; `signal`'s reason if it is aborted.
 */
export async function secureSocket(
	socket: Socket,
	settings: ClientSettings,
	{ signal, timeout }: Bounds,
): Promise<TLSSocket> {
	const { host, port, tls, timeouts } = settings;
	const options: ConnectionOptions & { highWaterMark: number } = {
		...(isIP(host) === 0 ? { servername: host } : {}),
		...tls,
		host, // for the check of the certificate, where there is no servername
		socket, // from which it has allowHalfOpen
		highWaterMark: HIGH_WATER_MARK,
	};
	let secured: TLSSocket;
	try {
		secured = nodeTls().connect(options);
	} catch (cause) {
		socket.destroy();
		throw new UsageError("ERR_QMTP_OPTION", `tls cannot be used: ${(cause as Error).message}`, { cause });
	}
	await bounded(secured, handshake(secured), {
		signal,
		timeout,
		late: `no TLS with ${host}:${port} within ${timeouts.connect} ms: the server says nothing; is this a port for TLS?`,
		failed: (cause) => {
			const message = `no TLS with ${host}:${port}: ${tlsProblem(cause, tls?.servername || host)}`;
			return new TransportError("ERR_QMTP_TLS", message, { cause });
		},
	});
	return secured;
}

/** Resolves when mail can be sent. Rejects with what breaks the connection before. */
async function handshake(socket: TLSSocket): Promise<void> {
	const begun = performance.now();
	let answered = () => {};
	const answer = new Promise<void>((resolve) => {
		answered = resolve;
	});
	socket.once("session", answered);
	await once(socket, "secureConnect"); // rejects on "error"
	if (socket.getProtocol() !== "TLSv1.3") return;
	// With TLS 1.3 we are done a round trip before the server is, which may yet refuse our certificate. Then mail that
	// was sent already might count as accepted, perhaps. So its tickets are waited for; but not all servers send any.
	const timer = setTimeout(answered, Math.min(2 * (performance.now() - begun), LONGEST_ANSWER));
	const stop = new AbortController();
	const ended = once(socket, "end", { signal: stop.signal }).then(() => {
		throw new Error(CLOSED_IN_HANDSHAKE);
	});
	ended.catch(() => {}); // it lost the race
	try {
		await Promise.race([answer, ended]);
	} finally {
		clearTimeout(timer);
		stop.abort();
		socket.off("session", answered);
	}
}

const HIGH_WATER_MARK = 256 * 1024;
const LONGEST_ANSWER = 1000;
