/** One message on its way into a qmail-queue. */
import { QueueError, UsageError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { MessageInfo } from "../../protocol/message-info.js";
import type { QmtpResponse } from "../../protocol/response.js";
import type { Delivery } from "../queue.js";
import { receipt } from "../receipt.js";
import type { Child, Ending } from "./child.js";
import { envelopeForQueue } from "./envelope.js";
import { exitResponse, READ_ERROR } from "./exit-code.js";

/** A delivery to a child that runs. */
export class QmailQueueDelivery implements Delivery {
	readonly #child: Child;
	readonly #message: MessageInfo;
	#state: "open" | "committing" | "aborted" = "open";

	constructor(child: Child, message: MessageInfo) {
		this.#child = child;
		this.#message = message;
	}

	get heldBytes(): number {
		return this.#child.heldBytes;
	}

	write(bytes: Uint8Array): void | Promise<void> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "write() after commit() or abort()");
		return this.#child.write(bytes);
	}

	async commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		if (this.#state !== "open") throw new UsageError("ERR_QMTP_ENDED", "commit() after commit() or abort()");
		this.#state = "committing";
		const child = this.#child;
		const { bytes, refusals } = envelopeForQueue(envelope, this.#message.addressEncoding);
		if (bytes === null) child.cut();
		else child.finish(bytes);
		const ending = await child.ended;
		if (bytes === null) return refusals as QmtpResponse[]; // nobody was left out
		const response = responseTo(ending, child.pid);
		return refusals.map((refusal) => refusal ?? response);
	}

	async abort(): Promise<void> {
		if (this.#state === "committing") return; // it comes to its own end
		this.#state = "aborted";
		this.#child.cut();
		await this.#child.ended;
	}
}

/** The response of a child that had an envelope. What it said itself counts, even if it was about to be killed. */
function responseTo({ code, signal, timedOut, readAll, text }: Ending, pid: number): QmtpResponse {
	if (code === 0) return readAll ? receipt(String(pid)) : READ_ERROR;
	if (code !== null) return exitResponse(code, text);
	const cause = new Error(`process ${pid} was ended by ${signal}`);
	throw new QueueError("ERR_QMTP_QUEUE", timedOut ? "qq timeout (#4.3.0)" : "qq crashed (#4.3.0)", { cause });
}
