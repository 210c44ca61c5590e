/** Processes that share a spool: what one has nobody else gets, and what a dead one had comes again. */
import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import { accepted } from "../../src/protocol/response.js";
import type { Job } from "../../src/queue/source.js";
import type { SpoolQueue } from "../../src/queue/spool.js";
import { bytesOf } from "../support/bytes.js";
import { startProcess } from "../support/processes.js";
import { deliver, noise } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { TAKER, TestSpool } from "../support/queue-spool.js";

const K = accepted();

let spool: TestSpool;
let takers: ReturnType<typeof startProcess>[];
beforeEach(async () => {
	spool = await TestSpool.create();
	takers = [];
});
afterEach(async () => {
	for (const { child } of takers) await kill(child);
	await spool.remove();
});

test("what a process killed with -9 had comes again when its lease has run out, and not before", async () => {
	const queue = spool.queue({ lease: 700 });
	const [id] = await store(queue, 1);
	const taker = taken(700, 0);
	await taker.until(new RegExp(`took ${id} attempts=0\n`));
	const taking = queue.take();
	const waiting = taking.next();
	let isThere = false;
	waiting.then(() => {
		isThere = true;
	});
	// While it lives it renews its lease, more than once.
	const times = new Set<number>();
	while (times.size < 4) {
		times.add((await queue.find(id as string))?.nextAttempt as number);
		await new Promise(setImmediate);
	}
	expect(isThere).toBe(false);
	await kill(taker.child);
	const job = (await waiting).value as Job;
	expect(Date.now()).toBeGreaterThanOrEqual(Math.max(...times));
	expect(job).toMatchObject({ id, attempts: 1 });
	await job.settle([K]);
	expect(await queue.stats()).toMatchObject({ messages: 0 });
	await taking.return?.();
});

test("three processes share the messages of a spool, and each is taken once", async () => {
	const queue = spool.queue();
	const ids = await store(queue, 60);
	for (let count = 0; count < 3; count++) taken(60_000, 1000);
	const settled = () =>
		takers.flatMap(({ output }) => [...output().matchAll(/^settled (\d+)$/gm)].map(([, id]) => id));
	while ((await queue.stats()).messages > 0) await new Promise((resolve) => setTimeout(resolve, 20));
	for (const id of ids)
		await Promise.any(takers.map(({ until }) => until(new RegExp(`^settled ${id}$`, "m"))));
	expect(settled().sort()).toEqual([...ids].sort());
	expect(await spool.bodies()).toEqual([]);
});

test("a process that was killed in the midst of a transaction does not keep others from theirs", async () => {
	const queue = spool.queue({ lease: 100 });
	const ids = await store(queue, 30);
	for (let count = 0; count < 5; count++) {
		const taker = taken(100, 1000);
		await taker.until(/^settled/m);
		await kill(taker.child); // it settles as fast as it can
	}
	await queue.stats();
	expect(await store(queue, 1, ids.length)).toHaveLength(1);
	const left = (await queue.stats()).messages;
	let count = 0;
	for await (const job of queue.take()) {
		await job.settle([K]);
		if (++count === left) break;
	}
	expect(await queue.stats()).toMatchObject({ messages: 0, due: 0 });
});

function taken(lease: number, settled: number): ReturnType<typeof startProcess> {
	const taker = startProcess(process.execPath, [TAKER, spool.path, String(lease), String(settled)]);
	takers.push(taker);
	return taker;
}

async function kill(child: ReturnType<typeof startProcess>["child"]): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const exit = once(child, "exit");
	child.kill("SIGKILL");
	await exit;
}

/** Puts messages in, one in ten of them large. @returns Their ids. */
async function store(queue: SpoolQueue, count: number, first = 0): Promise<string[]> {
	const ids: string[] = [];
	for (let number = first; number < first + count; number++) {
		const info = messageInfo({ id: String(1000 + number) });
		const body = number % 10 === 9 ? noise(300_000) : bytesOf(`${number}\n`);
		await deliver(queue, [body], { sender: "", recipients: ["a@example.com"] }, info);
		ids.push(info.id);
	}
	return ids;
}
