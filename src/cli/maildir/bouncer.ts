/** Puts bounces into a queue. */
import type { MessageInfo } from "../../protocol/message-info.js";
import type { Mail } from "../../queue/maildir/mail.js";
import type { Delivery, Queue } from "../../queue/queue.js";
import { type BounceNames, bounceEnvelope, bounceText } from "./bounce-message.js";

/** What has become of a bounce: its number in the queue, or that there must be none. */
export type Bounced = { readonly type: "returned"; readonly id: string } | { readonly type: "discarded" };

/** Sends mail back. */
export class Bouncer {
	readonly #queue: Queue;
	readonly #names: BounceNames;
	#number = 0;

	constructor(queue: Queue, names: BounceNames) {
		this.#queue = queue;
		this.#names = names;
	}

	/**
	 * Sends a mail back to its sender. When it resolves the bounce is stored, and the mail may be removed.
	 *
	 * @param said - What the server said of it.
	 * @param tooOld - The server may well take it some day, but nobody waits for that.
	 * @throws An Error whose message says why there is no bounce.
	 */
	async bounce(mail: Mail, said: string, tooOld: boolean): Promise<Bounced> {
		if (mail.sender.includes("\0")) throw new Error("bad file format");
		const envelope = bounceEnvelope(mail, this.#names);
		if (envelope === null) return { type: "discarded" };
		const reason = { said, tooOld, date: new Date() };
		const text = bounceText(mail, envelope.recipients[0] as string, reason, this.#names);
		const delivery = await queueCall(() => this.#queue.open(this.#messageInfo(text.length + mail.size)));
		await write(delivery, Buffer.from(text, "latin1"), mail);
		const [response] = await queueCall(() => delivery.commit(envelope));
		if (response?.status !== "K") throw new Error(`qq failed: ${response?.description}`);
		const { description } = response;
		return { type: "returned", id: /\bqp (\d+)/.exec(description)?.[1] ?? description };
	}

	#messageInfo(length: number): MessageInfo {
		return {
			id: `${Date.now()}${process.pid}${++this.#number}`,
			peer: { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 0 },
			access: {},
			encoding: "lf",
			length,
			exact: true,
			addressEncoding: "latin1",
		};
	}
}

/** Writes the bounce. If that fails the delivery has been aborted. */
async function write(delivery: Delivery, text: Uint8Array, mail: Mail): Promise<void> {
	let length = 0;
	try {
		await queueCall(() => delivery.write(text));
		for await (const chunk of mail.chunks()) {
			await queueCall(() => delivery.write(chunk));
			length += chunk.length;
		}
		if (length !== mail.size) throw new Error("the file has changed");
	} catch (error) {
		await delivery.abort(error as Error);
		throw error;
	}
}

/** What the queue returns; its refusals say whose they are. */
async function queueCall<T>(call: () => T | Promise<T>): Promise<T> {
	try {
		return await call();
	} catch (cause) {
		throw new Error(`qq failed: ${(cause as Error).message}`, { cause });
	}
}
