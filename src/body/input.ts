/**
 * A stream that a caller gave us. It is read once, and can be let go of at any point: before it was read, between two
 * chunks, and while it hangs. Whoever waits for its next chunk is told then, whatever the stream itself does.
 */
import { UsageError } from "../errors.js";

/** Bytes that come piece by piece. */
export type ByteStream = AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

/** True for what an {@link InputStream} can be made of. */
export function isByteStream(value: unknown): value is ByteStream {
	if (typeof value !== "object" || value === null) return false;
	return Symbol.asyncIterator in value || typeof (value as Partial<ReadableStream>).getReader === "function";
}

/** A stream of bytes that can be read once. It is its own iterator. */
export class InputStream implements AsyncIterableIterator<Uint8Array> {
	readonly #stream: Partial<Stream>;
	#iterator: AsyncIterator<unknown> | null = null;
	#ended = false; // by itself
	#released = false;
	#interrupt: ((reason: Error) => void) | null = null;

	constructor(stream: ByteStream) {
		this.#stream = stream as Partial<Stream>;
		// A Readable that fails while nobody reads it would end the process. Its error is kept, and thrown by next().
		if (typeof this.#stream.on === "function") this.#stream.on("error", () => {});
	}

	[Symbol.asyncIterator](): this {
		return this;
	}

	/**
	 * The next chunk, which is the stream's own.
	 *
	 * @throws What the stream throws; UsageError `ERR_QMTP_MESSAGE` for a chunk that is not bytes; an Error if the stream
	 * is let go of.
	 */
	next(): Promise<IteratorResult<Uint8Array, undefined>> {
		return new Promise((resolve, reject) => {
			this.#interrupt = reject;
			this.#read().then(resolve, reject);
		});
	}

	/** The same as `release()`, for loops that end early. */
	async return(): Promise<IteratorResult<Uint8Array, undefined>> {
		this.release();
		return { done: true, value: undefined };
	}

	/** Lets go of the stream, unless it has ended. `next()` rejects if it waits. */
	release(): void {
		if (this.#ended || this.#released) return;
		this.#released = true;
		this.#interrupt?.(new Error(RELEASED));
		// Not awaited: a stream that hangs must not hold up its reader, and what it says now matters to nobody.
		this.#letGo().catch(() => {});
	}

	async #read(): Promise<IteratorResult<Uint8Array, undefined>> {
		if (this.#released) throw new Error(RELEASED);
		if (this.#ended) return { done: true, value: undefined };
		try {
			this.#iterator ??= iteratorOf(this.#stream);
			const { done, value } = await this.#iterator.next();
			if (value instanceof Uint8Array && done !== true) return { done: false, value };
			this.#ended = done === true;
		} catch (error) {
			this.#ended = true;
			throw error;
		}
		if (this.#ended) return { done: true, value: undefined };
		this.#interrupt = null; // the reader is told why
		this.release();
		throw new UsageError("ERR_QMTP_MESSAGE", "a message's stream must yield bytes (Uint8Array)");
	}

	async #letGo(): Promise<void> {
		if (typeof this.#stream.destroy === "function") this.#stream.destroy();
		else if (this.#iterator !== null) await this.#iterator.return?.();
		else if (typeof this.#stream.cancel === "function") await this.#stream.cancel();
	}
}

const RELEASED = "the stream was let go of";

/** What the kinds of streams have. */
interface Stream extends AsyncIterable<unknown> {
	on(event: "error", listener: () => void): unknown; // Readable
	destroy(): unknown;
	getReader(): ReadableStreamDefaultReader<unknown>; // ReadableStream
	cancel(): Promise<void>;
}

// A ReadableStream's own iterator cannot be stopped while it waits; its reader can.
function iteratorOf(stream: Partial<Stream>): AsyncIterator<unknown> {
	if (typeof stream.getReader !== "function") return (stream as Stream)[Symbol.asyncIterator]();
	const reader = stream.getReader();
	return {
		next: () => reader.read() as Promise<IteratorResult<unknown>>,
		return: async () => {
			await reader.cancel();
			return { done: true, value: undefined };
		},
	};
}
