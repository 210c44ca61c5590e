/**
 * An incremental decoder for responses. A response is short, so it is kept until it is whole.
 *
 * Source: D. J. Bernstein, "Quick Mail Transfer Protocol (QMTP)", section 5.
 */
import { ProtocolError } from "../errors.js";
import { BYTES, END, LENGTH, NEED_DATA, NetstringDecoder } from "../netstring/decoder.js";
import type { QmtpResponse, Status } from "./response.js";

/** Decodes a stream of responses, whatever the chunks it comes in. */
export class ResponseDecoder {
	readonly #netstrings: NetstringDecoder;
	#bytes: Uint8Array = NOTHING; // of a response that a chunk's end cuts
	#filled = 0;
	#status: Status = "Z"; // of the current response, and its description, when all its bytes were read
	#description = "";
	#error: ProtocolError | null = null;

	/** @param options - `maxLength` is the longest response in bytes, its status included; 65536 by default. */
	constructor(options: { readonly maxLength?: number } = {}) {
		this.#netstrings = new NetstringDecoder({ maxLength: options.maxLength ?? LONGEST_RESPONSE });
	}

	/** True between two responses: no byte of the next one has been read. */
	get idle(): boolean {
		return this.#netstrings.idle;
	}

	/** Offset in the stream of the next byte to be read. */
	get offset(): number {
		return this.#netstrings.offset;
	}

	/**
	 * Gives the decoder the next chunk. It stays the caller's, and must not change until `next()` has returned null.
	 *
	 * @throws UsageError `ERR_NETSTRING_UNREAD` if the chunk before it was not read to its end.
	 */
	receive(chunk: Uint8Array): void {
		this.#netstrings.receive(chunk);
	}

	/**
	 * The next response, or null if the chunk is used up. The response is handed up when its comma was read, not
	 * before. Its description is decoded as UTF-8; bytes that are not become U+FFFD. It is not cleaned: it may hold
	 * control characters.
	 *
	 * @throws ProtocolError `ERR_NETSTRING_*`, `ERR_QMTP_RESPONSE_EMPTY`, `ERR_QMTP_RESPONSE_STATUS`; each further call
	 * throws the same error.
	 */
	next(): QmtpResponse | null {
		if (this.#error !== null) throw this.#error;
		const netstrings = this.#netstrings;
		for (;;) {
			switch (netstrings.next()) {
				case NEED_DATA:
					return null;
				case LENGTH:
					if (netstrings.length === 0) this.#fail("ERR_QMTP_RESPONSE_EMPTY", "response without a status", 1);
					this.#filled = 0;
					break;
				case BYTES:
					this.#gather();
					break;
				case END:
					return { status: this.#status, description: this.#description };
			}
		}
	}

	#gather(): void {
		const { chunk, start, end, length } = this.#netstrings;
		if (this.#filled === 0 && !isStatus(chunk[start])) {
			this.#fail("ERR_QMTP_RESPONSE_STATUS", "response starts with neither K nor Z nor D", end - start);
		}
		if (end - start === length) {
			this.#decode(chunk, start, end);
			return;
		}
		if (this.#filled === 0) this.#bytes = new Uint8Array(length);
		this.#bytes.set(chunk.subarray(start, end), this.#filled);
		this.#filled += end - start;
		if (this.#filled < length) return;
		this.#decode(this.#bytes, 0, length);
		this.#bytes = NOTHING;
	}

	/** A view into the chunk where the response is whole in it, which nearly all are: the copy is the string. */
	#decode(bytes: Uint8Array, start: number, end: number): void {
		this.#status = statusOf(bytes[start] as number);
		this.#description = utf8.decode(bytes.subarray(start + 1, end));
	}

	#fail(code: ProtocolError["code"], message: string, before: number): never {
		this.#error = new ProtocolError(code, message, this.#netstrings.offset - before);
		throw this.#error;
	}
}

function statusOf(byte: number): Status {
	return byte === 0x4b ? "K" : byte === 0x5a ? "Z" : "D";
}

function isStatus(byte: number | undefined): boolean {
	return byte === 0x4b || byte === 0x5a || byte === 0x44;
}

const NOTHING = new Uint8Array(0);
const LONGEST_RESPONSE = 65536; // qmail's clients keep 2,000 to 5,000 bytes of a text
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true }); // a U+FEFF in front is a character like any other
