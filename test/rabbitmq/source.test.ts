/** The source of a queue of RabbitMQ: what it hands out, and what is left after a job was settled. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import type { RabbitmqQueue } from "../../src/queue/rabbitmq.js";
import type { Job, TakeOptions } from "../../src/queue/source.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { readAll } from "../support/queue-spool.js";
import { type Broker, describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import {
	headersOf,
	idsOf,
	nextOf,
	one,
	type Taking,
	TestRabbit,
	textOf,
	until,
} from "../support/rabbitmq-source.js";

const K = accepted();
const Z = deferred();
const D = rejected();

describeWithRabbitmq("the source of RabbitMQ", () => {
	let broker: Broker;
	let rabbit: TestRabbit;
	let queue: RabbitmqQueue;
	beforeAll(async () => {
		broker = await startBroker();
	});
	afterAll(() => broker?.stop());
	beforeEach(async () => {
		rabbit = new TestRabbit(broker.url);
		queue = rabbit.queue();
		await queue.prepare();
	});
	afterEach(() => rabbit.remove());

	describe("a job", () => {
		it.each([0, 5000, 100_000, 3_000_000])(
			"has the message, of %i bytes, as often as it is read",
			async (size) => {
				const body = noise(size);
				const info = messageInfo();
				const envelope = { sender: "s@example.org", recipients: ["a@example.com", "b@example.com"] };
				const before = Date.now();
				await deliver(queue, [body], envelope, info);
				const job = await one(queue);
				expect(job).toMatchObject({ id: info.id, size, attempts: 0, addressEncoding: "utf-8", envelope });
				expect(job.queuedAt).toBeGreaterThanOrEqual(before);
				expect(job.queuedAt).toBeLessThanOrEqual(Date.now());
				for (let reads = 0; reads < 2; reads++) expect((await readAll(job.body)).equals(body)).toBe(true);
				await job.settle([K, K]);
				await queue.close();
				expect(await everything()).toBe(0);
			},
		);

		it("says how its addresses are encoded, so that no byte of them is lost", async () => {
			const envelope = { sender: "\xff\x80@example.org", recipients: ["j\xfcrgen@example.com", ""] };
			await deliver(queue, [bytesOf("x\n")], envelope, messageInfo({ addressEncoding: "latin1" }));
			const job = await one(queue);
			expect({ envelope: job.envelope, encoding: job.addressEncoding }).toEqual({
				envelope,
				encoding: "latin1",
			});
			await job.settle([K, Z], Date.now());
			const again = await one(queue);
			expect([again.envelope.sender, again.envelope.recipients]).toEqual([envelope.sender, [""]]);
			expect(again.addressEncoding).toBe("latin1");
		});

		it("gives its chunks away, and stores what came", async () => {
			const body = noise(300_000);
			await deliver(queue, [body], { sender: "", recipients: ["a@example.com"] });
			const job = await one(queue);
			for await (const chunk of job.body) chunk.fill(0);
			expect((await readAll(job.body)).equals(body)).toBe(true);
			await job.settle([Z], Date.now());
			expect((await readAll((await one(queue)).body)).equals(body)).toBe(true);
		});

		it("is of the message that was stored first", async () => {
			const ids = await store(3);
			expect(await idsOf(queue, 3)).toEqual(ids);
		});
	});

	describe("settle", () => {
		it("is done with K and D, and has the others tried again, through several rounds", async () => {
			const recipients = [..."abcdefghij"].map((name) => `${name}@example.com`);
			await deliver(queue, [bytesOf("the body\n")], { sender: "s@example.org", recipients });
			const first = await one(queue);
			await first.settle([K, Z, D, Z, K, K, K, K, Z, Z], Date.now() + 1);
			const second = await one(queue); // out of the queue in which it waited
			expect(second.envelope).toEqual({
				sender: "s@example.org",
				recipients: ["b@example.com", "d@example.com", "i@example.com", "j@example.com"],
			});
			expect(second).toMatchObject({ id: first.id, attempts: 1, queuedAt: first.queuedAt });
			await second.settle([Z, K, D, Z], new Date());
			const third = await one(queue);
			expect(third.envelope.recipients).toEqual(["b@example.com", "j@example.com"]);
			expect([third.attempts, await textOf(third)]).toEqual([2, "the body\n"]);
			await third.settle([D, K]);
			await queue.close();
			expect(await everything()).toBe(0);
		});

		it("puts what is left into the queue with the longest wait that is not too long", async () => {
			await store(4);
			const jobs = [await one(queue), await one(queue), await one(queue), await one(queue)];
			const now = Date.now();
			const [short, long] = rabbit.names.retries;
			await jobs[0]?.settle([Z], now + 3_590_000);
			await until(
				() => rabbit.ready(short?.name as string),
				(ready) => ready === 1,
			);
			await jobs[1]?.settle([Z], now + 3_700_000);
			await jobs[2]?.settle([Z], Number.MAX_VALUE);
			await jobs[3]?.settle([Z], Number.MIN_SAFE_INTEGER); // has been due for long
			await until(
				() => rabbit.ready(long?.name as string),
				(ready) => ready === 2,
			);
			expect(headersOf(await rabbit.next(long?.name as string))).toMatchObject({
				"x-qmtp-next-attempt": now + 3_700_000,
				"x-qmtp-attempts": 1,
			});
			expect(headersOf(await rabbit.next(long?.name as string))).toMatchObject({
				"x-qmtp-next-attempt": expect.closeTo(now + 86_400_000, -4), // a day
			});
			expect((await one(queue)).id).toBe(jobs[3]?.id);
		});

		it("tries again in five minutes unless it is told when", async () => {
			await store(1);
			const job = await one(queue);
			const before = Date.now();
			await job.settle([Z]);
			const time = headersOf(await rabbit.next(rabbit.names.retries[0]?.name as string))[
				"x-qmtp-next-attempt"
			];
			expect(time).toBeGreaterThanOrEqual(before + 300_000);
			expect(time).toBeLessThanOrEqual(Date.now() + 300_000);
		});

		it("keeps equal recipients apart", async () => {
			await deliver(queue, [bytesOf("x\n")], { sender: "", recipients: ["a", "a", "a"] });
			await (await one(queue)).settle([K, Z, K], Date.now());
			expect((await one(queue)).envelope.recipients).toEqual(["a"]);
		});

		it("is refused with a wrong number of responses, with what is no time, and after it has settled", async () => {
			await store(1);
			const job = await one(queue);
			await expect(job.settle([])).rejects.toMatchObject({ code: "ERR_QMTP_RESPONSES" });
			await expect(job.settle([K, K])).rejects.toThrow(UsageError);
			await expect(job.settle([Z], Number.NaN)).rejects.toMatchObject({ code: "ERR_QMTP_OPTION" });
			await job.settle([K]);
			await expect(job.settle([K])).rejects.toMatchObject({ code: "ERR_QMTP_ENDED" });
		});

		it("fails when what is left cannot be stored, and may be called again", async () => {
			const [id] = await store(1);
			const job = await one(queue);
			const [short] = rabbit.names.retries;
			await rabbit.channel((channel) => channel.deleteQueue(short?.name as string));
			await expect(job.settle([Z], Date.now() + 100)).rejects.toMatchObject({ code: "ERR_QMTP_QUEUE" });
			await job.settle([Z], Date.now());
			const again = await one(queue);
			expect([again.id, again.attempts]).toEqual([id, 1]);
		});

		it("that failed and is not called again has those who are left stored later, and the others are done", async () => {
			const hasty = rabbit.queue({ patience: 50 });
			const recipients = ["a@example.com", "b@example.com"];
			await deliver(queue, [bytesOf("x\n")], { sender: "", recipients }, messageInfo({ id: "7" }));
			const job = await one(hasty);
			const [short] = rabbit.names.retries;
			await rabbit.channel((channel) => channel.deleteQueue(short?.name as string));
			await expect(job.settle([K, Z], Date.now() + 100)).rejects.toThrow(QueueError);
			const again = await one(queue);
			expect([again.id, again.attempts, again.envelope.recipients]).toEqual(["7", 1, ["b@example.com"]]);
			await job.settle([K, Z]); // stands
			await again.settle([K]);
			await hasty.close();
			await queue.close();
			expect(await everything()).toBe(0);
		});

		it("that failed is tried once more when the queue is closed", async () => {
			const recipients = ["a@example.com", "b@example.com"];
			await deliver(queue, [bytesOf("x\n")], { sender: "", recipients });
			const job = await one(queue);
			const [short, long] = rabbit.names.retries;
			await rabbit.channel((channel) => channel.deleteQueue(short?.name as string));
			await expect(job.settle([Z, K], Date.now() + 190)).rejects.toThrow(QueueError);
			await rabbit.channel(async (channel) => {
				const { main } = rabbit.names;
				await channel.assertQueue(short?.name as string, {
					arguments: {
						"x-queue-type": "quorum",
						"x-message-ttl": short?.ttl as number,
						"x-dead-letter-exchange": "",
						"x-dead-letter-routing-key": main,
						"x-dead-letter-strategy": "at-least-once",
						"x-overflow": "reject-publish",
					},
				});
			});
			await queue.close();
			expect(await rabbit.ready(long?.name as string)).toBe(0);
			expect((await one(rabbit.queue())).envelope.recipients).toEqual(["a@example.com"]);
		});

		it("uses a shorter wait when the right one takes nothing", async () => {
			await store(1);
			const job = await one(queue);
			const [, long] = rabbit.names.retries;
			await rabbit.channel((channel) => channel.deleteQueue(long?.name as string));
			const time = Date.now() + 3_700_000;
			await job.settle([Z], time);
			const waiting = await rabbit.next(rabbit.names.retries[0]?.name as string);
			expect(headersOf(waiting)).toMatchObject({ "x-qmtp-next-attempt": time, "x-qmtp-attempts": 1 });
		});
	});

	describe("take", () => {
		it("hands out what comes while it waits", async () => {
			const taking = taken(queue, { concurrency: 2 });
			const waiting = taking.next();
			const [id] = await store(1);
			expect((await waiting).value.id).toBe(id);
			await taking.return();
		});

		it("has no more jobs out than it was told, and one more for each that is settled", async () => {
			const ids = await store(5);
			const taking = taken(queue, { concurrency: 2 });
			const jobs = [await nextOf(taking), await nextOf(taking)];
			const third = taking.next();
			let isThere = false;
			third.then(() => {
				isThere = true;
			});
			expect(await rabbit.ready(rabbit.name)).toBe(3);
			expect(isThere).toBe(false);
			await jobs[0]?.settle([K]);
			expect((await third).value.id).toBe(ids[2]);
			await until(
				() => rabbit.ready(rabbit.name),
				(ready) => ready === 2,
			);
		});

		it("gives nobody what somebody has", async () => {
			const ids = await store(40);
			const other = rabbit.queue();
			const got = await Promise.all([queue, other, queue, other].map((source) => idsOf(source, 10)));
			expect(got.flat().sort()).toEqual([...ids].sort());
		});

		it("keeps what nobody looked at for the next loop, so that it does not count as handed out", async () => {
			const ids = await store(5);
			const stop = new AbortController();
			const taking = taken(queue, { concurrency: 5, signal: stop.signal });
			const job = await nextOf(taking);
			await until(
				() => rabbit.ready(rabbit.name),
				(ready) => ready === 0,
			);
			stop.abort();
			expect((await taking.next()).done).toBe(true);
			await job.settle([K]);
			const rest: Job[] = [];
			for (let count = 0; count < 4; count++) rest.push(await one(queue));
			expect(rest.map(({ id }) => id)).toEqual(ids.slice(1));
			expect(rest.map(({ attempts }) => attempts)).toEqual([0, 0, 0, 0]);
		});

		it("passes on what nobody looks at for a while, and that is no attempt", async () => {
			const idle = rabbit.queue({ idle: 40 });
			const ids = await store(5);
			const stop = new AbortController();
			const taking = taken(idle, { concurrency: 5, signal: stop.signal });
			const job = await nextOf(taking);
			await until(
				() => rabbit.ready(rabbit.name),
				(ready) => ready === 0,
			);
			stop.abort();
			const [short] = rabbit.names.retries;
			await until(
				() => rabbit.ready(short?.name as string),
				(ready) => ready === 4,
			);
			const other = rabbit.queue();
			const rest: Job[] = [];
			for (let count = 0; count < 4; count++) rest.push(await one(other)); // when they have waited
			expect(rest.map(({ id }) => id).sort()).toEqual(ids.slice(1));
			expect(rest.map(({ attempts }) => attempts)).toEqual([0, 0, 0, 0]);
			await job.settle([K]);
		});

		it("is closed thirty times while messages are here, and none of them counts as handed out", async () => {
			const limited = new TestRabbit(broker.url);
			try {
				const filling = limited.queue({ deliveryLimit: 5 });
				for (let number = 0; number < 60; number++) {
					const info = messageInfo({ id: String(1000 + number) });
					await deliver(filling, [bytesOf("x\n")], { sender: "", recipients: ["a@example.com"] }, info);
				}
				let largest = 0;
				for (let round = 0; round < 30; round++) {
					const source = limited.queue({ deliveryLimit: 5 });
					const job = await nextOf(taken(source, { concurrency: 40 }));
					largest = Math.max(largest, job.attempts);
					await job.settle([K]);
					await source.close();
				}
				expect(await limited.ready(limited.name)).toBe(30);
				expect(await limited.ready(limited.names.parked)).toBe(0);
				expect(largest).toBeLessThan(3); // what is under way to a consumer that is cancelled may count
			} finally {
				await limited.remove();
			}
		});

		it("puts back what nobody looked at when the queue is closed", async () => {
			const ids = await store(3);
			const job = await nextOf(taken(queue, { concurrency: 3 }));
			await until(
				() => rabbit.ready(rabbit.name),
				(ready) => ready === 0,
			);
			await job.settle([K]);
			await queue.close();
			await until(
				() => rabbit.ready(rabbit.name),
				(ready) => ready === 2,
			);
			expect((await idsOf(rabbit.queue(), 2)).sort()).toEqual(ids.slice(1));
		});

		it("ends while it waits: with its signal, and with the queue", async () => {
			const stop = new AbortController();
			const waits = [taken(queue, { signal: stop.signal }).next(), taken(queue).next()];
			await rabbit.ready(rabbit.name);
			stop.abort();
			expect((await waits[0])?.done).toBe(true);
			await queue.close();
			expect((await waits[1])?.done).toBe(true);
			await expect(taken(queue).next()).rejects.toThrow(QueueError);
			expect((await taken(rabbit.queue(), { signal: AbortSignal.abort() }).next()).done).toBe(true);
		});

		it.each([0, -1, 1.5, Number.NaN])("refuses a concurrency of %d", async (concurrency) => {
			await expect(taken(queue, { concurrency }).next()).rejects.toMatchObject({ code: "ERR_QMTP_OPTION" });
		});

		it("hands out each of many messages once while loops come and go", async () => {
			const ids = await store(300);
			const got: Job[] = [];
			let loops = 0;
			while (got.length < ids.length) {
				const stop = new AbortController();
				const few = 1 + (loops++ % 60);
				const run = async () => {
					for await (const job of queue.take({ concurrency: 7, signal: stop.signal })) {
						got.push(job);
						await job.settle([K]);
						if (got.length === ids.length || got.length % few === 0) stop.abort();
					}
				};
				await Promise.all([run(), run()]);
			}
			expect(got.map(({ id }) => id).sort()).toEqual([...ids].sort());
			// What is under way to a consumer that is cancelled, the broker takes back and counts: that is seldom.
			expect(got.filter(({ attempts }) => attempts > 0).length).toBeLessThan(30);
			await queue.close();
			expect(await everything()).toBe(0);
		});

		it("asks for no more than it may hold, and leaves out what comes all the same", async () => {
			const tight = rabbit.queue({ heldBytes: 200_000 });
			await store(80);
			let small = 0;
			for await (const job of tight.take({ concurrency: 80 })) {
				await job.settle([K]);
				if (++small === 80) break; // so it knows small ones only
			}
			for (let number = 0; number < 12; number++) {
				const info = messageInfo({ id: String(2000 + number) });
				await deliver(queue, [noise(100_000)], { sender: "", recipients: ["a@example.com"] }, info);
			}
			const taking = taken(tight, { concurrency: 80 });
			const jobs: Job[] = [];
			for (let count = 0; count < 4; count++) jobs.push(await nextOf(taking));
			for (const job of jobs) {
				expect((await readAll(job.body)).length).toBe(100_000);
				await job.settle([K]);
				if (jobs.length < 12 && (jobs.length > 4 || job === jobs[3])) jobs.push(await nextOf(taking));
			}
			expect(new Set(jobs.map(({ id }) => id)).size).toBe(12);
			const attempts = jobs.map((job) => job.attempts);
			expect(attempts.slice(0, 4)).toEqual([0, 0, 0, 0]); // twice what is to be held
			expect(Math.min(...attempts.slice(4))).toBe(1); // left out
			expect(Math.max(...attempts)).toBeLessThan(4); // but not over and over
			await tight.close();
			expect(await everything()).toBe(0);
		});
	});

	/** Messages in all queues that nobody has. */
	async function everything(): Promise<number> {
		let count = 0;
		for (const name of [rabbit.name, rabbit.names.parked, ...rabbit.names.retries.map(({ name }) => name)]) {
			count += await rabbit.ready(name);
		}
		return count;
	}

	/** Puts so many messages in, one after the other. @returns Their ids. */
	async function store(count: number): Promise<string[]> {
		const ids: string[] = [];
		for (let number = 0; number < count; number++) {
			const info = messageInfo({ id: String(1000 + number) });
			await deliver(queue, [bytesOf(`${number}\n`)], { sender: "", recipients: ["a@example.com"] }, info);
			ids.push(info.id);
		}
		return ids;
	}
});

function taken(source: RabbitmqQueue, options: TakeOptions = {}): Taking {
	return source.take(options) as Taking;
}
