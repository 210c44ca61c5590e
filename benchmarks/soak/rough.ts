/** Clients as they come: slow, deaf, half closed, gone in the midst, and such as speak something else. */
import { packageBytes } from "../fixtures/packages.js";
import { RoughConnection } from "./rough-connection.js";
import { LARGEST_TAKEN, type SoakMail, type Turn } from "./turn.js";

/** One client: it connects, does its deed, and goes. */
type Deed = (turn: Turn) => Promise<void>;

/** Of each kind some at a time, one after the other, until the turn is over. */
export async function roughClients(turn: Turn): Promise<void> {
	const work = async (name: string, deed: Deed) => {
		while (!turn.over) {
			try {
				await deed(turn);
				turn.tally.count(name);
			} catch (error) {
				turn.tally.fail(`${name}: ${(error as Error).message}`);
			}
			await turn.pause(turn.random.between(0, 50)); // else those that come and go leave no time to the others
		}
	};
	await Promise.all(
		DEEDS.flatMap(([count, name, deed]) => Array.from({ length: count }, () => work(name, deed))),
	);
}

/** A package in small pieces, with time between them. */
async function writeSlowly(turn: Turn): Promise<void> {
	const { random } = turn;
	const mail = turn.mail(random.between(0, 2000));
	const bytes = packageOf(mail);
	const connection = await RoughConnection.open(turn.port);
	for (let at = 0; at < bytes.length; ) {
		const end = at + random.between(1, 200);
		await connection.write(bytes.subarray(at, end));
		at = end;
		if (!turn.over) await turn.pause(random.between(0, 40));
	}
	await expectAnswers(turn, connection, [mail]);
	connection.socket.destroy();
}

/** Package after package, and no answer is ever read. All that is whole is stored nevertheless, so it is not much. */
async function neverRead(turn: Turn): Promise<void> {
	const connection = await RoughConnection.open(turn.port, false);
	for (let sent = 0; sent < 100 && !turn.over && !connection.gone; sent++) {
		await connection.write(packageOf(turn.mail(turn.random.between(0, 5000))), 300);
	}
	if (turn.random.chance(0.5)) connection.socket.end();
	await turn.pause(turn.random.between(100, 1000));
	connection.socket.destroy();
}

/** Some packages, then the end of this direction; all answers come nevertheless. */
async function closeHalf(turn: Turn): Promise<void> {
	const mails = Array.from({ length: turn.random.between(1, 20) }, () =>
		turn.mail(turn.random.between(0, 3000)),
	);
	const connection = await RoughConnection.open(turn.port);
	connection.socket.end(Buffer.concat(mails.map(packageOf)));
	await expectAnswers(turn, connection, mails);
	connection.socket.destroy();
}

/** What is no QMTP, from the first byte on or after a package. */
async function speakGarbage(turn: Turn): Promise<void> {
	const { random } = turn;
	const noise = Buffer.from(Array.from({ length: random.between(1, 3000) }, () => random.between(0, 255)));
	const words = [
		"EHLO me\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"99999999999999999999:",
		"-1:",
		"007:",
		":,",
		"5:\nabcd;",
	];
	const garbage = random.chance(0.5) ? noise : Buffer.from(random.pick(words));
	const mails = random.chance(0.3) ? [turn.mail(100)] : [];
	const connection = await RoughConnection.open(turn.port);
	await connection.write(Buffer.concat([...mails.map(packageOf), garbage]));
	await connection.responses(Number.POSITIVE_INFINITY, 500); // until it is thrown out; it may wait for more digits
	connection.socket.destroy();
}

/** A package that breaks off: the connection is closed, dropped or reset. */
async function breakOff(turn: Turn): Promise<void> {
	const { random } = turn;
	const bytes = packageOf(turn.mixedMail());
	const connection = await RoughConnection.open(turn.port);
	await connection.write(bytes.subarray(0, random.between(1, bytes.length - 1)));
	if (random.chance(0.5)) await turn.pause(random.between(0, 20));
	const way = random.pick(["end", "destroy", "reset"] as const);
	if (way === "end") connection.socket.end();
	else if (way === "destroy") connection.socket.destroy();
	else connection.socket.resetAndDestroy();
	const responses = way === "end" ? await connection.responses(1, 5000) : [];
	if (responses.length > 0) turn.tally.fail(`half a package was answered: ${responses[0]}`);
	connection.socket.destroy();
}

/** Nothing at all. */
async function lookIn(turn: Turn): Promise<void> {
	const connection = await RoughConnection.open(turn.port);
	if (turn.random.chance(0.5)) await turn.pause(turn.random.between(0, 100));
	connection.socket.destroy();
}

/** A message that is larger than any that is taken. */
async function sendTooMuch(turn: Turn): Promise<void> {
	await turn.pause(turn.random.between(0, 3000)); // not often: it is much to read
	if (turn.over) return;
	const mail = turn.mail(LARGEST_TAKEN);
	const connection = await RoughConnection.open(turn.port);
	await connection.write(packageOf(mail));
	const responses = await connection.responses(mail.recipients.length, PATIENCE_MS);
	if (
		responses.length !== mail.recipients.length ||
		responses.some((response) => !response.startsWith("D"))
	) {
		turn.tally.fail(`a message that is too large got ${responses.length} answers: ${responses[0]}`);
	}
	turn.tally.count("D", responses.length);
	connection.socket.destroy();
}

async function expectAnswers(
	turn: Turn,
	connection: RoughConnection,
	mails: readonly SoakMail[],
): Promise<void> {
	const due = mails.flatMap((mail) => mail.recipients.map((recipient) => ({ mail, recipient })));
	const responses = await connection.responses(due.length, PATIENCE_MS);
	if (responses.length !== due.length) turn.tally.fail("answers are missing", due.length - responses.length);
	for (const [index, response] of responses.entries()) {
		const { mail, recipient } = due[index] as (typeof due)[0];
		turn.answered(mail, recipient, response);
	}
}

function packageOf({ body, recipients }: SoakMail): Buffer {
	return packageBytes({ body, sender: "sender@example.org", recipients });
}

const PATIENCE_MS = 20_000;

const DEEDS: readonly (readonly [count: number, name: string, deed: Deed])[] = [
	[4, "slow writers", writeSlowly],
	[2, "clients that never read", neverRead],
	[2, "half-closers", closeHalf],
	[3, "speakers of garbage", speakGarbage],
	[3, "packages broken off", breakOff],
	[2, "silent visitors", lookIn],
	[1, "messages too large", sendTooMuch],
];
