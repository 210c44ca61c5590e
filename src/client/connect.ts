/** Connecting to a server. */
import { once } from "node:events";
import { connect, type Socket, type TcpNetConnectOpts } from "node:net";
import { TransportError } from "../errors.js";
import type { ClientSettings } from "./options.js";

/**
 * A connected socket.
 *
 * @throws TransportError `ERR_QMTP_CONNECT` or `ERR_QMTP_CONNECT_TIMEOUT`; `signal`'s reason if it is aborted.
 */
export async function connectSocket(settings: ClientSettings, signal: AbortSignal): Promise<Socket> {
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
		if (late) {
			const message = `no connection to ${host}:${port} within ${timeouts.connect} ms`;
			throw new TransportError("ERR_QMTP_CONNECT_TIMEOUT", message, { cause });
		}
		const message = `no connection to ${host}:${port}: ${reason(cause)}`;
		throw new TransportError("ERR_QMTP_CONNECT", message, { cause });
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

const HIGH_WATER_MARK = 256 * 1024;
const LONGEST_TIMER = 2 ** 31 - 1;
