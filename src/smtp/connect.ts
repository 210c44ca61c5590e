/** Connecting to an SMTP server. */
import { connect, type Socket } from "node:net";
import { connected } from "../connecting.js";
import type { SmtpSettings } from "./options.js";

/**
 * A connected socket, on which nothing has been read. Its errors are never unhandled.
 *
 * @throws TransportError `ERR_QMTP_CONNECT` or `ERR_QMTP_CONNECT_TIMEOUT`; `signal`'s reason if it is aborted.
 */
export async function connectSocket(settings: SmtpSettings, signal: AbortSignal): Promise<Socket> {
	signal.throwIfAborted();
	const { host, address, port, timeouts } = settings;
	const socket = connect({ host: address, port, noDelay: true });
	socket.on("error", () => {}); // those of a socket that nobody has taken over yet, or any more
	const place = address === host ? `${host}:${port}` : `${host}:${port} (${address})`;
	await connected(socket, place, { signal, timeout: timeouts.connect });
	return socket;
}
