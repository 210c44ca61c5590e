/** The subpath `qmtp/queue/discard`: a queue that throws everything away. For benchmarks, and for tests of clients. */
import type { Envelope } from "../protocol/envelope.js";
import type { MessageInfo } from "../protocol/message-info.js";
import type { QmtpResponse } from "../protocol/response.js";
import type { Delivery, Queue } from "./queue.js";
import { receipt } from "./receipt.js";

/**
 * A queue that accepts every message for every recipient and keeps nothing. Its K is a lie, so it has no place where
 * mail matters.
 */
export function discardQueue(): Queue {
	return { open: (message) => new DiscardDelivery(message) };
}

class DiscardDelivery implements Delivery {
	readonly heldBytes = 0;

	readonly #message: MessageInfo;

	constructor(message: MessageInfo) {
		this.#message = message;
	}

	write(): void {}

	commit({ recipients }: Envelope): Promise<readonly QmtpResponse[]> {
		const response = receipt(this.#message.id);
		return Promise.resolve(recipients.map(() => response));
	}

	abort(): Promise<void> {
		return DONE;
	}
}

const DONE = Promise.resolve();
