/** Connecting to a server, and TLS on the connection where it is asked for. */
import { once } from "node:events";
import { connect, isIP, type Socket, type TcpNetConnectOpts } from "node:net";
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from "node:tls";
import { TransportError, UsageError } from "../errors.js";
import type { ClientSettings } from "./options.js";

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
	await bounded(socket, once(socket, "connect"), {
		signal,
		timeout: timeouts.connect,
		late: `no connection to ${host}:${port} within ${timeouts.connect} ms`,
		failed: (cause) => {
			const message = `no connection to ${host}:${port}: ${reason(cause)}`;
			return new TransportError("ERR_QMTP_CONNECT", message, { cause });
		},
	});
	return socket;
}

/**
 * TLS on a connected socket, which is destroyed if there is none.
 *
 * @param bounds - How long it may take, in milliseconds, and what ends it before.
 * @throws TransportError `ERR_QMTP_TLS` or `ERR_QMTP_CONNECT_TIMEOUT`; `signal`'s reason if it is aborted.
 */
export async function secureSocket(
	socket: Socket,
	settings: ClientSettings,
	{ signal, timeout }: { readonly signal: AbortSignal; readonly timeout: number },
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
		secured = tlsConnect(options);
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

/** What bounds a wait for a socket, and what its failure is. */
interface Bounds {
	readonly signal: AbortSignal;
	readonly timeout: number;
	readonly late: string;
	failed(cause: unknown): TransportError;
}

/** Waits until the socket is ready, and destroys it if that fails or takes too long. */
async function bounded(
	socket: Socket,
	ready: Promise<unknown>,
	{ signal, timeout, late, failed }: Bounds,
): Promise<void> {
	let isLate = false;
	const timer = setTimeout(
		() => {
			isLate = true;
			socket.destroy(new Error("timeout"));
		},
		Math.min(timeout, LONGEST_TIMER),
	);
	const abort = () => socket.destroy(new Error("aborted"));
	signal.addEventListener("abort", abort);
	if (signal.aborted) abort();
	try {
		await ready;
	} catch (cause) {
		socket.destroy();
		signal.throwIfAborted();
		throw isLate ? new TransportError("ERR_QMTP_CONNECT_TIMEOUT", late, { cause }) : failed(cause);
	} finally {
		clearTimeout(timer);
		signal.removeEventListener("abort", abort);
	}
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
		throw new Error(CLOSED);
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

/** Why there is no TLS, in the words of people. */
function tlsProblem(cause: unknown, name: string): string {
	const { code = "", reason, message, cert } = cause as OpenSslError;
	if (code === "ECONNRESET" || message === CLOSED) return CLOSED;
	const problem = certificateProblem(code, name, cert);
	if (problem !== null) return problem;
	if (NO_TLS.has(code)) return "the server does not speak TLS on this port";
	if (NO_VERSION.test(code)) return "the server and this client have no version of TLS in common";
	if (NO_CERTIFICATE.test(code)) return "the server asks for a client certificate, and there is none to give";
	if (BAD_CERTIFICATE.test(code))
		return `the server does not accept this client's certificate (${reason ?? code})`;
	return reason ?? message;
}

/**
 * What is wrong with a server's certificate.
 *
 * @param code - Node's code or OpenSSL's.
 * @param name - The host that it should be for.
 * @returns Null if the code is about something else.
 */
export function certificateProblem(
	code: string,
	name: string,
	certificate: OpenSslError["cert"],
): string | null {
	if (code !== "ERR_TLS_CERT_ALTNAME_INVALID") return CERTIFICATES[code] ?? null;
	const { subjectaltname, subject } = certificate ?? {};
	const names = (subjectaltname ?? String(subject?.CN ?? "nobody")).replace(/DNS:|IP Address:/g, "");
	return `the server's certificate is not for ${name}, but for ${names}`;
}

function reason(cause: unknown): string {
	const { code, message } = cause as NodeJS.ErrnoException;
	return REASONS[code ?? ""] ?? message;
}

/** OpenSSL's `message` is made for its developers; its `reason` is the part for people. */
type OpenSslError = NodeJS.ErrnoException & {
	readonly reason?: string;
	readonly cert?: { readonly subjectaltname?: string; readonly subject?: { readonly CN?: unknown } };
};

const REASONS: Readonly<Record<string, string>> = {
	ECONNREFUSED: "nothing listens there (connection refused)",
	ENOTFOUND: "there is no host by that name",
	EAI_AGAIN: "the name cannot be looked up now",
	EHOSTUNREACH: "the host cannot be reached",
	ENETUNREACH: "the network cannot be reached",
	ECONNRESET: "the server reset the connection",
};

const UNKNOWN_ISSUER =
	"the server's certificate is signed by nobody known here: to trust its authority, name that as ca";
const CERTIFICATES: Readonly<Record<string, string>> = {
	CERT_HAS_EXPIRED: "the server's certificate has expired",
	CERT_NOT_YET_VALID: "the server's certificate is not valid yet: is this host's clock right?",
	CERT_REVOKED: "the server's certificate was revoked",
	DEPTH_ZERO_SELF_SIGNED_CERT:
		"the server's certificate is self-signed: to trust it nevertheless, name it as ca",
	SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_ISSUER,
	UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_ISSUER,
	UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_ISSUER,
	UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_ISSUER,
	INVALID_PURPOSE: "the server's certificate is not one for servers",
};
const CLOSED =
	"the server closed the connection in the handshake: does it speak TLS on this port, and take connections?";
const NO_TLS = new Set([
	"ERR_SSL_WRONG_VERSION_NUMBER",
	"ERR_SSL_PACKET_LENGTH_TOO_LONG",
	"ERR_SSL_UNEXPECTED_MESSAGE",
	"ERR_SSL_BAD_RECORD_TYPE",
]);
const NO_VERSION = /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/;
const NO_CERTIFICATE = /ALERT_CERTIFICATE_REQUIRED/;
const BAD_CERTIFICATE =
	/ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_|ACCESS_DENIED)/;

const HIGH_WATER_MARK = 256 * 1024;
const LONGEST_TIMER = 2 ** 31 - 1;
const LONGEST_ANSWER = 1000;
