/** A message on its way through a router: read once, and sent to as many servers as its recipients need. */
import type { Body } from "../../body/body.js";
import { ReceivedCounter } from "../../body/received-counter.js";
import { spool } from "../../body/spool.js";
import type { SendOptions } from "../../client/client.js";
import { messageInput, prepareMessage } from "../../client/message.js";

/** A message whose body can be read again and again. Its lines end in LF. */
export interface RoutedMessage {
	readonly sender: string;
	readonly body: Body;
}

/**
 * Reads what there is to read of a message: a stream is spooled, in memory up to 1 MiB and then in a file; a file is
 * opened.
 *
 * @throws As `QmtpClient.send`; the signal's reason.
 */
export async function openMail(
	options: SendOptions,
	signal: AbortSignal | undefined,
): Promise<RoutedMessage> {
	const input = messageInput(options.message);
	const release = () => input?.release();
	signal?.addEventListener("abort", release, { once: true });
	try {
		signal?.throwIfAborted();
		const { body } = await prepareMessage({ ...options, transmit: "lf" }, input);
		const repeatable = body.repeatable ? body : await spool(body.chunks());
		return { sender: options.sender, body: repeatable };
	} catch (error) {
		signal?.throwIfAborted(); // what broke since it was aborted is told as that
		throw error;
	} finally {
		signal?.removeEventListener("abort", release);
		release();
	}
}

/** Whether the message has more Received fields than `most`: it goes in circles. */
export async function loops(body: Body, most: number): Promise<boolean> {
	const counter = new ReceivedCounter();
	for await (const chunk of body.chunks()) {
		counter.write(chunk);
		if (counter.ended || counter.count > most) break;
	}
	return counter.count > most;
}
