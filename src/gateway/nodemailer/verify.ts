/** Looks whether a QMTP server is there, without sending any mail. */
import type { Socket } from "node:net";
import { connectSocket } from "../../client/connect.js";
import type { ClientSettings } from "../../client/options.js";
import { ProtocolError, TransportError } from "../../errors.js";

/**
 * Connects, waits a moment, and closes. A QMTP server says nothing when a client connects, and closes its side when the
 * client has closed its own; one that closes before does not want to talk with this host.
 *
 * It cannot see more: there is no greeting in QMTP, and nothing but mail can be sent.
 *
 * @throws TransportError or ProtocolError. Each step may take as long as a connection may.
 */
export async function verifyServer(settings: ClientSettings): Promise<void> {
	const socket = await connectSocket(settings, new AbortController().signal);
	try {
		await beSilentAndClose(socket, settings.timeouts.connect);
	} finally {
		socket.destroy();
	}
}

function beSilentAndClose(socket: Socket, longest: number): Promise<void> {
	let finished = false; // our side is closed
	let timer: NodeJS.Timeout;
	return new Promise<void>((resolve, reject) => {
		const tooLong = () => {
			const message = `the server did not close the connection within ${longest} ms`;
			reject(new TransportError("ERR_QMTP_RESPONSE_TIMEOUT", message));
		};
		const finish = () => {
			finished = true;
			socket.end();
			timer = setTimeout(tooLong, Math.min(longest, LONGEST_TIMER));
		};
		const closed = () => {
			if (finished) return resolve();
			const message = "the server closed the connection at once: it does not talk with this host";
			reject(new TransportError("ERR_QMTP_CONNECTION_CLOSED", message));
		};
		timer = setTimeout(finish, SILENCE);
		socket.on("end", closed);
		socket.on("close", closed);
		socket.on("data", () => {
			const message = "the server spoke first, which no QMTP server does";
			reject(new ProtocolError("ERR_QMTP_RESPONSE_UNEXPECTED", message, 0));
		});
		socket.on("error", (cause) => {
			const message = `the connection was lost: ${cause.message}`;
			reject(new TransportError("ERR_QMTP_CONNECTION_LOST", message, { cause }));
		});
	}).finally(() => clearTimeout(timer));
}

// For a greeting, or a refusal, to arrive. One that comes later is seen too, as long as we wait for the end.
const SILENCE = 250;
const LONGEST_TIMER = 2 ** 31 - 1;
