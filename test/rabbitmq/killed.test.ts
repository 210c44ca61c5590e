/** Servers and relays over RabbitMQ, killed at random moments: what had a K is there, and what was there goes out. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { readChecked } from "../../benchmarks/soak/checked-mail.js";
import { newSeed, Random } from "../../benchmarks/soak/random.js";
import { rabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { QmtpServer } from "../../src/server/server.js";
import { Load } from "../support/faults-load.js";
import { startProcess } from "../support/processes.js";
import { type Broker, describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import { BrokerLoad } from "../support/rabbitmq-load.js";
import { copiesIn, drain } from "../support/rabbitmq-queue.js";
import { startHop } from "../support/relay-mail.js";

const ROUNDS = 30;
const CONNECTIONS = 4;
const LONGEST_ROUND_MS = 200;
const RELAYS = 6; // below the delivery limit: each death counts for what was out
const RELAYED = 3000;
const UNDER_WAY = 50; // of a relay

describeWithRabbitmq("a process over RabbitMQ that is killed", () => {
	let broker: Broker;

	beforeAll(async () => {
		broker = await startBroker();
	});
	afterAll(() => broker?.stop());

	test(`a server, ${ROUNDS} times: what it has said K to is there once, and whole`, {
		timeout: 180_000,
	}, async () => {
		const seed = newSeed();
		const random = new Random(seed);
		const [accepted, refused]: [string[], string[]] = [[], []];
		for (let round = 0; round < ROUNDS; round++) {
			const server = child("rabbitmq-front.mjs", [broker.url, "front"]);
			const [, port] = await server.until(/listening on (\d+)/);
			const load = new Load(`${round}`, random);
			const moment = random.chance(0.5)
				? sleep(random.between(0, LONGEST_ROUND_MS))
				: Promise.race([load.answered(random.between(1, 400)), sleep(2 * LONGEST_ROUND_MS)]);
			const running = load.run(Number(port), CONNECTIONS);
			await moment;
			await server.kill();
			await running;
			accepted.push(...load.accepted);
			refused.push(...load.refused);
		}
		await nobodyConnected(broker); // the broker has read all that was sent

		const told = `seed ${seed}`;
		const stored = (await drain(broker.url, "front")).flatMap(copiesIn);
		const there = new Set(stored);
		expect(refused, told).toEqual([]);
		expect(
			accepted.filter((copy) => !there.has(copy)),
			`lost; ${told}`,
		).toEqual([]);
		expect(there.size, `there twice; ${told}`).toBe(stored.length);
		expect(accepted.length, told).toBeGreaterThan(ROUNDS);
		// Else the kills came when nothing was under way.
		expect(stored.length, told).toBeGreaterThan(accepted.length);
	});

	test(`a relay, ${RELAYS} times: all goes out, and twice only what was under way`, {
		timeout: 180_000,
	}, async () => {
		const seed = newSeed();
		const random = new Random(seed);
		const copies = await fill("relayed", RELAYED, random);
		const hop = await startHop({ limits: { heldBytes: 2 ** 30 } });
		for (let death = 0; death < RELAYS; death++) {
			const relay = child("rabbitmq-relay.mjs", [broker.url, "relayed", hop.url, `${UNDER_WAY}`]);
			await relay.until(new RegExp(`(?:settled \\d+\\s+){${random.between(1, 300)}}`));
			await relay.kill();
		}
		const last = child("rabbitmq-relay.mjs", [broker.url, "relayed", hop.url, `${UNDER_WAY}`]);
		const arrived = () =>
			hop.queue.messages.flatMap(({ body, envelope }) => {
				const checked = readChecked(Buffer.from(body));
				if (checked?.whole !== true) throw new Error("not whole");
				return envelope.recipients.map((recipient) => `${checked.id} ${recipient}`);
			});
		await hop.until(RELAYED);
		while (new Set(arrived()).size < copies.length) await sleep(50); // duplicates came first
		while (/[1-9]/.test(await broker.ctl(["list_queues", "--no-table-headers", "messages"]))) {
			// The last acks are on their way.
		}
		await last.kill();

		const told = `seed ${seed}`;
		const all = arrived();
		expect([...new Set(all)].sort(), told).toEqual([...copies].sort());
		const duplicates = all.length - copies.length;
		expect(duplicates, told).toBeGreaterThan(0); // else the kills came when nothing was under way
		expect(duplicates, told).toBeLessThanOrEqual(3 * RELAYS * UNDER_WAY); // some have three recipients
		expect(await drain(broker.url, "relayed.parked"), told).toEqual([]);
	});

	/** Puts so many messages into a queue, by a server. @returns Their copies. */
	async function fill(name: string, messages: number, random: Random): Promise<string[]> {
		const queue = rabbitmqQueue({ url: broker.url, queue: name });
		await queue.prepare();
		const server = new QmtpServer({ queue, hooks: { recipient: acceptAnyone } });
		const { port } = (await server.listen({ host: "127.0.0.1", port: 0 })) as { port: number };
		const load = new BrokerLoad("r", port, random);
		await load.sendAll(messages);
		await server.close();
		await queue.close();
		expect(load.copies(/^[^K]/)).toEqual([]);
		return load.copies(/^K/);
	}
});

/** A process of test/support that can be killed, and that the test leaves dead in any case. */
function child(
	module: string,
	args: readonly string[],
): ReturnType<typeof startProcess> & { kill(): Promise<void> } {
	const file = fileURLToPath(new URL(`../support/${module}`, import.meta.url));
	const started = startProcess(process.execPath, [file, ...args]);
	const kill = async () => {
		if (started.child.exitCode !== null || started.child.signalCode !== null) return;
		const exited = once(started.child, "exit");
		started.child.kill("SIGKILL");
		await exited;
	};
	onTestFinished(kill);
	return Object.assign(started, { kill });
}

/** Resolves when the broker has no connection any more. */
async function nobodyConnected(broker: Broker): Promise<void> {
	// rabbitmqctl takes a second, so this is no busy loop.
	while ((await broker.ctl(["list_connections", "pid", "--no-table-headers"])).trim() !== "") {
		// Somebody is there.
	}
}
