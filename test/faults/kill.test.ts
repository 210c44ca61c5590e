/** `qmtp serve` over a maildir, killed at random moments while clients pipeline mail: what had a K is there. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { newSeed, Random } from "../../benchmarks/soak/random.js";
import { kill, type Listening, listen, takeAll } from "../support/faults-killed.js";
import { Load } from "../support/faults-load.js";
import { withDirectory } from "../support/program.js";

const ROUNDS = 100;
const LANES = 2; // at once, each with a maildir of its own: a start takes a core for 0.2 s
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
	expect(sum(lanes.map(({ cutShort }) => cutShort))).toBeGreaterThan(0);
});

/** @returns How many copies got a K, and how many files the kills left in tmp/. */
async function killAgainAndAgain(
	seed: number,
	lane: number,
): Promise<{ accepted: number; cutShort: number }> {
	const random = new Random(seed + lane);
	let [accepted, cutShort] = [0, 0];
	await withDirectory(async (directory) => {
		const maildir = join(directory, "mail");
		let server = await listen(`maildir:${maildir}`);
		for (let round = 0; round < ROUNDS / LANES; round++) {
			const told = `seed ${seed}, lane ${lane}, round ${round}`;
			const load = new Load(`${lane}-${round}`, random);
			await killUnder(load, server, random);
			const left = await readdir(join(maildir, "tmp"));
			server = await listen(`maildir:${maildir}`);

			expect(await readdir(join(maildir, "tmp")), told).toEqual([]);
			expect(load.refused, told).toEqual([]);
			const stored = await takeAll(maildir).catch((cause) => {
				throw new Error(told, { cause });
			});
			expect(
				load.accepted.filter((copy) => !stored.has(copy)),
				`lost; ${told}`,
			).toEqual([]);
			accepted += load.accepted.length;
			cutShort += left.length;
		}
		await kill(server);
	});
	return { accepted, cutShort };
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
