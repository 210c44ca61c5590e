/**
 * Netstrings on Web Streams and async iterables: a decoder and an encoder as TransformStreams, for interpretations that
 * fit into memory, and a reader for those that do not.
 *
 * It uses nothing but ECMAScript, TextEncoder and the Web Streams globals, so it runs in every runtime that has them.
 */
import { ProtocolError, UsageError } from "../errors.js";
import { BYTES, END, LENGTH, NEED_DATA, NetstringDecoder, type NetstringStep } from "./decoder.js";
import { encodeNetstring, netstringHead } from "./encoder.js";

/** Options of {@link NetstringDecoderStream}. */
export interface NetstringDecoderStreamOptions {
	/**
	 * The longest interpretation allowed, in bytes: so much may be held in memory. It is checked digit by digit, before
	 * a byte is kept.
	 * @defaultValue 16777216 (16 MiB)
	 */
	readonly maxLength?: number;
}

/**
 * Decodes a stream of netstrings. Each chunk that comes out is one whole interpretation, made when it is asked for.
 *
 * An interpretation that lies whole in one chunk comes out as a view into that chunk, which it keeps alive; one that
 * was cut is gathered into an array of its own. What is written to the stream belongs to it and must not be changed.
 *
 * What stands in front of an error is read first. The error is a {@link ProtocolError} with an `ERR_NETSTRING_*` code
 * and the offset in the stream; it ends both sides. When the input ends inside a netstring, the readable side gives
 * `ERR_NETSTRING_TRUNCATED`.
 */
export class NetstringDecoderStream extends TransformStream<Uint8Array, Uint8Array> {
	readonly #readable: ReadableStream<Uint8Array>;

	/** @throws UsageError `ERR_QMTP_OPTION` if `maxLength` is no number of bytes. */
	constructor(options: NetstringDecoderStreamOptions = {}) {
		super();
		// A transformer would have to put all interpretations of a chunk into the queue at once, and lose them there when
		// an error follows. So the chunks pass unchanged, and are decoded one interpretation for each that is pulled.
		const chunks = super.readable.getReader();
		const gatherer = new Gatherer(options.maxLength ?? LONGEST_GATHERED);
		this.#readable = new ReadableStream<Uint8Array>(
			{
				async pull(controller) {
					try {
						for (;;) {
							const interpretation = gatherer.next();
							if (interpretation !== null) return controller.enqueue(interpretation);
							const { done, value } = await chunks.read();
							if (!done) {
								gatherer.receive(value);
								continue;
							}
							gatherer.receiveEnd();
							return controller.close();
						}
					} catch (error) {
						await chunks.cancel(error); // tells the writing side
						throw error;
					}
				},
				cancel: (reason) => chunks.cancel(reason),
			},
			{ highWaterMark: 0 },
		);
	}

	/** The interpretations. */
	override get readable(): ReadableStream<Uint8Array> {
		return this.#readable;
	}
}

/**
 * Encodes each chunk, bytes or a string as UTF-8, as one netstring.
 *
 * Up to 16 KiB the netstring comes out as one chunk. A longer interpretation is not copied: its head, the very array
 * that was written and a comma come out as three chunks, so that array must not be changed.
 */
export class NetstringEncoderStream extends TransformStream<Uint8Array | string, Uint8Array> {
	constructor() {
		super({
			transform(chunk, controller) {
				const interpretation = typeof chunk === "string" ? utf8.encode(chunk) : chunk;
				if (interpretation.length <= LONGEST_COPIED) {
					controller.enqueue(encodeNetstring(interpretation));
					return;
				}
				controller.enqueue(netstringHead(interpretation.length));
				controller.enqueue(interpretation);
				controller.enqueue(Uint8Array.of(COMMA)); // a new one each time: whoever reads it may transfer it
			},
		});
	}
}

/** Options of {@link readNetstrings}. */
export interface ReadNetstringsOptions {
	/**
	 * The longest interpretation allowed, in bytes. Nothing is held in memory, whatever it is.
	 * @defaultValue Number.MAX_SAFE_INTEGER
	 */
	readonly maxLength?: number;
}

/** One netstring of {@link readNetstrings}: its interpretation piece by piece, read while it is iterated. */
export interface Netstring extends AsyncIterable<Uint8Array> {
	/** The length of the interpretation in bytes. */
	readonly length: number;
}

/**
 * Reads netstrings whose interpretations may be larger than memory:
 *
 * ```ts
 * for await (const netstring of readNetstrings(source)) {
 *   for await (const bytes of netstring) await file.write(bytes);
 * }
 * ```
 *
 * A chunk of the source is pulled when its first byte is needed and not before, and nothing is stored: a reader that
 * waits stops the source. The pieces are views into the source's chunks, none of them empty.
 *
 * A netstring that was left early goes on where it was left when it is iterated again. What is left of it when the next
 * one is asked for is read and dropped; iterating it after that throws a UsageError `ERR_NETSTRING_UNREAD`, unless it
 * had been read to its end. So does asking for the next one while a piece of this one is awaited.
 *
 * Leaving the outer loop ends the source: the `return()` of an iterator is called, a ReadableStream is cancelled. An
 * error in the netstrings does the same. The source is left alone until the first netstring is asked for.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if `maxLength` is no number of bytes. Out of the iteration that came upon it,
 * and again out of each one after it: ProtocolError `ERR_NETSTRING_*` (`ERR_NETSTRING_TRUNCATED` if the source ends
 * inside a netstring), and whatever the source throws.
 */
export function readNetstrings(
	source: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
	options: ReadNetstringsOptions = {},
): AsyncIterable<Netstring> {
	return netstrings(source, new NetstringDecoder(options));
}

async function* netstrings(
	source: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
	decoder: NetstringDecoder,
): AsyncGenerator<Netstring, void, undefined> {
	const cursor = new Cursor(iterate(source), decoder);
	try {
		for (let length = await cursor.readLength(); length !== null; length = await cursor.readLength()) {
			const netstring = new OpenNetstring(length, cursor);
			yield netstring;
			await netstring.leave();
		}
	} finally {
		await cursor.close();
	}
}

class OpenNetstring implements Netstring {
	readonly length: number;
	readonly #cursor: Cursor;
	#state: "open" | "whole" | "dropped" = "open";

	constructor(length: number, cursor: Cursor) {
		this.length = length;
		this.#cursor = cursor;
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
		while (this.#state !== "whole") {
			if (this.#state === "dropped") throw unread("the rest of this netstring was dropped");
			const bytes = await this.#cursor.readBytes();
			if (bytes === null) this.#state = "whole";
			else yield bytes;
		}
	}

	/** Drops what was not read. */
	async leave(): Promise<void> {
		if (this.#state === "whole") return;
		while ((await this.#cursor.readBytes()) !== null) this.#state = "dropped";
		if (this.#state === "open") this.#state = "whole"; // all was read but the comma
	}
}

/** The place in the source that the outer and the inner iterations share. */
class Cursor {
	readonly #source: AsyncIterator<Uint8Array>;
	readonly #decoder: NetstringDecoder;
	#reading = false;
	#over = false; // the source has ended, has failed, or was told to end
	#failure: { readonly error: unknown } | null = null; // what each read throws from now on

	constructor(source: AsyncIterator<Uint8Array>, decoder: NetstringDecoder) {
		this.#source = source;
		this.#decoder = decoder;
	}

	/** The length of the next netstring, or null if the source has ended. To be called between two netstrings. */
	async readLength(): Promise<number | null> {
		return (await this.#read()) === LENGTH ? this.#decoder.length : null;
	}

	/** More bytes of the netstring whose length was read, or null at its end. */
	async readBytes(): Promise<Uint8Array | null> {
		if ((await this.#read()) !== BYTES) return null;
		return this.#decoder.chunk.subarray(this.#decoder.start, this.#decoder.end);
	}

	/** Ends the source, unless it has ended by itself. */
	async close(): Promise<void> {
		this.#failure ??= { error: unread("the loop over the netstrings was left") };
		if (this.#over) return;
		this.#over = true;
		await this.#source.return?.();
	}

	async #read(): Promise<NetstringStep> {
		if (this.#reading) throw unread("the read before this one has not come to its end");
		this.#reading = true;
		try {
			return await this.#step();
		} catch (error) {
			this.#failure ??= { error };
			await this.close().catch(() => {}); // an error of the source's own end would hide this one
			throw this.#failure.error;
		} finally {
			this.#reading = false;
		}
	}

	/** The next step that is not NEED_DATA; NEED_DATA only at the end of the source. */
	async #step(): Promise<NetstringStep> {
		const decoder = this.#decoder;
		for (;;) {
			if (this.#failure !== null) throw this.#failure.error;
			const step = decoder.next();
			if (step !== NEED_DATA || this.#over) return step;
			const { done, value } = await this.#pull();
			if (!done) decoder.receive(value);
			else if (!decoder.idle) throw truncated(decoder);
		}
	}

	async #pull(): Promise<IteratorResult<Uint8Array>> {
		try {
			const result = await this.#source.next();
			if (result.done) this.#over = true;
			return result;
		} catch (error) {
			this.#over = true;
			throw error;
		}
	}
}

/** Gathers whole interpretations. */
class Gatherer {
	readonly #decoder: NetstringDecoder;
	#bytes: Uint8Array = NOTHING; // a view of a whole interpretation, or where the pieces of one are gathered
	#filled = 0;

	constructor(maxLength: number) {
		this.#decoder = new NetstringDecoder({ maxLength });
	}

	receive(chunk: Uint8Array): void {
		this.#decoder.receive(chunk);
	}

	/** @throws ProtocolError `ERR_NETSTRING_TRUNCATED` inside a netstring. */
	receiveEnd(): void {
		if (!this.#decoder.idle) throw truncated(this.#decoder);
	}

	/** The next whole interpretation, or null if the chunk is used up. */
	next(): Uint8Array | null {
		const decoder = this.#decoder;
		for (let step = decoder.next(); step !== NEED_DATA; step = decoder.next()) {
			if (step === LENGTH) {
				this.#bytes = decoder.length === 0 ? new Uint8Array(0) : NOTHING;
				this.#filled = 0;
			} else if (step === END) {
				const interpretation = this.#bytes;
				this.#bytes = NOTHING;
				return interpretation;
			} else if (decoder.end - decoder.start === decoder.length) {
				this.#bytes = decoder.chunk.subarray(decoder.start, decoder.end);
			} else {
				this.#gather();
			}
		}
		return null;
	}

	#gather(): void {
		const { chunk, start, end, length } = this.#decoder;
		const filled = this.#filled + end - start;
		if (filled > this.#bytes.length) {
			// It grows with what has come and not with what was declared: "16000000:" alone must cost nothing. It never
			// gets longer than the interpretation, so it is exactly as long when all has come.
			const size = Math.max(filled, 2 * this.#bytes.length, SMALLEST_GATHERED);
			const grown = new Uint8Array(Math.min(size, length));
			grown.set(this.#bytes.subarray(0, this.#filled));
			this.#bytes = grown;
		}
		this.#bytes.set(chunk.subarray(start, end), this.#filled);
		this.#filled = filled;
	}
}

/**
 * An iterator over the source. That of a ReadableStream is made here: not every runtime has one, and its `return()`
 * would wait for a read that is under way.
 */
function iterate(source: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>): AsyncIterator<Uint8Array> {
	if (!("getReader" in source)) return source[Symbol.asyncIterator]();
	const reader = source.getReader();
	return {
		async next() {
			const result = await reader.read();
			if (result.done) reader.releaseLock();
			return result;
		},
		async return() {
			const cancelled = reader.cancel();
			reader.releaseLock();
			await cancelled;
			return { done: true, value: undefined };
		},
	};
}

function truncated(decoder: NetstringDecoder): ProtocolError {
	return new ProtocolError("ERR_NETSTRING_TRUNCATED", "netstring is cut short", decoder.offset);
}

function unread(message: string): UsageError {
	return new UsageError("ERR_NETSTRING_UNREAD", message);
}

const NOTHING = new Uint8Array(0);
const COMMA = 0x2c;
const LONGEST_GATHERED = 16 * 1024 * 1024;
const SMALLEST_GATHERED = 64 * 1024;
const LONGEST_COPIED = 16 * 1024; // a copy of so much costs less than two more chunks through a stream
const utf8 = new TextEncoder();
