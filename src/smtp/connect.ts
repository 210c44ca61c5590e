/** Connecting to an SMTP server. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { TransportError } from "../errors.js";
import { LONGEST_TIMER, type SmtpSettings } from "./options.js";

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
	let late = false;
	const timer = setTimeout(
		() => {
			late = true;
			socket.destroy(new Error("timeout"));
		},
		Math.min(timeouts.connect, LONGEST_TIMER),
	);
	const abort = () => socket.destroy(new Error("aborted"));
	signal.addEventListener("abort", abort);
	try {
		await once(socket, "connect"); // rejects on "error"
		return socket;
	} catch (cause) {
		signal.throwIfAborted();
		const place = address === host ? `${host}:${port}` : `${host}:${port} (${address})`;
		if (late) {
			const message = `no connection to ${place} within ${timeouts.connect} ms`;
			throw new TransportError("ERR_QMTP_CONNECT_TIMEOUT", message, { cause });
		}
		throw new TransportError("ERR_QMTP_CONNECT", `no connection to ${place}: ${reason(cause)}`, { cause });
	} finally {
		clearTimeout(timer);
		signal.removeEventListener("abort", abort);
	}
}

function reason(cause: unknown): string {
	const { code, message } = cause as NodeJS.ErrnoException;
	return REASONS[code ?? ""] ?? message;
}

const REASONS: Readonly<Record<string, string>> = {
	ECONNREFUSED: "nothing listens there (connection refused)",
	ENOTFOUND: "there is no host by that name",
	EAI_AGAIN: "the name cannot be looked up now",
	EHOSTUNREACH: "the host cannot be reached",
	ENETUNREACH: "the network cannot be reached",
	ECONNRESET: "the server reset the connection",
};
