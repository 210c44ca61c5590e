/**
 * One connection of a client. Packages go out one behind the other, answers are read meanwhile.
 *
 * A package is *sent* when its last byte was handed to the socket. What is sent and not answered when the connection
 * ends becomes Z, and may have been accepted; what was begun and not sent was surely not, since a server that sees its
 * input end inside a package throws it away.
 *
 * Some servers answer once a package, however many recipients it has. That would shift every later answer, and a
 * refusal read as another's K is lost mail; so the first package with several recipients is sent alone.
 */
import type { Socket } from "node:net";
import { type QmtpError, TransportError } from "../errors.js";
import { ClientConnection } from "../protocol/client-connection.js";
import type { EncodedPackage } from "../protocol/package-encoder.js";
import type { QmtpResponse } from "../protocol/response.js";
import type { Timed, Timers } from "../timers.js";
import { BodyWriter } from "./body-writer.js";
import { sizeError, sourceError } from "./message.js";
import type { ClientSettings } from "./options.js";
import type { OutgoingMessage, OutgoingPackage } from "./outgoing.js";
import { PackageQueue } from "./package-queue.js";

/** A connection that sends packages. */
export class ClientSession implements Timed {
	/** Resolves when the connection has ended and each of its packages has its answers. */
	readonly ended: Promise<void>;
	/** Packages whose last byte was handed to the socket. */
	packages = 0;
	/** True if the server did not answer each recipient of a package. */
	answersOncePerPackage = false;
	/** Why it ended; null while it goes on. */
	error: QmtpError | null = null;

	readonly #socket: Socket;
	readonly #settings: ClientSettings;
	readonly #timers: Timers;
	readonly #connection = new ClientConnection();
	readonly #writer: BodyWriter;
	readonly #opened: number;
	readonly #sent = new PackageQueue(); // not answered
	#inFlightBytes = 0;
	#current: OutgoingPackage | null = null; // begun, and not sent
	#alone: OutgoingPackage | null = null; // sent alone, to see how the server answers
	#answersEach = false; // the server has answered each recipient of a package
	#finishing = false;
	#active: number; // when the server last did something that we waited for
	#transmitting = false;
	#wake: (() => void) | null = null; // ends the wait for the server
	#interrupt: (() => void) | null = null; // ends the wait for a body
	#resolveEnded!: () => void;

	/** @param socket - Connected, with `allowHalfOpen`. */
	constructor(socket: Socket, settings: ClientSettings, timers: Timers) {
		this.#socket = socket;
		this.#settings = settings;
		this.#timers = timers;
		this.#writer = new BodyWriter(socket);
		timers.add(this); // its clock stands still until somebody is there
		this.#opened = timers.now;
		this.#active = timers.now;
		this.ended = new Promise((resolve) => {
			this.#resolveEnded = resolve;
		});
		socket.on("data", (chunk) => this.#receive(chunk));
		socket.on("drain", () => this.#progress());
		socket.on("end", () => this.#end(closedError()));
		socket.on("error", (cause) => this.#end(lostError(cause)));
		socket.on("close", () => this.#end(closedError()));
	}

	/** True if packages may be begun on this connection. */
	get usable(): boolean {
		return this.error === null && !this.#finishing;
	}

	/**
	 * Sends packages from `queue` until it is empty or the connection is not to be used any more.
	 *
	 * @returns The package that was begun and not sent, if the connection ended inside it.
	 */
	async transmit(queue: PackageQueue): Promise<OutgoingPackage | null> {
		this.#transmitting = true;
		this.#socket.ref();
		while (this.usable) {
			const next = queue.first();
			if (next === undefined) break;
			if (this.#mustWaitFor(next)) {
				this.#writer.flush();
				await this.#changed();
				continue;
			}
			queue.shift();
			const wait = this.#send(next);
			if (wait !== undefined) await wait;
			if (this.#timers.now - this.#opened > LONGEST_SESSION) this.finish();
		}
		this.#transmitting = false;
		if (this.error === null) this.#writer.flush();
		this.#rest();
		const unfinished = this.#current;
		this.#current = null;
		return unfinished;
	}

	/** Nobody wants this message's result any more: if it is being sent, its package must never be complete. */
	cancel(outgoing: OutgoingMessage): void {
		this.#rest();
		if (this.#current?.outgoing !== outgoing) return;
		this.#wake?.();
		this.#interrupt?.();
	}

	/** Sends nothing more, and ends when the server has answered and closed. A package begun is thereby withdrawn. */
	finish(): void {
		if (!this.usable) return;
		this.#finishing = true;
		this.#writer.flush();
		this.#active = this.#timers.now;
		this.#socket.ref();
		this.#socket.end();
		this.#wake?.();
	}

	/** Ends the connection now. */
	destroy(error: QmtpError): void {
		this.#end(error);
	}

	check(now: number): void {
		const waited = now - this.#active;
		const { response, idle } = this.#settings.timeouts;
		if (this.#finishing && !this.#sent.wanted) {
			if (waited >= FINISH_TIME) this.#end(closedError());
		} else if (this.#connection.pending > 0 || this.#writer.blocked) {
			if (waited < response) return;
			const error = new TransportError(
				"ERR_QMTP_RESPONSE_TIMEOUT",
				`the server did nothing for ${response} ms`,
			);
			this.#end(error);
		} else if (this.#current === null && waited >= idle) {
			this.finish();
		}
	}

	#mustWaitFor(next: OutgoingPackage): boolean {
		const { pending } = this.#connection;
		if (this.#writer.blocked) return true;
		if (pending === 0) return false;
		if (this.#alone !== null || (next.recipients > 1 && !this.#answersEach)) return true;
		const { pipelined, inFlightBytes } = this.#settings.limits;
		return pending >= pipelined || this.#inFlightBytes + next.outgoing.message.body.length > inFlightBytes;
	}

	#send(next: OutgoingPackage): Promise<void> | undefined {
		const { bytes, length } = next.outgoing.message.body;
		try {
			if (bytes === null || bytes.length > LARGEST_AT_ONCE) return this.#stream(next, next.encode());
			this.#writer.writePackage(next, bytes);
		} catch (error) {
			next.outgoing.reject(error);
			return undefined;
		}
		next.begin();
		this.#complete(next);
		next.outgoing.progress(length);
		return undefined;
	}

	/** Sends a package whose body comes piece by piece. */
	async #stream(next: OutgoingPackage, { head, tail }: EncodedPackage): Promise<void> {
		next.begin();
		this.#current = next;
		this.#writer.write(head);
		let complete = false;
		try {
			complete = await this.#writeBody(next.outgoing);
		} catch (error) {
			next.outgoing.reject(sourceError(error));
		}
		if (this.error !== null) return; // the package stays the current one: it may be sent again
		this.#current = null;
		if (complete) {
			this.#writer.write(tail);
			this.#complete(next);
		} else {
			this.finish(); // the server throws away what it has of the package
		}
	}

	/** @returns False if the connection ended, or nobody wants the result any more. */
	async #writeBody(outgoing: OutgoingMessage): Promise<boolean> {
		const { body } = outgoing.message;
		const chunks = body.chunks()[Symbol.asyncIterator]();
		let length = 0;
		let reading: Promise<IteratorResult<Uint8Array>> | null = null;
		try {
			while (this.error === null && !outgoing.settled) {
				this.#writer.flush();
				if (this.#writer.blocked) {
					await this.#changed();
					continue;
				}
				reading ??= chunks.next();
				const chunk = await this.#orInterrupted(reading);
				if (chunk === undefined) continue;
				reading = null;
				if (chunk.done === true) {
					if (length !== body.length) throw sizeError(length, body.length);
					return true;
				}
				length += chunk.value.length;
				if (length > body.length) throw sizeError(length, body.length);
				this.#writer.write(chunk.value);
				outgoing.progress(length);
			}
			return false;
		} finally {
			// Not awaited: a source that hangs must not hold up the connection, and what it says now matters to nobody.
			chunks.return?.()?.then(undefined, () => {});
		}
	}

	#complete(next: OutgoingPackage): void {
		if (this.#connection.pending === 0) this.#active = this.#timers.now;
		this.#connection.sent(next.recipients);
		this.#sent.add(next);
		this.packages++;
		this.#inFlightBytes += next.outgoing.message.body.length;
		if (next.recipients > 1 && !this.#answersEach) this.#alone = next;
	}

	#receive(chunk: Uint8Array): void {
		if (this.error !== null) return;
		try {
			this.#connection.receive(chunk);
			for (let next = this.#connection.next(); next !== null; next = this.#connection.next()) {
				this.#answered(next.responses);
			}
		} catch (error) {
			this.#end(error as QmtpError);
			return;
		}
		this.#rest();
		this.#progress();
	}

	/** A connection with nothing to do does not keep the process alive. */
	#rest(): void {
		if (!this.#sent.wanted && !this.#transmitting && this.usable) this.#socket.unref();
	}

	#answered(responses: readonly QmtpResponse[]): void {
		const package_ = this.#sent.shift() as OutgoingPackage;
		this.#inFlightBytes -= package_.outgoing.message.body.length;
		if (package_ === this.#alone) {
			this.#alone = null;
			this.#answersEach = true;
		}
		package_.answer(responses);
	}

	/** The server did something: what waits for it may look again. */
	#progress(): void {
		this.#active = this.#timers.now;
		this.#wake?.();
	}

	#changed(): Promise<void> {
		return new Promise((resolve) => {
			this.#wake = resolve;
		});
	}

	/** What `wait` comes to, or undefined if the connection ends or the message is cancelled before. */
	#orInterrupted<T>(wait: Promise<T>): Promise<T | undefined> {
		return new Promise((resolve, reject) => {
			this.#interrupt = () => resolve(undefined);
			wait.then(resolve, reject);
		});
	}

	#end(error: QmtpError): void {
		if (this.error !== null) return;
		this.error = error;
		this.#timers.remove(this);
		this.#socket.destroy();
		// First of all, so that the client knows what it learned here when a call that ends here is followed by another.
		this.#resolveEnded();
		const unanswered = this.#connection.unanswered();
		this.#sent.clear().forEach((package_, index) => {
			const responses = unanswered[index]?.responses ?? [];
			if (package_ === this.#alone) this.#endAlone(package_, responses, error);
			else package_.answer(responses);
			package_.defer(error, true);
		});
		this.#wake?.();
		this.#interrupt?.();
	}

	/** The package that was sent to see how the server answers has not all its answers. */
	#endAlone(package_: OutgoingPackage, responses: readonly QmtpResponse[], error: QmtpError): void {
		const inTime = error.code !== "ERR_QMTP_RESPONSE_TIMEOUT";
		if (inTime && responses.length === 0) return;
		this.answersOncePerPackage = true;
		// Whom the answers are for is not known. A K at the front holds for the first recipient whether the server
		// meant it or the whole package; a refusal may be meant for another.
		const refusal = responses.findIndex(({ status }) => status !== "K");
		if (inTime) package_.answer(refusal === -1 ? responses : responses.slice(0, refusal));
		if (responses.length === 0) return;
		const message = `the server gave ${responses.length} answers to ${package_.recipients} recipients`;
		package_.defer(new TransportError("ERR_QMTP_RESPONSE_COUNT", message, { cause: error }), true);
	}
}

function closedError(): TransportError {
	return new TransportError("ERR_QMTP_CONNECTION_CLOSED", "the server closed the connection");
}

function lostError(cause: Error): TransportError {
	const message = `the connection was lost: ${cause.message}`;
	return new TransportError("ERR_QMTP_CONNECTION_LOST", message, { cause });
}

// Bodies in memory above this go out in pieces, so that a slow server or an abort can stop them between two.
const LARGEST_AT_ONCE = 256 * 1024;
// Servers end a session after an hour without warning.
const LONGEST_SESSION = 50 * 60_000;
// For the server to close its side when we have closed ours and nobody waits for an answer.
const FINISH_TIME = 5000;
