/** Listening: where to, and why it could not be. */
import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { TransportError } from "../errors.js";

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
	/** A descriptor that listens already: of a supervisor, or the same as another process's, which may end meanwhile. */
	readonly fd?: number;
}

/**
 * A listener that listens. Its sockets are paused.
 *
 * @param accept - Called for each socket; `isLocal` says that it is one of a Unix socket.
 * @throws TransportError `ERR_QMTP_LISTEN`.
 */
export async function openListener(
	target: ListenTarget,
	accept: (socket: Socket, isLocal: boolean) => void,
): Promise<Server> {
	const listener = createServer({
		allowHalfOpen: true, // a client's end of input must not end our side
		noDelay: true,
		highWaterMark: SOCKET_HIGH_WATER_MARK,
		pauseOnConnect: true, // else Node reads on while a connection waits for its place
	});
	listener.on("connection", (socket) => accept(socket, typeof listener.address() !== "object"));
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
	return listener;
}

/** The address that a listener has; for a Unix socket its path. */
export function addressOf(listener: Server): AddressInfo | string {
	return listener.address() as AddressInfo | string;
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
	EBADF: "there is no such open descriptor",
	EINVAL: "it is not a socket that listens",
	ENOTSOCK: "it is not a socket",
};

const DEFAULT_PORT = 209;
// One read of a socket: Node 20's own is 16 KiB. More makes no difference that could be measured (64 and 256 KiB in turns:
// 224,000 to 268,000 and 227,000 to 283,000 messages/s), and is held for each connection that is not read from.
const SOCKET_HIGH_WATER_MARK = 64 * 1024;
