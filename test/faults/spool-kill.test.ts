/** `qmtp serve` over a spool, killed at random moments while clients pipeline mail: what had a K is there, once and whole. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { readChecked } from "../../benchmarks/soak/checked-mail.js";
import { newSeed, Random } from "../../benchmarks/soak/random.js";
import { accepted } from "../../src/protocol/response.js";
import { type SpoolQueue, spoolQueue } from "../../src/queue/spool.js";
import { kill, type Listening, listen } from "../support/faults-killed.js";
import { Load } from "../support/faults-load.js";
import { withDirectory } from "../support/program.js";
import { readAll } from "../support/queue-spool.js";

const ROUNDS = 100;
const LANES = 2; // at once, each with a spool of its own: a start takes a core for 0.2 s
const CONNECTIONS = 4;
const LONGEST_ROUND_MS = 100;

test(`what a server killed ${ROUNDS} times has said K to is there once, and whole`, {
	timeout: 240_000,
}, async () => {
	const seed = newSeed();
	const lanes = await Promise.all(Array.from({ length: LANES }, (_, lane) => killAgainAndAgain(seed, lane)));
	const sum = (values: readonly number[]) => values.reduce((left, right) => left + right);
	expect(sum(lanes.map(({ accepted }) => accepted))).toBeGreaterThan(ROUNDS);
	// Else the kills came when nothing was under way.
	expect(sum(lanes.map(({ unanswered }) => unanswered))).toBeGreaterThan(0);
	expect(sum(lanes.map(({ leftOvers }) => leftOvers))).toBeGreaterThan(0);
});

/** @returns How many copies got a K, how many were stored without it, and how many bodies belonged to no message. */
async function killAgainAndAgain(
	seed: number,
	lane: number,
): Promise<{ accepted: number; unanswered: number; leftOvers: number }> {
	const random = new Random(seed + lane);
	let [taken, unanswered, leftOvers] = [0, 0, 0];
	await withDirectory(async (directory) => {
		const path = join(directory, "spool");
		let server = await listen(`spool:${path}`);
		for (let round = 0; round < ROUNDS / LANES; round++) {
			const told = `seed ${seed}, lane ${lane}, round ${round}`;
			const load = new Load(`${lane}-${round}`, random);
			await killUnder(load, server, random);
			const before = await readdir(join(path, "bodies"));
			server = await listen(`spool:${path}`);

			// The server runs meanwhile: both use the spool.
			const queue = spoolQueue({ path, poll: 20 });
			const named = await readdir(join(path, "bodies"));
			const stored = await takeAll(queue, told);
			expect(load.refused, told).toEqual([]);
			expect(
				load.accepted.filter((copy) => !stored.includes(copy)),
				`lost; ${told}`,
			).toEqual([]);
			expect(new Set(stored).size, `there twice; ${told}`).toBe(stored.length);
			expect(await queue.stats(), told).toMatchObject({ messages: 0, due: 0, bytes: 0 });
			expect(await readdir(join(path, "bodies")), told).toEqual([]);
			await queue.close();
			taken += load.accepted.length;
			unanswered += stored.length - load.accepted.length;
			leftOvers += before.length - named.length;
		}
		await kill(server);
	});
	return { accepted: taken, unanswered, leftOvers };
}

/** Takes everything out, and says what copies there were. @throws Error if a message is not whole. */
async function takeAll(queue: SpoolQueue, told: string): Promise<string[]> {
	const { messages } = await queue.stats();
	const copies: string[] = [];
	if (messages === 0) return copies;
	const settled: Promise<void>[] = [];
	for await (const job of queue.take({ concurrency: 200 })) {
		const checked = readChecked(await readAll(job.body));
		if (checked?.whole !== true) throw new Error(`not whole: ${job.id}; ${told}`);
		const { recipients } = job.envelope;
		copies.push(...recipients.map((recipient) => `${checked.id} ${recipient}`));
		settled.push(job.settle(recipients.map(() => accepted())));
		if (settled.length === messages) break;
	}
	await Promise.all(settled);
	return copies;
}

/** Kills a server a random time after its clients came, or after a random number of answers. */
async function killUnder(load: Load, server: Listening, random: Random): Promise<void> {
	const moment = random.chance(0.5)
		? sleep(random.between(0, LONGEST_ROUND_MS))
		: Promise.race([load.answered(random.between(1, 200)), sleep(2 * LONGEST_ROUND_MS)]);
	const running = load.run(server.port, CONNECTIONS);
	await moment;
	await kill(server);
	await running;
}
