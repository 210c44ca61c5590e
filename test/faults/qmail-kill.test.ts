/** `qmtp serve` in front of qmail-queue, killed: half a message is never queued, and what had a K is queued. */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { readChecked } from "../../benchmarks/soak/checked-mail.js";
import { newSeed, Random } from "../../benchmarks/soak/random.js";
import { netstring } from "../support/bytes.js";
import { kill, listen } from "../support/faults-killed.js";
import { Load } from "../support/faults-load.js";
import { withDirectory } from "../support/program.js";
import { makeQmailHome, queuedMessages } from "../support/qmail-home.js";
import { mail, TestClient } from "../support/server-client.js";

const KILLS = 20;
const MESSAGE = netstring(`\n${"x".repeat(200_000)}`);
const SENDER = netstring("sender@example.org");

test.each([
	["the message", MESSAGE.slice(0, 150_000)],
	["the sender", MESSAGE + SENDER.slice(0, 10)],
	["the recipients", `${MESSAGE + SENDER}40:${netstring("first@example.com")}`],
])("a kill in the midst of %s gives qmail-queue an empty envelope, and nothing is queued", async (_, cut) => {
	await withDirectory(async (home) => {
		await makeQmailHome(home, {}, standIn(home));
		const server = await listen(`qmail:${home}`);
		const client = await TestClient.connect(server.port);
		client.send(cut);
		await ends(home, "message", 1);
		await sleep(50); // for more of it to come
		await kill(server);
		await client.gone();
		await allEnded(home);
		expect(await namesOf(home)).toEqual(["empty"]);
		expect(client.responses).toEqual([]);
	});
});

test("a kill in the midst of an envelope that qmail-queue is slow to read queues nothing", async () => {
	await withDirectory(async (home) => {
		await makeQmailHome(
			home,
			{},
			standIn(home, "while test -e $$.whole && ! test -e go; do sleep 0.02; done"),
		);
		const server = await listen(`qmail:${home}`);
		const client = await TestClient.connect(server.port);
		// More than what a socket holds, and not more than a server takes.
		const recipients = Array.from({ length: 3000 }, (_, number) => `${"r".repeat(300)}${number}@example.com`);
		client.send(mail({ recipients }));
		await ends(home, "whole", 1);
		await sleep(100); // for the envelope to be on its way
		await kill(server);
		await client.gone();
		await writeFile(join(home, "queue", "go"), "");
		await allEnded(home);
		expect(await namesOf(home)).toEqual(["cut", "go"]);
		expect(client.responses).toEqual([]);
	});
});

test(`what a server killed ${KILLS} times has said K to is queued once, and whole`, {
	timeout: 240_000,
}, async () => {
	const seed = newSeed();
	const random = new Random(seed);
	let accepted = 0;
	for (let round = 0; round < KILLS; round++) {
		await withDirectory(async (home) => {
			const told = `seed ${seed}, round ${round}`;
			await makeQmailHome(home, {}, standIn(home));
			const server = await listen(`qmail:${home}`);
			const load = new Load(String(round), random);
			const running = load.run(server.port, 2);
			await Promise.race([load.answered(random.between(1, 30)), sleep(random.between(50, 400))]);
			await kill(server);
			await running;
			await allEnded(home);

			expect(load.refused, told).toEqual([]);
			const copies = (await queuedMessages(home)).flatMap(({ message, recipients }) => {
				const checked = readChecked(Buffer.from(message, "latin1"));
				expect(checked?.whole, told).toBe(true);
				return recipients.map((recipient) => `${checked?.id} ${recipient}`);
			});
			expect(new Set(copies).size, told).toBe(copies.length);
			expect(
				load.accepted.filter((copy) => !copies.includes(copy)),
				`lost; ${told}`,
			).toEqual([]);
			accepted += load.accepted.length;
		});
	}
	expect(accepted).toBeGreaterThan(KILLS);
});

/**
 * As qmail-queue, it takes nothing whose envelope is not whole, which ends in two NULs: exit 54. It says what it got
 * by the names of its files.
 *
 * @param beforeEnvelope - A command.
 */
function standIn(home: string, beforeEnvelope = ":"): string {
	return `#!/bin/sh
cd '${join(home, "queue")}' || exit 62
cat > $$.message || exit 53
: > $$.whole
${beforeEnvelope}
cat <&1 > $$.part || exit 53
rm $$.whole
case $(tail -c 2 $$.part | od -An -tx1 | tr -d ' ') in
0000) mv $$.part $$.envelope; exit 0 ;;
'') : > $$.empty ;;
*) : > $$.cut ;;
esac
rm $$.message $$.part
exit 54
`;
}

/** The ends of the names in the queue, sorted. */
async function namesOf(home: string): Promise<string[]> {
	const names = await readdir(join(home, "queue"));
	return names.map((name) => name.slice(name.indexOf(".") + 1)).sort();
}

/** Resolves when there are so many names with this end. */
async function ends(home: string, end: string, count: number): Promise<void> {
	while ((await namesOf(home)).filter((name) => name === end).length < count) await sleep(5);
}

/** Resolves when each program has queued its message or thrown it away. */
async function allEnded(home: string): Promise<void> {
	for (;;) {
		const names = await namesOf(home);
		const count = (end: string) => names.filter((name) => name === end).length;
		if (count("part") === 0 && count("whole") === 0 && count("message") === count("envelope")) return;
		await sleep(5);
	}
}
