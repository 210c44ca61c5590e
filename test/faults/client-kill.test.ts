/**
 * The client, while `qmtp serve` is killed and comes back at random moments: what it says of each recipient of each call
 * is true. Each call has a message of its own, so what is stored can be told apart from what was sent again.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { newSeed, Random } from "../../benchmarks/soak/random.js";
import { QmtpClient } from "../../src/client/client.js";
import type { QmtpError } from "../../src/errors.js";
import { kill, listen, takeAll } from "../support/faults-killed.js";
import { copiesOf, faultMail } from "../support/faults-mails.js";
import { withDirectory } from "../support/program.js";

const KILLS = 30;
const CLIENTS = 3;
const CALLS_AT_ONCE = 10; // of each client

/** The copies, by what the client said of them. */
class Outcomes {
	readonly accepted: string[] = [];
	readonly perhaps: string[] = [];
	readonly surelyNot: string[] = [];
	readonly unexpected: string[] = [];
}

test(`what it says of a server that is killed ${KILLS} times is true`, { timeout: 240_000 }, async () => {
	const seed = newSeed();
	const random = new Random(seed);
	const told = `seed ${seed}`;
	const outcomes = new Outcomes();
	await withDirectory(async (directory) => {
		const maildir = join(directory, "mail");
		let server = await listen(`maildir:${maildir}`);
		const { port } = server;
		const stop = new AbortController();
		const work = Array.from({ length: CLIENTS }, (_, number) =>
			sendUntil(stop.signal, port, { name: String(number), random, outcomes }),
		);
		for (let kills = 0; kills < KILLS; kills++) {
			await sleep(random.between(10, 120));
			await kill(server);
			server = await listen(`maildir:${maildir}`, port);
		}
		stop.abort();
		await Promise.all(work);
		await kill(server);

		const stored = await takeAll(maildir).catch((cause) => {
			throw new Error(told, { cause });
		});
		expect(outcomes.unexpected, told).toEqual([]);
		expect(
			outcomes.accepted.filter((copy) => !stored.has(copy)),
			`K, and not there; ${told}`,
		).toEqual([]);
		expect(
			outcomes.surelyNot.filter((copy) => stored.has(copy)),
			`surely not accepted, and there; ${told}`,
		).toEqual([]);
	});
	expect(outcomes.accepted.length).toBeGreaterThan(KILLS);
	expect(outcomes.perhaps.length, told).toBeGreaterThan(0);
	expect(outcomes.surelyNot.length, told).toBeGreaterThan(0);
});

/** Keeps a client busy until the signal; then what is under way comes to its end. */
async function sendUntil(
	stop: AbortSignal,
	port: number,
	{ name, random, outcomes }: { name: string; random: Random; outcomes: Outcomes },
): Promise<void> {
	const client = new QmtpClient({ port });
	let calls = 0;
	const work = async () => {
		while (!stop.aborted) await sendOne(client, `${name}-${calls++}`, random, outcomes);
	};
	await Promise.all(Array.from({ length: CALLS_AT_ONCE }, work));
	await client.close();
}

async function sendOne(client: QmtpClient, id: string, random: Random, outcomes: Outcomes): Promise<void> {
	// Above 256 KiB a body goes out in pieces, and its package may be begun again on the next connection.
	const size = random.chance(0.1) ? random.between(262_144, 600_000) : random.between(0, 5000);
	const mail = faultMail(id, size, random.chance(0.3) ? 3 : 1, random);
	const copies = copiesOf(mail);
	const { recipients, body } = mail;
	const message = random.chance(0.3) ? inPieces(body) : body;
	try {
		const { responses } = await client.send({ sender: "s@example.org", recipients, message });
		for (const [index, { status, error, possiblyAccepted, description }] of responses.entries()) {
			const copy = copies[index] as string;
			if (status === "K") outcomes.accepted.push(copy);
			else if (error === undefined) outcomes.unexpected.push(`${copy}: ${status}${description}`);
			else (possiblyAccepted === true ? outcomes.perhaps : outcomes.surelyNot).push(copy);
		}
	} catch (error) {
		// Nobody listens: nothing went out.
		if ((error as QmtpError).code === "ERR_QMTP_CONNECT") outcomes.surelyNot.push(...copies);
		else outcomes.unexpected.push(`${id}: ${error}`);
		await sleep(5);
	}
}

async function* inPieces(body: Buffer): AsyncGenerator<Uint8Array> {
	for (let at = 0; at < body.length; at += 50_000) yield body.subarray(at, at + 50_000);
}
