/** The source of a queue of RabbitMQ: what it hands out, and what is left after a job was settled. */
import { describe, expect, it } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import type { RabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { readAll } from "../support/queue-spool.js";
import { describeWithRabbitmq } from "../support/rabbitmq.js";
import {
	eachWithItsQueue,
	headersOf,
	idsOf,
	one,
	storeNumbered,
	type TestRabbit,
	textOf,
	until,
} from "../support/rabbitmq-source.js";

const K = accepted();
const Z = deferred();
const D = rejected();

describeWithRabbitmq("the source of RabbitMQ", () => {
	let rabbit: TestRabbit;
	let queue: RabbitmqQueue;
	eachWithItsQueue((bench) => {
		({ rabbit, queue } = bench);
	});

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
				expect(await rabbit.total()).toBe(0);
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
			const ids = await storeNumbered(queue, 3);
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
			expect(await rabbit.total()).toBe(0);
		});

		it("puts what is left into the queue with the longest wait that is not too long", async () => {
			await storeNumbered(queue, 4);
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
			await storeNumbered(queue, 1);
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
			await storeNumbered(queue, 1);
			const job = await one(queue);
			await expect(job.settle([])).rejects.toMatchObject({ code: "ERR_QMTP_RESPONSES" });
			await expect(job.settle([K, K])).rejects.toThrow(UsageError);
			await expect(job.settle([Z], Number.NaN)).rejects.toMatchObject({ code: "ERR_QMTP_OPTION" });
			await job.settle([K]);
			await expect(job.settle([K])).rejects.toMatchObject({ code: "ERR_QMTP_ENDED" });
		});

		it("fails when what is left cannot be stored, and may be called again", async () => {
			const [id] = await storeNumbered(queue, 1);
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
			expect(await rabbit.total()).toBe(0);
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
			await storeNumbered(queue, 1);
			const job = await one(queue);
			const [, long] = rabbit.names.retries;
			await rabbit.channel((channel) => channel.deleteQueue(long?.name as string));
			const time = Date.now() + 3_700_000;
			await job.settle([Z], time);
			const waiting = await rabbit.next(rabbit.names.retries[0]?.name as string);
			expect(headersOf(waiting)).toMatchObject({ "x-qmtp-next-attempt": time, "x-qmtp-attempts": 1 });
		});
	});
});
