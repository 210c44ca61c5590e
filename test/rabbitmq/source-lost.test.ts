/** The source of a queue of RabbitMQ when its connection breaks, or the broker takes its consumer away. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { encodePackage } from "../../src/protocol/package-encoder.js";
import { accepted, deferred } from "../../src/protocol/response.js";
import { brokerError } from "../../src/queue/rabbitmq/fault.js";
import { Publisher } from "../../src/queue/rabbitmq/publisher.js";
import type { RabbitmqQueue } from "../../src/queue/rabbitmq.js";
import type { Job } from "../../src/queue/source.js";
import { bytesOf } from "../support/bytes.js";
import { deliver } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { type Broker, describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import { Line, nextOf, type Taking, TestRabbit, until } from "../support/rabbitmq-source.js";

const K = accepted();
const Z = deferred();

describeWithRabbitmq("the source of RabbitMQ without its connection", () => {
	let broker: Broker;
	let line: Line;
	let rabbit: TestRabbit;
	let queue: RabbitmqQueue;
	beforeAll(async () => {
		broker = await startBroker();
	});
	afterAll(() => broker?.stop());
	beforeEach(async () => {
		rabbit = new TestRabbit(broker.url);
		line = await Line.to(broker.url);
		queue = rabbit.queue({ url: line.url });
		await queue.prepare();
	});
	afterEach(async () => {
		await rabbit.remove();
		await line.end();
	});

	it("goes on when it is back, and hands out again what nobody had", async () => {
		const ids = await store(3);
		const taking = take(queue, 3);
		const job = await nextOf(taking);
		await until(
			() => rabbit.ready(rabbit.name),
			(ready) => ready === 0,
		);
		line.cut();
		await rabbit.told(/connection lost/, 2);
		const others = [await nextOf(taking), await nextOf(taking)];
		expect(others.map(({ id }) => id).sort()).toEqual(ids.filter((id) => id !== job.id));
		for (const one of [job, ...others]) await settleAtLast(one);
		await queue.close();
		expect(await rabbit.ready(rabbit.name)).toBe(0);
	});

	it("settles a job with the message that has come again, and hands that to nobody", async () => {
		const [id] = await store(1);
		const taking = take(queue, 5);
		const job = await nextOf(taking);
		line.cut();
		await rabbit.told(/connection lost/, 2);
		const next = taking.next(); // consumes again, so the first comes again
		await store(1, "2000");
		const second = (await next).value as Job;
		expect([job.id, second.id]).toEqual([id, "2000"]);
		await settleAtLast(job);
		await second.settle([K]);
		await queue.close();
		expect(await rabbit.ready(rabbit.name)).toBe(0);
	});

	it("says that a message comes again that is settled while it is down, and does not hand it out once more", async () => {
		await store(1);
		const taking = take(queue, 5);
		const job = await nextOf(taking);
		line.cut(true);
		await rabbit.told(/connection lost/, 2);
		await expect(job.settle([K])).rejects.toMatchObject({
			code: "ERR_QMTP_QUEUE",
			message: expect.stringContaining("comes again"),
		});
		const next = taking.next();
		line.mend();
		await until(
			() =>
				job.settle([K]).then(
					() => true,
					() => false,
				),
			(settled) => settled,
		); // when it has come and was acked
		await store(1, "2000");
		expect((await next).value.id).toBe("2000");
		expect(await rabbit.ready(rabbit.name)).toBe(0);
	});

	it("stores what is left of a job whose message is lost, and what comes again is acked", async () => {
		const recipients = ["a@example.com", "b@example.com"];
		await deliver(queue, [bytesOf("x\n")], { sender: "", recipients }, messageInfo({ id: "1" }));
		const taking = take(queue, 5);
		const job = await nextOf(taking);
		line.cut();
		await rabbit.told(/connection lost/, 2);
		await until(
			() =>
				job.settle([K, Z], Date.now()).then(
					() => true,
					() => false,
				),
			(settled) => settled,
		);
		const again = await nextOf(taking);
		expect([again.id, again.envelope.recipients, again.attempts]).toEqual(["1", ["b@example.com"], 1]);
		await settleAtLast(again);
		await queue.close();
		expect(await rabbit.ready(rabbit.name)).toBe(0);
	});

	it("settles in the moment when it breaks, many times: nothing is lost, and nobody has a message twice at once", async () => {
		const ids = await store(60);
		const out = new Set<string>();
		const done = new Set<string>();
		const stop = new AbortController();
		const work = async (job: Job) => {
			expect(out.has(job.id)).toBe(false);
			out.add(job.id);
			if (out.size % 20 === 7) line.cut();
			await settleAtLast(job);
			done.add(job.id);
			if (done.size === ids.length) stop.abort();
		};
		const all: Promise<void>[] = [];
		for await (const job of queue.take({ concurrency: 5, signal: stop.signal })) all.push(work(job));
		await Promise.all(all);
		expect([...done].sort()).toEqual(ids);
		await queue.close();
		expect(await rabbit.ready(rabbit.name)).toBe(0);
	});

	it("declares the queues again when somebody has deleted them, and goes on", async () => {
		const taking = take(queue, 2);
		const waiting = taking.next();
		await store(1);
		await (await waiting).value.settle([K]);
		const next = taking.next();
		await rabbit.channel(async (channel) => {
			for (const { name } of rabbit.names.retries) await channel.deleteQueue(name);
			await channel.deleteQueue(rabbit.names.parked);
			await channel.deleteQueue(rabbit.name);
		});
		await rabbit.told(/the broker cancelled the consumer/);
		await until(
			() =>
				deliver(queue, [bytesOf("x\n")], { sender: "", recipients: ["a"] }, messageInfo({ id: "7" })).then(
					([response]) => response?.status,
					() => "Z",
				),
			(status) => status === "K",
		);
		const job = (await next).value as Job;
		expect(job.id).toBe("7");
		await job.settle([Z], Date.now() + 1); // into a queue that was deleted, too
		const again = await nextOf(taking);
		await again.settle([K]);
	});

	it("begins nothing while nothing can be published, keeps what is here, and goes on", async () => {
		const idle = rabbit.queue({ idle: 40 });
		await store(1);
		const taking = take(idle, 2);
		const job = await nextOf(taking);
		const next = taking.next();
		let isThere = false;
		next.then(() => {
			isThere = true;
		});
		const problem = vi.spyOn(Publisher.prototype, "problem", "get").mockReturnValue(brokerError("blocked"));
		try {
			await put("2000");
			await until(
				() => rabbit.ready(rabbit.name),
				(ready) => ready === 0,
			);
			await job.settle([K]);
			expect(isThere).toBe(false);
		} finally {
			problem.mockRestore();
		}
		const second = (await next).value as Job;
		expect([second.id, second.attempts]).toEqual(["2000", 0]);
		await second.settle([K]);
	});

	it("hands out again only those who are not finished with, when the others could not be stored", async () => {
		const hasty = rabbit.queue({ url: line.url, patience: 1 });
		const recipients = ["a@example.com", "b@example.com", "c@example.com"];
		await deliver(hasty, [bytesOf("x\n")], { sender: "", recipients }, messageInfo({ id: "1" }));
		const taking = take(hasty, 1);
		const job = await nextOf(taking);
		line.cut(true);
		await rabbit.told(/connection lost/, 2);
		await expect(job.settle([K, Z, Z], Date.now())).rejects.toMatchObject({ code: "ERR_QMTP_QUEUE" });
		const next = taking.next(); // it is out no longer, and so there is room
		line.mend();
		const again = (await next).value as Job;
		expect([again.id, again.envelope.recipients]).toEqual(["1", recipients.slice(1)]);
		await again.settle([K, Z], Date.now());
		const last = await nextOf(taking);
		expect(last.envelope.recipients).toEqual(["c@example.com"]);
		await last.settle([K]);
	});

	/** Puts a message in, past our own code. */
	async function put(messageId: string): Promise<void> {
		const { head, tail } = encodePackage({ sender: "", recipients: ["a"] }, { encoding: "lf", length: 2 });
		const headers = { "x-qmtp-encoding": "utf-8", "x-qmtp-queued-at": Date.now() };
		await rabbit.publish(Buffer.concat([head, bytesOf("x\n"), tail]), { messageId, headers });
	}

	/** Puts so many messages in, past the line. @returns Their ids. */
	async function store(count: number, first = "1000"): Promise<string[]> {
		const direct = rabbit.queue();
		const ids: string[] = [];
		for (let number = 0; number < count; number++) {
			const info = messageInfo({ id: String(Number(first) + number) });
			await deliver(direct, [bytesOf("x\n")], { sender: "", recipients: ["a@example.com"] }, info);
			ids.push(info.id);
		}
		await direct.close();
		return ids;
	}
});

function take(source: RabbitmqQueue, concurrency: number): Taking {
	return source.take({ concurrency }) as Taking;
}

/** Settles as a relay does: again when it fails. */
async function settleAtLast(job: Job): Promise<void> {
	await until(
		() =>
			job.settle([K]).then(
				() => true,
				() => false,
			),
		(settled) => settled,
	);
}
