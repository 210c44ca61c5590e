/**
 * A message that is sent when it is whole: in memory while it is small, in a file if it becomes larger than what was
 * counted for it.
 *
 * What is held is one array, into which the body is copied: the client wants it in one piece, and a view would pin the
 * chunk around it, of which nobody would know.
 */
import { type Body, bytesBody } from "../../body/body.js";
import { UsageError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { MessageInfo } from "../../protocol/message-info.js";
import type { Encoding } from "../../protocol/package-event.js";
import type { QmtpResponse } from "../../protocol/response.js";
import type { Delivery } from "../queue.js";
import { allResponses, wireEnvelope } from "./envelope.js";
import { queueError } from "./failure.js";
import type { LoopGuard } from "./loop-guard.js";
import { type NextHop, sendTo } from "./next-hop.js";
import { SpoolWriter } from "./spool-writer.js";

/** What a delivery needs of its queue. */
export interface StoredDeliveryContext {
	readonly hop: NextHop;
	readonly guard: LoopGuard;
	/** Told of the commit, and returns it: a queue that is closed waits for it. */
	track<T>(commit: Promise<T>): Promise<T>;
	/** How the body will be encoded on the wire. */
	readonly encoding: Encoding;
	/** How many bytes it may hold in memory. */
	readonly room: number;
	/** Called once, when it holds nothing any more. */
	ended(): void;
}

/** A delivery of a message that is stored until it is sent. */
export class StoredDelivery implements Delivery {
	readonly #message: MessageInfo;
	readonly #context: StoredDeliveryContext;
	#held: Uint8Array;
	#filled = 0;
	#spool: SpoolWriter | null = null; // if the body did not fit; then nothing is held
	#state: "open" | "committing" | "aborted" = "open";

	constructor(message: MessageInfo, context: StoredDeliveryContext) {
		this.#message = message;
		this.#context = context;
		const { length } = message;
		// At once as large as it will be, if that is known; else it grows.
		this.#held = Buffer.allocUnsafe(Math.min(context.room, length === undefined ? SMALLEST : context.room));
	}

	get heldBytes(): number {
		return this.#spool === null ? this.#held.length : this.#context.room;
	}

	write(bytes: Uint8Array): void | Promise<void> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "write() after commit() or abort()");
		this.#context.guard.watch(bytes);
		if (this.#spool !== null) return spooled(this.#spool, bytes);
		const size = this.#filled + bytes.length;
		if (size > this.#context.room) return this.#startSpool(bytes);
		if (size > this.#held.length) this.#enlarge(size);
		this.#held.set(bytes, this.#filled);
		this.#filled = size;
	}

	async commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "commit() after commit() or abort()");
		this.#state = "committing";
		return await this.#context.track(this.#commit(envelope));
	}

	async abort(reason: Error): Promise<void> {
		if (this.#state !== "open") return; // it comes to its own end, or has
		this.#state = "aborted";
		await this.#spool?.abort(reason);
		this.#end();
	}

	async #commit(all: Envelope): Promise<readonly QmtpResponse[]> {
		const { hop, encoding } = this.#context;
		const { envelope, refusals } = wireEnvelope(all, this.#message.addressEncoding);
		let body: Body | null = null;
		try {
			body = await this.#whole();
			if (envelope === null) return refusals as QmtpResponse[]; // nobody was left out
			return allResponses(refusals, await sendTo(hop, { body, encoding, envelope }));
		} catch (error) {
			throw queueError(error);
		} finally {
			// What becomes of a file that nobody else can open changes nothing about the answers.
			await body?.close().catch(() => {});
			this.#end();
		}
	}

	#whole(): Body | Promise<Body> {
		return this.#spool === null ? bytesBody(this.#held.subarray(0, this.#filled)) : this.#spool.end();
	}

	#startSpool(bytes: Uint8Array): Promise<void> {
		const spool = new SpoolWriter(this.#context.room);
		this.#spool = spool;
		const held = this.#held.subarray(0, this.#filled);
		this.#held = NOTHING;
		return held.length === 0 ? spooled(spool, bytes) : spooled(spool, held).then(() => spooled(spool, bytes));
	}

	#enlarge(size: number): void {
		const larger = Buffer.allocUnsafe(Math.min(Math.max(size, this.#held.length * 2), this.#context.room));
		larger.set(this.#held.subarray(0, this.#filled));
		this.#held = larger;
	}

	#end(): void {
		this.#held = NOTHING;
		this.#context.ended();
	}
}

async function spooled(spool: SpoolWriter, bytes: Uint8Array): Promise<void> {
	try {
		await spool.write(bytes);
	} catch (error) {
		throw queueError(error);
	}
}

const SMALLEST = 4096;
const NOTHING = new Uint8Array(0);
