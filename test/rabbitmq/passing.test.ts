/** What the source of a queue of RabbitMQ passes on: messages that are not due yet, and those that are parked. */
import { randomBytes } from "node:crypto";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { encodePackage } from "../../src/protocol/package-encoder.js";
import { accepted, deferred } from "../../src/protocol/response.js";
import { brokerError } from "../../src/queue/rabbitmq/fault.js";
import { Publisher } from "../../src/queue/rabbitmq/publisher.js";
import { RETRY_TTLS } from "../../src/queue/rabbitmq/topology.js";
import type { RabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { bytesOf } from "../support/bytes.js";
import { deliver } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { type Broker, describeWithRabbitmq } from "../support/rabbitmq.js";
import { eachWithItsQueue, headersOf, one, TestRabbit } from "../support/rabbitmq-source.js";

const K = accepted();
const Z = deferred();

describeWithRabbitmq("the source of RabbitMQ", () => {
	let broker: Broker;
	let rabbit: TestRabbit;
	let queue: RabbitmqQueue;
	eachWithItsQueue((bench) => {
		({ broker, rabbit, queue } = bench);
	});

	describe("a message that is not due yet", () => {
		it("waits on in another queue, which is no attempt, and comes without the broker's notes", async () => {
			const envelope = { sender: "", recipients: ["a@example.com"] };
			const due = Date.now() + 300; // one and a half waits
			await rabbit.publish(packageOf(envelope, "x\n"), {
				messageId: "1",
				headers: { ...HEADERS, "x-qmtp-next-attempt": due, "x-qmtp-attempts": 3, "x-death": "stale" },
			});
			const job = await one(queue);
			expect([Date.now() >= due, job.attempts]).toEqual([true, 3]);
			await job.settle([Z], Date.now() + 7_200_000);
			const waiting = await rabbit.next(rabbit.names.retries[1]?.name as string);
			const { "x-delivery-count": count = 0, ...headers } = headersOf(waiting); // of this one, which says 0
			const names = Object.keys(headers).filter((name) => !name.startsWith("x-qmtp-"));
			expect([count, names]).toEqual([0, []]);
		});

		it("waits at most a day, whatever it says", async () => {
			const body = packageOf({ sender: "", recipients: ["a@example.com"] }, "x\n");
			await rabbit.publish(body, {
				messageId: "1",
				headers: { ...HEADERS, "x-qmtp-next-attempt": 8_000_000_000_000_000 },
			});
			const waits = queue.take({})[Symbol.asyncIterator]().next();
			const waiting = await rabbit.next(rabbit.names.retries[1]?.name as string);
			const latest = Date.now() + 86_400_000;
			expect(Number(headersOf(waiting)["x-qmtp-next-attempt"])).toBeLessThanOrEqual(latest);
			await queue.close();
			await waits;
		});

		it("that no queue takes in which it could wait does not stop what is due", async () => {
			const body = packageOf({ sender: "", recipients: ["a@example.com"] }, "x\n");
			const due = Date.now() + 4_000_000;
			const { publish } = Publisher.prototype;
			const refusing = vi.spyOn(Publisher.prototype, "publish").mockImplementation(function (
				this: Publisher,
				publication,
			) {
				if (publication.queue.includes(".retry.")) return Promise.reject(brokerError("refused"));
				return publish.call(this, publication);
			});
			onTestFinished(() => refusing.mockRestore());
			for (let number = 0; number < 4; number++) {
				await rabbit.publish(body, {
					messageId: String(number),
					headers: { ...HEADERS, "x-qmtp-next-attempt": due },
				});
			}
			const id = await store();
			const taking = queue.take({ concurrency: 2 })[Symbol.asyncIterator]();
			const { value: job } = await taking.next();
			expect(job.id).toBe(id);
			await job.settle([K]);
			await queue.close();
			const counts = [await rabbit.ready(rabbit.name), await rabbit.ready(rabbit.names.parked)];
			expect(counts).toEqual([4, 0]);
			expect(headersOf(await rabbit.next(rabbit.name))).toMatchObject({
				"x-qmtp-next-attempt": due,
				"x-qmtp-attempts": 0,
			});
		});

		it("does not come to its delivery limit by waiting", async () => {
			const limited = new TestRabbit(broker.url);
			const source = limited.queue({ deliveryLimit: 1, retryTtls: [5] });
			try {
				await deliver(source, [bytesOf("x\n")], { sender: "", recipients: ["a@example.com"] });
				for (let round = 0; round < 5; round++) {
					const job = await one(source);
					expect(job.attempts).toBe(round);
					await job.settle([Z], Date.now() + 20);
				}
				expect((await one(source)).attempts).toBe(5);
			} finally {
				await source.close();
				await limited.channel(async (channel) => channel.deleteQueue(`${limited.name}.retry.5ms`));
				await limited.remove();
			}
		});
	});

	describe("is parked with its reason", () => {
		const envelope = { sender: "", recipients: ["a@example.com"] };
		const whole = packageOf(envelope, "x\n");
		it.each([
			[
				"that is no package",
				Buffer.from("garbage"),
				{ messageId: "1", headers: HEADERS },
				/netstring|length/,
			],
			["that is empty", Buffer.alloc(0), { messageId: "1", headers: HEADERS }, /package/],
			["that is cut short", whole.subarray(0, -1), { messageId: "1", headers: HEADERS }, /cut short/],
			[
				"with more behind it",
				Buffer.concat([whole, whole]),
				{ messageId: "1", headers: HEADERS },
				/bytes after/,
			],
			[
				"without recipients",
				packageOf({ sender: "", recipients: [] }, ""),
				{ messageId: "1", headers: HEADERS },
				/no recipient/,
			],
			["without headers", whole, { messageId: "1" }, /x-qmtp-encoding/],
			[
				"with an unknown encoding",
				whole,
				{ messageId: "1", headers: { ...HEADERS, "x-qmtp-encoding": "utf-7" } },
				/encoding/,
			],
			[
				"with a wrong time",
				whole,
				{ messageId: "1", headers: { ...HEADERS, "x-qmtp-queued-at": "then" } },
				/queued-at/,
			],
			[
				"with a time that is none",
				whole,
				{ messageId: "1", headers: { ...HEADERS, "x-qmtp-queued-at": 8_640_000_000_000_001 } },
				/queued-at is no time/,
			],
			["without an id", whole, { headers: HEADERS }, /message-id/],
			["with a wrong id", whole, { messageId: "1; rm", headers: HEADERS }, /message-id/],
		] as const)("a message %s", async (_, body, options, reason) => {
			await rabbit.publish(body, options);
			const id = await store();
			const job = await one(queue); // it does not stop the others
			expect(job.id).toBe(id);
			const parked = await rabbit.next(rabbit.names.parked);
			expect(parked.content.equals(body)).toBe(true);
			expect(String(headersOf(parked)["x-qmtp-parked-reason"])).toMatch(reason);
			expect(rabbit.faults.map(String).join()).toMatch(/is parked in/);
			await job.settle([K]);
			await queue.close();
			expect(await rabbit.ready(rabbit.name)).toBe(0);
		});

		it("a message that is too large, whose body is not taken in", async () => {
			const small = rabbit.queue({ maxBytesPerMessage: 1000 });
			const body = randomBytes(1000 + 17 * 1024 ** 2);
			await rabbit.publish(body, { messageId: "1", headers: HEADERS });
			const id = await store();
			expect((await one(small)).id).toBe(id);
			const parked = await rabbit.next(rabbit.names.parked);
			expect(parked.content.equals(body)).toBe(true);
			await rabbit.told(/too large: 17826792 bytes/);
		});

		it("a message that the broker has handed out too often", async () => {
			const limited = new TestRabbit(broker.url);
			try {
				const first = limited.queue({ deliveryLimit: 2 });
				await deliver(first, [bytesOf("x\n")], { sender: "", recipients: ["a@example.com"] });
				for (let attempts = 0; attempts < 3; attempts++) {
					const source = limited.queue({ deliveryLimit: 2 });
					expect((await one(source)).attempts).toBe(attempts);
					await source.close(); // as if it had died
				}
				const parked = await limited.next(limited.names.parked);
				const [death] = headersOf(parked)["x-death"] as { reason: string }[];
				expect(death?.reason).toBe("delivery_limit");
			} finally {
				await limited.remove();
			}
		});
	});

	/** Puts a message in. @returns Its id. */
	async function store(): Promise<string> {
		const info = messageInfo({ id: "1000" });
		await deliver(queue, [bytesOf("x\n")], { sender: "", recipients: ["a@example.com"] }, info);
		return info.id;
	}
});

it("nobody changes the waits without the tests of them", () => {
	expect(RETRY_TTLS).toEqual([60_000, 300_000, 1_800_000, 7_200_000, 21_600_000]);
});

const HEADERS = { "x-qmtp-encoding": "utf-8", "x-qmtp-queued-at": 1_800_000_000_000 };

function packageOf(envelope: { sender: string; recipients: string[] }, body: string): Buffer {
	const { head, tail } = encodePackage(envelope, { encoding: "lf", length: body.length });
	return Buffer.concat([head, Buffer.from(body), tail]);
}
