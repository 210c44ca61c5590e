/**
 * An incremental decoder for PROXY headers of both versions. It copies the header's bytes and nothing else, and never
 * more than the longest header has; it waits for nothing.
 *
 * It does not guess whether a header is there: a stream that starts with something else is wrong. Whether there must be
 * one is a matter of who is connected, not of what was sent.
 */
import { UsageError } from "../../errors.js";
import type { ProxyHeader } from "../proxy-header.js";
import { binaryLength, readBinary } from "./binary.js";
import { invalid } from "./invalid.js";
import { LONGEST_LINE, readLine } from "./line.js";

/**
 * Decodes the header at the start of a stream, whatever the chunks it comes in.
 *
 * Call `receive(chunk)`, then `next()`: null means that it needs more. Once `next()` has returned the header, `rest` is
 * what the last chunk holds behind it.
 *
 * Source: "The PROXY protocol, versions 1 & 2", sections 2.1 and 2.2
 */
export class ProxyHeaderDecoder {
	#chunk: Uint8Array = NOTHING;
	#position = 0; // of the first byte of the chunk that was not read
	#bytes = new Uint8Array(LONGEST_LINE); // the header so far
	#filled = 0;
	#length = 0; // of the whole header, once a binary one has told it
	#header: ProxyHeader | null = null;
	#error: unknown = null;

	/** Bytes of the last chunk that were not read: a view, of the caller's bytes. */
	get rest(): Uint8Array {
		return this.#chunk.subarray(this.#position);
	}

	/**
	 * Gives the decoder the next chunk. It is the caller's, and must not change until `next()` has returned.
	 *
	 * @throws UsageError `ERR_NETSTRING_UNREAD` if `next()` was not called for the chunk before it; `ERR_QMTP_ENDED` if
	 * the header is complete.
	 */
	receive(chunk: Uint8Array): void {
		if (this.#header !== null) throw new UsageError("ERR_QMTP_ENDED", "the PROXY header is complete");
		if (this.#position < this.#chunk.length) {
			throw new UsageError("ERR_NETSTRING_UNREAD", "call next() before the next receive()");
		}
		this.#chunk = chunk;
		this.#position = 0;
	}

	/**
	 * The header; null if it is not complete.
	 *
	 * @throws ProtocolError `ERR_QMTP_PROXY_HEADER` as soon as no header can start so; the same one at each further call.
	 */
	next(): ProxyHeader | null {
		if (this.#error !== null) throw this.#error;
		try {
			while (this.#header === null && this.#position < this.#chunk.length) this.#advance();
		} catch (error) {
			this.#error = error;
			throw error;
		}
		return this.#header;
	}

	#advance(): void {
		if (this.#length > 0) {
			this.#fill(Math.min(this.#length - this.#filled, this.#chunk.length - this.#position));
		} else {
			this.#fill(1);
			this.#look();
		}
		if (this.#length > 0 && this.#filled === this.#length) this.#header = readBinary(this.#bytes);
		if (this.#header !== null) this.#bytes = NOTHING;
	}

	#fill(count: number): void {
		const end = this.#position + count;
		this.#bytes.set(this.#chunk.subarray(this.#position, end), this.#filled);
		this.#position = end;
		this.#filled += count;
	}

	/** Looks at the byte read last. */
	#look(): void {
		const at = this.#filled - 1;
		const isBinary = this.#bytes[0] === CR;
		const signature = isBinary ? BINARY_SIGNATURE : LINE_SIGNATURE;
		if (at < signature.length) {
			if (this.#bytes[at] !== signature[at]) throw invalid("the connection does not start with one", at);
		} else if (isBinary) {
			this.#length = binaryLength(this.#bytes, this.#filled);
			if (this.#length === 0) return;
			const head = this.#bytes.subarray(0, this.#filled);
			this.#bytes = new Uint8Array(this.#length);
			this.#bytes.set(head);
		} else {
			this.#lookAtLine(at);
		}
	}

	#lookAtLine(at: number): void {
		const isEnd = this.#bytes[at] === LF;
		if ((this.#bytes[at - 1] === CR) !== isEnd)
			throw invalid("CR and LF stand only together, at the end of the line", at);
		if (isEnd) this.#header = readLine(String.fromCharCode(...this.#bytes.subarray(0, at - 1)));
		else if (this.#filled === LONGEST_LINE) throw invalid(`no line end in ${LONGEST_LINE} bytes`, at);
	}
}

const NOTHING = new Uint8Array(0);
const CR = 0x0d;
const LF = 0x0a;
const LINE_SIGNATURE = [...Buffer.from("PROXY ")];
const BINARY_SIGNATURE = [...Buffer.from("\r\n\r\n\0\r\nQUIT\n")];
