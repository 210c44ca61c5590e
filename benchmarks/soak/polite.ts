/** Clients as they should be: a `QmtpClient` for some messages, then another one. */
import { QmtpClient, type QmtpError } from "qmtp";
import type { Turn } from "./turn.js";

/** One after the other, until the turn is over. */
export async function politeClients(turn: Turn): Promise<void> {
	while (!turn.over) {
		const client = new QmtpClient({ port: turn.port });
		let left = turn.random.between(1, 60);
		const work = async () => {
			while (!turn.over && left-- > 0) await send(client, turn);
		};
		await Promise.all(Array.from({ length: AT_ONCE }, work));
		await client.close();
		turn.tally.count("polite clients");
	}
}

async function send(client: QmtpClient, turn: Turn): Promise<void> {
	const mail = turn.mixedMail();
	const { recipients, body } = mail;
	const message = turn.random.chance(0.3) ? inPieces(body) : body;
	try {
		const { responses } = await client.send({ sender: "sender@example.org", recipients, message });
		for (const { recipient, status, description } of responses) {
			turn.answered(mail, recipient, status + description);
		}
	} catch (error) {
		turn.tally.fail(`send() rejected: ${(error as QmtpError).code ?? error}`);
	}
}

async function* inPieces(body: Buffer): AsyncGenerator<Uint8Array> {
	for (let at = 0; at < body.length; at += 50_000) yield body.subarray(at, at + 50_000);
}

const AT_ONCE = 8;
