/**
 * Reads netstrings from a source of chunks as nested iterations, for interpretations larger than memory: the outer one
 * goes from netstring to netstring, the inner one from piece to piece.
 *
 * Both share one cursor in the source. It pulls a chunk when one of them needs it, and stores nothing.
 */
import { ProtocolError, UsageError } from "../errors.js";
import { BYTES, LENGTH, NEED_DATA, NetstringDecoder, type NetstringStep } from "./decoder.js";

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
	readLength(): Promise<number | null> {
		return this.#read((step, decoder) => (step === LENGTH ? decoder.length : null));
	}

	/** More bytes of the netstring whose length was read, or null at its end. */
	readBytes(): Promise<Uint8Array | null> {
		return this.#read((step, { chunk, start, end }) => (step === BYTES ? chunk.subarray(start, end) : null));
	}

	/** Ends the source, unless it has ended by itself. */
	async close(): Promise<void> {
		this.#failure ??= { error: unread("the loop over the netstrings was left") };
		if (this.#over) return;
		this.#over = true;
		await this.#source.return?.();
	}

	/** Goes one step on. What is found is taken at once, since it is gone when the next read begins. */
	async #read<Found>(take: (step: NetstringStep, decoder: NetstringDecoder) => Found): Promise<Found> {
		if (this.#reading) throw unread("the read before this one has not come to its end");
		this.#reading = true;
		try {
			return take(await this.#step(), this.#decoder);
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
			else if (!decoder.idle)
				throw new ProtocolError("ERR_NETSTRING_TRUNCATED", "netstring is cut short", decoder.offset);
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

function unread(message: string): UsageError {
	return new UsageError("ERR_NETSTRING_UNREAD", message);
}
