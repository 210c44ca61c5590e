/** Refuses mail that goes in circles: each host that it passes adds a Received field. */
import { ReceivedCounter } from "../../body/received-counter.js";
import { QueueError } from "../../errors.js";

/** Watches one message go by. */
export class LoopGuard {
	readonly #most: number;
	readonly #counter = new ReceivedCounter();
	#own: number; // bytes to come of the field that this host has added, which does not count

	/**
	 * @param most - How many Received fields a message may have.
	 * @param own - The length of the field that this host has put on top.
	 */
	constructor(most: number, own: number) {
		this.#most = most;
		this.#own = own;
	}

	/** Looks at the next bytes of the message. @throws QueueError, permanent, at the first field that is too many. */
	watch(bytes: Uint8Array): void {
		if (this.#counter.ended) return;
		const own = Math.min(this.#own, bytes.length);
		this.#own -= own;
		this.#counter.write(own === 0 ? bytes : bytes.subarray(own));
		if (this.#counter.count <= this.#most) return;
		// As qmail-smtpd says it.
		const message = "too many hops, this message is looping (#5.4.6)";
		throw new QueueError("ERR_QMTP_QUEUE", message, { permanent: true });
	}
}
