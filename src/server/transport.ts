/**
 * Byte streams as a session sees them: chunks are pulled, and a wait for one can be interrupted. One implementation
 * over Node's Duplex (sockets, TLS, pairs of pipes), one over a pair of Web Streams.
 *
 * Node's own async iterator is not used: it destroys the socket at the end of input, before the answers are out, and
 * it joins the chunks that came while nobody read into a new one, which copies bodies.
 */
import type { Duplex } from "node:stream";

/** Both directions of a connection as Web Streams. */
export interface WebStreamPair {
	/** From the client. */
	readonly readable: ReadableStream<Uint8Array>;
	/** To the client. */
	readonly writable: WritableStream<Uint8Array>;
}

/** A connection's bytes. */
export interface Transport {
	/** What broke the connection, if something did. Input then ends as if the peer had left. */
	readonly error: Error | null;
	/**
	 * The next chunk; null at the end of input; `INTERRUPTED` if `interrupt()` was called meanwhile, and nothing is
	 * lost. One call at a time.
	 */
	read(): Input | Promise<Input>;
	/** Ends the wait of `read()`. */
	interrupt(): void;
	/** Sends bytes. @returns False if the peer does not keep up: wait for `drained()` before making more. */
	write(bytes: Uint8Array): boolean;
	/** Resolves when what was written has gone on, or the connection has broken. Never rejects. */
	drained(): Promise<void>;
	/** Closes our direction behind what was written. Resolves when it has gone on, or is lost. Never rejects. */
	end(): Promise<void>;
	/** Closes both directions now. */
	destroy(): void;
}

/** See {@link Transport.read}. */
export const INTERRUPTED = undefined;
/** See {@link Transport.read}. */
export type Input = Uint8Array | null | typeof INTERRUPTED;

/** The transport over what the user gave. */
export function openTransport(stream: Duplex | WebStreamPair): Transport {
	return typeof stream.readable === "object"
		? new WebTransport(stream as WebStreamPair)
		: new DuplexTransport(stream as Duplex);
}

/** Chunks that came and were not read, and whoever waits for one. */
class Inbox {
	readonly #chunks: Uint8Array[] = [];
	#ended = false;
	#waiter: ((input: Input) => void) | null = null;

	/** @returns False if nobody waited for it: the source is to be held. */
	push(chunk: Uint8Array): boolean {
		if (chunk.length === 0) return true;
		if (this.#waiter === null) {
			this.#chunks.push(chunk);
			return false;
		}
		this.#settle(chunk);
		return true;
	}

	end(): void {
		this.#ended = true;
		if (this.#chunks.length === 0) this.#settle(null);
	}

	interrupt(): void {
		this.#settle(INTERRUPTED);
	}

	/** What is there; a promise if the source must be asked. */
	take(): Input | Promise<Input> {
		const chunk = this.#chunks.shift();
		if (chunk !== undefined) return chunk;
		if (this.#ended) return null;
		return new Promise((resolve) => {
			this.#waiter = resolve;
		});
	}

	#settle(input: Input): void {
		const waiter = this.#waiter;
		this.#waiter = null;
		waiter?.(input);
	}
}

class DuplexTransport implements Transport {
	error: Error | null = null;
	readonly #duplex: Duplex;
	readonly #inbox = new Inbox();
	#closed: boolean;
	#drainers: (() => void)[] = [];

	constructor(duplex: Duplex) {
		this.#duplex = duplex;
		this.#closed = !duplex.writable; // no mail is taken from a client that cannot be answered
		// Else a client that closes its direction and waits would never get its answers.
		duplex.allowHalfOpen = true;
		duplex.on("error", (error) => {
			this.error ??= error;
			this.#close(); // not each Duplex has a "close" behind its "error"
		});
		duplex.on("drain", () => this.#release());
		duplex.on("close", () => this.#close());
		duplex.on("end", () => this.#inbox.end());
		duplex.on("data", (chunk: Uint8Array) => {
			if (!this.#inbox.push(chunk)) duplex.pause();
		});
		if (this.#closed || duplex.readableEnded) this.#inbox.end();
	}

	read(): Input | Promise<Input> {
		const input = this.#inbox.take();
		if (input instanceof Promise && this.#duplex.isPaused()) this.#duplex.resume();
		return input;
	}

	interrupt(): void {
		this.#inbox.interrupt();
	}

	write(bytes: Uint8Array): boolean {
		if (this.#closed || !this.#duplex.writable) return true;
		return this.#duplex.write(bytes);
	}

	drained(): Promise<void> {
		if (this.#closed || !this.#duplex.writableNeedDrain) return Promise.resolve();
		return new Promise((resolve) => this.#drainers.push(resolve));
	}

	end(): Promise<void> {
		if (this.#closed) return Promise.resolve();
		return new Promise((resolve) => {
			this.#drainers.push(resolve); // for the connection that breaks instead
			this.#duplex.end(resolve);
		});
	}

	destroy(): void {
		this.#duplex.destroy();
	}

	#close(): void {
		this.#closed = true;
		this.#inbox.end();
		this.#release();
	}

	#release(): void {
		const drainers = this.#drainers;
		this.#drainers = [];
		for (const resolve of drainers) resolve();
	}
}

class WebTransport implements Transport {
	error: Error | null = null;
	readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
	readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
	readonly #inbox = new Inbox();
	#reading = false;

	constructor(pair: WebStreamPair) {
		this.#reader = pair.readable.getReader();
		this.#writer = pair.writable.getWriter();
		// Each failed write rejects these two as well; the failure is seen by whoever waits for `ready`.
		this.#writer.closed.catch((error) => this.#fail(error));
		this.#writer.ready.catch(() => {});
	}

	read(): Input | Promise<Input> {
		const input = this.#inbox.take();
		if (input instanceof Promise && !this.#reading) this.#pull();
		return input;
	}

	interrupt(): void {
		this.#inbox.interrupt();
	}

	write(bytes: Uint8Array): boolean {
		this.#writer.write(bytes).catch((error) => this.#fail(error));
		return (this.#writer.desiredSize ?? 1) > 0;
	}

	drained(): Promise<void> {
		return this.#writer.ready.catch((error) => this.#fail(error));
	}

	end(): Promise<void> {
		return this.#writer.close().catch((error) => this.#fail(error));
	}

	destroy(): void {
		this.#inbox.end();
		this.#reader.cancel().catch(() => {});
		this.#writer.abort().catch(() => {});
	}

	#pull(): void {
		this.#reading = true;
		this.#reader.read().then(
			({ done, value }) => {
				this.#reading = false;
				if (done) this.#inbox.end();
				else if (value.length === 0) this.#pull();
				else this.#inbox.push(value);
			},
			(error) => {
				this.#reading = false;
				this.#fail(error);
			},
		);
	}

	/** A client that we can say nothing to has left, whatever it still sends. */
	#fail(error: unknown): void {
		this.error ??= error instanceof Error ? error : new Error(String(error));
		this.#inbox.end();
	}
}
