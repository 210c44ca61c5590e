/**
 * The server's side of a connection: packages in, responses out, and nothing between. It opens no socket and sets no
 * timer; whoever owns both feeds it bytes and sends what it says.
 */
import { NEED_DATA } from "../netstring/decoder.js";
import type { PackageLimits } from "./limits.js";
import {
	BODY,
	MESSAGE,
	PACKAGE_END,
	PackageDecoder,
	type PackageStep,
	RECIPIENT,
	SENDER,
} from "./package-decoder.js";
import type { PackageEvent } from "./package-event.js";
import type { QmtpResponse } from "./response.js";
import { ResponseQueue } from "./response-queue.js";

/** What a {@link ServerConnection} came upon. */
export type ServerEvent = (PackageEvent & Numbered) | CloseEvent;

/** Tells which package an event belongs to. */
export interface Numbered {
	/** The number of the package on its connection: 0 for the first. */
	readonly number: number;
}

/** The client's bytes have ended. */
export interface CloseEvent {
	/** Which event it is. */
	readonly type: "close";
	/** False if they ended inside a package, which is thus thrown away. */
	readonly clean: boolean;
}

/**
 * One connection, seen from the server.
 *
 * Call `receive(chunk)`, then `next()` until it returns null. Answer each `end` by `respond(number, responses)`, at
 * once or later and in any order, and send what `transmit()` gives. Flush before each wait for input: a client may be
 * waiting for these responses.
 */
export class ServerConnection {
	/** What `step()` came upon stands in its fields. To be read only: `step()` drives it. */
	readonly decoder: PackageDecoder;
	readonly #responses = new ResponseQueue();
	#number = -1;
	#recipients = 0;
	#close: "no" | "untold" | "told" = "no";

	/** @throws UsageError `ERR_QMTP_OPTION` if a limit is no number of bytes. */
	constructor(limits: Partial<PackageLimits> = {}) {
		this.decoder = new PackageDecoder(limits);
	}

	/** Packages read to their end whose responses have not been given to `transmit()`'s caller. */
	get pending(): number {
		return this.#responses.pending;
	}

	/** The number of the current package, from its message on: 0 for the first. -1 before it. */
	get number(): number {
		return this.#number;
	}

	/** True between two packages: no byte of the next one has been read. */
	get idle(): boolean {
		return this.decoder.idle;
	}

	/** Gives the connection the next chunk; see {@link PackageDecoder.receive}. */
	receive(chunk: Uint8Array): void {
		this.decoder.receive(chunk);
	}

	/** Says that the client will send no more. It may still wait for responses. */
	receiveEnd(): void {
		this.decoder.receiveEnd();
		if (this.#close === "no") this.#close = "untold";
	}

	/**
	 * The next event, or null if the chunk is used up.
	 *
	 * @throws ProtocolError as {@link PackageDecoder.next}. The packages before it are still to be answered.
	 */
	next(): ServerEvent | null {
		const step = this.step();
		const { decoder } = this;
		const number = this.#number;
		switch (step) {
			case NEED_DATA:
				return this.#closeEvent();
			case MESSAGE:
				return { type: "message", number, encoding: decoder.encoding, length: decoder.length };
			case BODY:
				return { type: "body", number, bytes: decoder.chunk.subarray(decoder.start, decoder.end) };
			case SENDER:
				return { type: "sender", number, address: decoder.copyAddress() };
			case RECIPIENT:
				return { type: "recipient", number, address: decoder.copyAddress() };
			case PACKAGE_END:
				return { type: "end", number };
		}
	}

	/** The same as `next()` without making an event; `close` is not told. See {@link PackageDecoder.step}. */
	step(): PackageStep {
		const step = this.decoder.step();
		if (step === RECIPIENT) {
			this.#recipients++;
		} else if (step === MESSAGE) {
			this.#number++;
			this.#recipients = 0;
		} else if (step === PACKAGE_END) {
			this.#responses.add(this.#recipients);
		}
		return step;
	}

	/** Hands up no more bytes of the current message's body: they are read and dropped. */
	skipBody(): void {
		this.decoder.skipBody();
	}

	/**
	 * Gives the responses to a package whose `end` was told: one for each of its recipients, in their order.
	 *
	 * @throws UsageError `ERR_QMTP_RESPONSES` if that package has not ended or has been answered, or if the number of
	 * responses is not that of its recipients.
	 */
	respond(number: number, responses: readonly QmtpResponse[]): void {
		this.#responses.respond(number, responses);
	}

	/** Takes the responses that may be sent now, in order. Empty if a package before them has none yet. */
	transmit(): QmtpResponse[] {
		return this.#responses.take();
	}

	#closeEvent(): ServerEvent | null {
		if (this.#close !== "untold") return null;
		this.#close = "told";
		return { type: "close", clean: this.idle };
	}
}
