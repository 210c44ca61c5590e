/** Takes a PROXY header off a socket, and nothing of what is behind it. */
import type { Duplex } from "node:stream";
import { TransportError } from "../../errors.js";
import type { ProxyHeader } from "../proxy-header.js";
import { ProxyHeaderDecoder } from "./decoder.js";

/** Options of {@link readProxyHeader}. */
export interface ReadProxyHeaderOptions {
	/** How long all of it may take, in milliseconds. `Infinity` is allowed. */
	readonly timeout: number;
}

/**
 * Reads the header that a socket must start with. Nobody else may have read from the socket, or listen for its data.
 *
 * Then the socket is paused, no listener of this function is left on it, and the first byte that it gives is the one
 * behind the header: it is fit for a session, or for `tlsServer.emit("connection", socket)`. Whoever takes it over does
 * so without waiting for anything else, since nobody listens for its errors.
 *
 * @throws ProtocolError `ERR_QMTP_PROXY_HEADER` if it starts with something else. TransportError
 * `ERR_QMTP_IDLE_TIMEOUT` if the header is not complete in time; `ERR_QMTP_CONNECTION_CLOSED` if the other side ends
 * before, or the socket was destroyed; `ERR_QMTP_CONNECTION_LOST` if it broke. The socket is destroyed by then: nothing
 * on it could be trusted.
 */
export function readProxyHeader(socket: Duplex, options: ReadProxyHeaderOptions): Promise<ProxyHeader> {
	return new Promise((resolve, reject) => {
		const decoder = new ProxyHeaderDecoder();
		const { timeout } = options;
		const onTimeout = () =>
			fail(new TransportError("ERR_QMTP_IDLE_TIMEOUT", `no PROXY header in ${timeout} ms`));
		const timer = timeout > LONGEST_TIMER ? undefined : setTimeout(onTimeout, timeout);
		const onEnd = () =>
			fail(new TransportError("ERR_QMTP_CONNECTION_CLOSED", "the proxy left before its header"));
		const onError = (cause: Error) => {
			fail(
				new TransportError("ERR_QMTP_CONNECTION_LOST", "the connection broke in the PROXY header", { cause }),
			);
		};
		const onReadable = () => {
			try {
				const header = readFrom(socket, decoder);
				if (header === null) return;
				leave();
				resolve(header);
			} catch (error) {
				fail(error);
			}
		};
		const fail = (error: unknown) => {
			leave();
			socket.destroy();
			reject(error);
		};
		const leave = () => {
			clearTimeout(timer);
			socket.off("readable", onReadable).off("end", onEnd).off("close", onEnd).off("error", onError);
		};
		socket.on("end", onEnd).on("close", onEnd).on("error", onError).on("readable", onReadable);
		if (socket.destroyed || socket.readableEnded) onEnd();
	});
}

/** Reads what is there; puts back what is behind the header. */
function readFrom(socket: Duplex, decoder: ProxyHeaderDecoder): ProxyHeader | null {
	for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
		decoder.receive(chunk);
		const header = decoder.next();
		if (header === null) continue;
		socket.pause();
		if (decoder.rest.length > 0) socket.unshift(decoder.rest);
		return header;
	}
	return null;
}

const LONGEST_TIMER = 2 ** 31 - 1; // what is longer Node makes 1 ms
