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
					this.#bytes = NOTHING;
					this.#filled = 0;
					break;
				case BYTES:
					this.#gather();
					break;
				case END:
					return this.#response();
			}
		}
	}

	#gather(): void {
		const { chunk, start, end, length } = this.#netstrings;
		if (this.#filled === 0 && !isStatus(chunk[start])) {
			this.#fail("ERR_QMTP_RESPONSE_STATUS", "response starts with neither K nor Z nor D", end - start);
		}
		if (this.#filled === 0) this.#bytes = new Uint8Array(length);
		this.#bytes.set(chunk.subarray(start, end), this.#filled);
		this.#filled += end - start;
	}

	#response(): QmtpResponse {
		const bytes = this.#bytes;
		this.#bytes = NOTHING;
		const status = String.fromCharCode(bytes[0] as number) as Status;
		return { status, description: utf8.decode(bytes.subarray(1)) };
	}

	#fail(code: ProtocolError["code"], message: string, before: number): never {
		this.#error = new ProtocolError(code, message, this.#netstrings.offset - before);
		throw this.#error;
	}
}

function isStatus(byte: number | undefined): boolean {
	return byte === 0x4b || byte === 0x5a || byte === 0x44;
}

const NOTHING = new Uint8Array(0);
const LONGEST_RESPONSE = 65536; // qmail's clients keep 2,000 to 5,000 bytes of a text
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true }); // a U+FEFF in front is a character like any other
