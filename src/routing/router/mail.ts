/** A message on its way through a router: read once, and sent to as many servers as its recipients need. */
import type { Body } from "../../body/body.js";
import { InputStream } from "../../body/input.js";
import { ReceivedCounter } from "../../body/received-counter.js";
import { spool } from "../../body/spool.js";
import type { SendOptions } from "../../client/client.js";
import { prepareMessage, sourceError } from "../../client/message.js";

/** A message whose body can be read again and again. Its lines end in LF. */
export interface RoutedMessage {
	readonly sender: string;
	readonly body: Body;
}

/**
 * Reads what there is to read of a message: a stream is spooled, in memory up to 1 MiB and then in a file; a file is
 * opened.
 *
 * @param stream - The message if it is a stream, which the caller releases.
 * @throws As `QmtpClient.send`; the signal's reason.
 */
export async function openMail(
	options: SendOptions,
	stream: InputStream | null,
	signal: AbortSignal,
): Promise<RoutedMessage> {
	const { message, sender } = options;
	const once = isBody(message) && (!message.repeatable || options.encoding === "crlf") ? message : null;
	const source = once === null ? stream : new InputStream(chunksOf(once));
	const size = once === null ? {} : { size: once.length, encoding: options.encoding ?? "lf" };
	return await whileReading(source, signal, async () => {
		const { body } = await prepareMessage(
			{ ...options, ...size, message: source ?? message, transmit: "lf" },
			source,
		);
		return { sender, body: body.repeatable ? body : await spool(body.chunks()) };
	});
}

/**
 * Whether the message has more Received fields than `most`: it goes in circles.
 *
 * @throws UsageError `ERR_QMTP_MESSAGE_SOURCE` if it cannot be read; the signal's reason.
 */
export async function loops(body: Body, most: number, signal: AbortSignal): Promise<boolean> {
	const counter = new ReceivedCounter();
	const chunks = new InputStream(chunksOf(body));
	await whileReading(chunks, signal, async () => {
		for await (const chunk of chunks) {
			counter.write(chunk);
			if (counter.ended || counter.count > most) break;
		}
	});
	return counter.count > most;
}

function isBody(message: SendOptions["message"]): message is Body {
	return typeof message === "object" && message !== null && "chunks" in message && "repeatable" in message;
}

function chunksOf(body: Body): AsyncIterable<Uint8Array> {
	try {
		return body.chunks();
	} catch (error) {
		throw sourceError(error);
	}
}

/** Lets go of a stream when what reads it has done, or the signal is aborted. */
async function whileReading<T>(
	stream: InputStream | null,
	signal: AbortSignal,
	read: () => Promise<T>,
): Promise<T> {
	const release = () => stream?.release();
	signal.addEventListener("abort", release, { once: true });
	try {
		signal.throwIfAborted();
		return await read();
	} catch (error) {
		signal.throwIfAborted(); // what broke since it was aborted is told as that
		throw sourceError(error);
	} finally {
		signal.removeEventListener("abort", release);
		release();
	}
}
