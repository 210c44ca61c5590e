/**
 * Waiting for connections: for so long and no longer, until a signal gives it up, and in plain words when there is none.
 * Who makes a socket, and how, is no matter here.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import { TransportError } from "./errors.js";

/** node:tls, loaded when it is first needed: with what it loads itself it takes 5 ms, a fifth of `import "qmtp"`. */
export function nodeTls(): typeof import("node:tls") {
	return process.getBuiltinModule("node:tls");
}

/** What bounds a wait for a socket. */
export interface Bounds {
	/** Gives it up. */
	readonly signal: AbortSignal;
	/** How long it may take, in milliseconds. */
	readonly timeout: number;
}

/** What is said if the wait is in vain. */
export interface Failure {
	/** If it took too long. */
	readonly late: string;
	/** If something broke. */
	failed(cause: unknown): TransportError;
}

/**
 * Waits until a socket is connected, and destroys it if it cannot be.
 *
 * @param place - Where it connects to, for people.
 * @throws TransportError `ERR_QMTP_CONNECT` or `ERR_QMTP_CONNECT_TIMEOUT`; the signal's reason if it is aborted.
 */
export function connected(socket: Socket, place: string, { signal, timeout }: Bounds): Promise<void> {
	return bounded(socket, once(socket, "connect"), {
		signal,
		timeout,
		late: `no connection to ${place} within ${timeout} ms`,
		failed: (cause) => {
			const message = `no connection to ${place}: ${reason(cause)}`;
			return new TransportError("ERR_QMTP_CONNECT", message, { cause });
		},
	});
}

/**
 * Waits until a socket is ready, and destroys it if that fails or takes too long.
 *
 * @param ready - Must reject when the socket is destroyed.
 * @throws What `failed` makes; TransportError `ERR_QMTP_CONNECT_TIMEOUT`; the signal's reason if it is aborted.
 */
export async function bounded(
	socket: Socket,
	ready: Promise<unknown>,
	{ signal, timeout, late, failed }: Bounds & Failure,
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

const LONGEST_TIMER = 2 ** 31 - 1; // what is longer Node makes 1 ms
