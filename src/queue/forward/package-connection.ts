/**
 * A connection for one package that is written while its body arrives. A package that was begun can only be withdrawn by
 * ending the connection before its last byte.
 */
import type { Socket } from "node:net";
import { type QmtpError, TransportError } from "../../errors.js";
import { ClientConnection } from "../../protocol/client-connection.js";
import type { QmtpResponse } from "../../protocol/response.js";
import type { Timed, Timers } from "../../timers.js";

/** A connection that sends one package. It holds no bytes but those in the socket, and copies none. */
export class PackageConnection implements Timed {
	/** Resolves when the connection is ended, however it was. */
	readonly ended: Promise<void>;
	/** Why it ended before it should; null while it goes on. */
	error: QmtpError | null = null;

	readonly #socket: Socket;
	readonly #timeout: number;
	readonly #timers: Timers;
	readonly #connection = new ClientConnection();
	#corked = false;
	#active: number; // when the server last did something that we waited for
	#waiting: Waiting<void> | null = null; // the write that waits for the server to read
	#answering: Waiting<readonly QmtpResponse[]> | null = null; // the package is sent, and this waits for its answers
	#recipients = 0;
	#destroyed = false;
	#resolveEnded!: () => void;

	/**
	 * @param socket - Connected, with `allowHalfOpen`.
	 * @param timeout - How long the server may keep us waiting, in milliseconds.
	 */
	constructor(socket: Socket, timeout: number, timers: Timers) {
		this.#socket = socket;
		this.#timeout = timeout;
		this.#timers = timers;
		timers.add(this);
		this.#active = timers.now;
		this.ended = new Promise((resolve) => {
			this.#resolveEnded = resolve;
		});
		socket.on("data", (chunk) => this.#receive(chunk));
		socket.on("drain", () => this.#drained());
		socket.on("end", () => this.#fail(closedError()));
		socket.on("error", (cause) => this.#fail(lostError(cause)));
		socket.on("close", () => this.#fail(closedError()));
	}

	/** Bytes that the system has not taken. */
	get heldBytes(): number {
		return this.#socket.writableLength;
	}

	/**
	 * Sends bytes, which must not change any more.
	 *
	 * @returns Nothing, or a promise if the caller is to wait. It throws or rejects with `error` if the connection ended.
	 */
	write(bytes: Uint8Array): void | Promise<void> {
		if (this.error !== null) throw this.error;
		if (this.#destroyed) return;
		this.#cork();
		this.#socket.write(bytes);
		if (!this.#socket.writableNeedDrain) return;
		this.#active = this.#timers.now;
		return new Promise((resolve, reject) => {
			this.#waiting = { resolve, reject };
		});
	}

	/**
	 * Sends the last bytes of the package, and ends the connection when it is answered.
	 *
	 * @returns One response for each recipient. It rejects with `error` if they do not all come: the package may have been
	 * accepted then, and a part of the answers is nobody's, as some servers answer once a package.
	 */
	finish(tail: Uint8Array, recipients: number): Promise<readonly QmtpResponse[]> {
		return new Promise((resolve, reject) => {
			if (this.error !== null) return reject(this.error);
			this.#answering = { resolve, reject };
			this.#active = this.#timers.now;
			this.#recipients = recipients;
			this.#connection.sent(recipients);
			this.#socket.write(tail);
		});
	}

	/** Ends the connection now: a package that is not sent is withdrawn. A write that waits resolves. */
	destroy(): void {
		if (this.#destroyed) return;
		this.#destroyed = true;
		this.#timers.remove(this);
		this.#socket.destroy();
		this.#waiting?.resolve();
		this.#waiting = null;
		this.#resolveEnded();
	}

	check(now: number): void {
		if (this.#waiting === null && this.#answering === null) return; // it is the sender's turn
		if (now - this.#active < this.#timeout) return;
		const message = `the server did nothing for ${this.#timeout} ms`;
		this.#fail(new TransportError("ERR_QMTP_RESPONSE_TIMEOUT", message));
	}

	/** What one turn brings goes out in one write. */
	#cork(): void {
		if (this.#corked) return;
		this.#corked = true;
		this.#socket.cork();
		queueMicrotask(() => {
			this.#corked = false;
			this.#socket.uncork();
		});
	}

	#drained(): void {
		this.#active = this.#timers.now;
		this.#waiting?.resolve();
		this.#waiting = null;
	}

	#receive(chunk: Uint8Array): void {
		if (this.#destroyed) return;
		this.#active = this.#timers.now;
		try {
			this.#connection.receive(chunk);
			const answered = this.#connection.next();
			if (answered === null) return;
			this.#answering?.resolve(answered.responses);
			this.#answering = null;
			this.destroy(); // nothing is under way in either direction
		} catch (error) {
			this.#fail(error as QmtpError);
		}
	}

	#fail(error: QmtpError): void {
		if (this.#destroyed) return;
		const answers = this.#connection.unanswered()[0]?.responses.length ?? 0;
		this.error = answers === 0 ? error : countError(answers, this.#recipients, error);
		this.#waiting?.reject(this.error);
		this.#waiting = null;
		this.#answering?.reject(this.error);
		this.#answering = null;
		this.destroy();
	}
}

interface Waiting<T> {
	readonly resolve: (value: T) => void;
	readonly reject: (reason: QmtpError) => void;
}

function closedError(): TransportError {
	return new TransportError("ERR_QMTP_CONNECTION_CLOSED", "the server closed the connection");
}

function lostError(cause: Error): TransportError {
	const message = `the connection was lost: ${cause.message}`;
	return new TransportError("ERR_QMTP_CONNECTION_LOST", message, { cause });
}

function countError(answers: number, recipients: number, cause: QmtpError): TransportError {
	const message = `the server gave ${answers} answers to ${recipients} recipients`;
	return new TransportError("ERR_QMTP_RESPONSE_COUNT", message, { cause });
}
