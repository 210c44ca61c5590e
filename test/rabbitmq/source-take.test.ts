/** What the source of a queue of RabbitMQ hands out, how much of it, and what becomes of it when a loop ends. */
import { describe, expect, it } from "vitest";
import { QueueError } from "../../src/errors.js";
import { accepted } from "../../src/protocol/response.js";
import type { RabbitmqQueue } from "../../src/queue/rabbitmq.js";
import type { Job, TakeOptions } from "../../src/queue/source.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { readAll } from "../support/queue-spool.js";
import { type Broker, describeWithRabbitmq } from "../support/rabbitmq.js";
import {
	eachWithItsQueue,
	idsOf,
	nextOf,
	one,
	storeNumbered,
	type Taking,
	TestRabbit,
	until,
} from "../support/rabbitmq-source.js";

const K = accepted();

describeWithRabbitmq("the source of RabbitMQ", () => {
	let broker: Broker;
	let rabbit: TestRabbit;
	let queue: RabbitmqQueue;
	eachWithItsQueue((bench) => {
		({ broker, rabbit, queue } = bench);
	});

	describe("take", () => {
		it("hands out what comes while it waits", async () => {
			const taking = taken(queue, { concurrency: 2 });
			const waiting = taking.next();
			const [id] = await storeNumbered(queue, 1);
			expect((await waiting).value.id).toBe(id);
			await taking.return();
		});

		it("has no more jobs out than it was told, and one more for each that is settled", async () => {
			const ids = await storeNumbered(queue, 5);
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
			const ids = await storeNumbered(queue, 40);
			const other = rabbit.queue();
			const got = await Promise.all([queue, other, queue, other].map((source) => idsOf(source, 10)));
			expect(got.flat().sort()).toEqual([...ids].sort());
		});

		it("keeps what nobody looked at for the next loop, so that it does not count as handed out", async () => {
			const ids = await storeNumbered(queue, 5);
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
			const ids = await storeNumbered(queue, 5);
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
			const ids = await storeNumbered(queue, 3);
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
			const ids = await storeNumbered(queue, 300);
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
			expect(await rabbit.total()).toBe(0);
		});

		it("asks for no more than it may hold, and leaves out what comes all the same", async () => {
			const tight = rabbit.queue({ heldBytes: 200_000 });
			await storeNumbered(queue, 80);
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
			expect(await rabbit.total()).toBe(0);
		});
	});
});

function taken(source: RabbitmqQueue, options: TakeOptions = {}): Taking {
	return source.take(options) as Taking;
}
