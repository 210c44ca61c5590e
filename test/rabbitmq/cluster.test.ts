/**
 * A server over a cluster of three RabbitMQ nodes, whose leader is killed again and again while clients pipeline mail: what
 * had a K is there, once and whole. Then two nodes die, and then the third.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newSeed, Random } from "../../benchmarks/soak/random.js";
import { rabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { QmtpServer } from "../../src/server/server.js";
import { type Broker, type Cluster, describeWithRabbitmq, startCluster } from "../support/rabbitmq.js";
import { BrokerLoad } from "../support/rabbitmq-load.js";
import { copiesIn, drain } from "../support/rabbitmq-queue.js";

const ROUNDS = 10;
const CONNECTIONS = 4;
const MAIN = "cluster-test";

describeWithRabbitmq("over a cluster of three nodes", () => {
	let cluster: Cluster;

	beforeAll(async () => {
		cluster = await startCluster();
	}, 120_000);
	afterAll(() => cluster?.stop());

	test(`what had a K survives ${ROUNDS} deaths of the leader, and one of all nodes`, {
		timeout: 300_000,
	}, async () => {
		const seed = newSeed();
		const queue = rabbitmqQueue({
			url: cluster.url,
			queue: MAIN,
			onFault: () => {}, // else it writes them to stderr
		});
		await queue.prepare();
		const server = new QmtpServer({ queue, hooks: { recipient: acceptAnyone } });
		server.on("fault", () => {}); // else it writes them to stderr; the answers tell
		const { port } = (await server.listen({ host: "127.0.0.1", port: 0 })) as { port: number };
		const random = new Random(seed);
		const load = new BrokerLoad("c", port, random);

		let leader = await leaderWithAll(cluster);
		for (let round = 0; round < ROUNDS; round++) {
			load.start(CONNECTIONS);
			await load.accepts(random.between(50, 500));
			await leader.kill();
			await load.accepts(random.between(50, 500)); // by the two others, and by the same server
			await load.stop();
			await leader.start();
			leader = await leaderWithAll(cluster);
		}
		const putOff = load.copies(/^Z/).length;
		expect(putOff, "no connection broke").toBeGreaterThan(0);

		// The one that is left has no majority, and lets nobody in.
		const [left, ...dying] = cluster.nodes;
		await Promise.all(dying.map((node) => node.kill()));
		expect([(await load.sendOne())[0], (await load.sendOne())[0]]).toEqual(["Z", "Z"]);
		expect(left.runs).toBe(true);
		await left.kill();
		// Nor is there anybody whom the server could wait for: an answer that comes at all has come at once.
		expect([(await load.sendOne())[0], (await load.sendOne())[0]]).toEqual(["Z", "Z"]);
		await Promise.all(cluster.nodes.map((node) => node.start()));
		while (!(await load.sendOne()).startsWith("K")) await sleep(100); // nobody is told when it is back

		await server.close();
		await queue.close();
		const stored = (await drain(cluster.nodes[0].url, MAIN)).flatMap(copiesIn);
		const told = `seed ${seed}`;
		const there = new Set(stored);
		const accepted = load.copies(/^K/);
		expect(
			accepted.filter((copy) => !there.has(copy)),
			`lost; ${told}`,
		).toEqual([]);
		expect(there.size, `there twice; ${told}`).toBe(stored.length);
		// What was under way when a connection broke may be there without a K, and its Z says so.
		const uncertain = new Set(load.copies(UNCERTAIN));
		const others = stored.filter((copy) => !load.told.get(copy)?.startsWith("K"));
		expect(
			others.filter((copy) => !uncertain.has(copy)).map((copy) => [copy, load.told.get(copy)]),
			`stored in spite of a certain Z; ${told}`,
		).toEqual([]);
		expect(accepted.length).toBeGreaterThan(ROUNDS * 100);
	});
});

/** Resolves with the leader of the queue when all three nodes have it. */
async function leaderWithAll(cluster: Cluster): Promise<Broker> {
	for (;;) {
		// rabbitmqctl takes a second, so this is no busy loop.
		const { leader, online } = await cluster.state(MAIN);
		if (leader !== undefined && online.length === cluster.nodes.length) return leader;
	}
}

const UNCERTAIN = /^Z.*may have been stored/;
