/** The clients of the loopback benchmark. Each checks every answer. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { QmtpClient } from "qmtp";
import { BYTES, END, NEED_DATA, NetstringDecoder } from "qmtp/netstring";

/**
 * Sends `times` chunks, which were made before, as fast as the socket takes them, and reads the answers meanwhile.
 *
 * @returns How many answers there were.
 * @throws Error if one of them is no K.
 */
export async function sendPrebuilt(port: number, chunks: readonly Buffer[], times: number): Promise<number> {
	const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
	await once(socket, "connect");
	const answers = countAnswers(socket);
	for (let sent = 0; sent < times; sent++) {
		const more = socket.write(chunks[sent % chunks.length] as Buffer);
		if (!more) await once(socket, "drain");
	}
	socket.end();
	return await answers;
}

/** Sends `messages` equal messages by one call of `send` each, with so many calls under way at once. */
export async function sendByClient(
	port: number,
	{ body, messages, atOnce }: { body: Uint8Array; messages: number; atOnce: number },
): Promise<void> {
	const client = new QmtpClient({ port });
	const message = { sender: "sender@example.org", recipients: ["recipient@example.com"], message: body };
	let left = messages;
	const work = async () => {
		while (left-- > 0) {
			const { accepted } = await client.send(message);
			if (accepted.length !== 1) throw new Error("a message was not accepted");
		}
	};
	await Promise.all(Array.from({ length: atOnce }, work));
	await client.close();
}

async function countAnswers(socket: Socket): Promise<number> {
	const decoder = new NetstringDecoder();
	let count = 0;
	let status = 0; // of the answer under way; 0 before its first byte
	for await (const chunk of socket) {
		decoder.receive(chunk);
		for (let step = decoder.next(); step !== NEED_DATA; step = decoder.next()) {
			if (step === BYTES && status === 0) {
				status = chunk[decoder.start];
			} else if (step === END) {
				if (status !== STATUS_K) throw new Error(`answer ${count} is no K`);
				status = 0;
				count++;
			}
		}
	}
	if (!decoder.idle) throw new Error("the last answer is cut short");
	return count;
}

const STATUS_K = 0x4b;
