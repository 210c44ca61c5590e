/** The queues of the broker: what they are, that they are declared as often as one likes, and that differences are told. */
import Module from "node:module";
import { inspect } from "node:util";
import amqp from "amqplib";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import {
	declareRabbitmqTopology,
	type RabbitmqQueueOptions,
	rabbitmqQueue,
	rabbitmqTopology,
} from "../../src/queue/rabbitmq.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { type Broker, describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import { removeQueues } from "../support/rabbitmq-mail.js";

const DEAD_LETTERS = { "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish" };

describe("the topology", () => {
	test("is seven quorum queues, those first to which the others give their dead letters", () => {
		const retry = (name: string, ttl: number) => ({
			name: `qmtp.retry.${name}`,
			durable: true,
			arguments: {
				"x-queue-type": "quorum",
				"x-message-ttl": ttl,
				"x-dead-letter-exchange": "",
				"x-dead-letter-routing-key": "qmtp",
				...DEAD_LETTERS,
			},
		});
		expect(rabbitmqTopology()).toEqual([
			{
				name: "qmtp.parked",
				durable: true,
				arguments: {
					"x-queue-type": "quorum",
					"x-overflow": "reject-publish",
					"x-delivery-limit": 2_000_000_000,
				},
			},
			{
				name: "qmtp",
				durable: true,
				arguments: {
					"x-queue-type": "quorum",
					"x-delivery-limit": 20,
					"x-dead-letter-exchange": "",
					"x-dead-letter-routing-key": "qmtp.parked",
					...DEAD_LETTERS,
				},
			},
			retry("1m", 60_000),
			retry("5m", 300_000),
			retry("30m", 1_800_000),
			retry("2h", 7_200_000),
			retry("6h", 21_600_000),
		]);
	});

	test("has the name and the limit that it was given, and is plain data", () => {
		const queues = rabbitmqTopology({ queue: "mail.out_1-x", deliveryLimit: 3 });
		expect(queues.map(({ name }) => name)).toContain("mail.out_1-x.retry.30m");
		expect(queues[1]?.arguments["x-delivery-limit"]).toBe(3);
		expect(JSON.parse(JSON.stringify(queues))).toEqual(queues);
	});

	test.each([
		{ queue: "" },
		{ queue: "x".repeat(101) },
		{ queue: "a b" },
		{ queue: "ä" },
		{ queue: "a/b" },
		{ queue: "a\n" },
		{ deliveryLimit: 0 },
		{ deliveryLimit: 1.5 },
		{ delivery: 3 },
	])("refuses %j", (options) => {
		expect(() => rabbitmqTopology(options)).toThrow(UsageError);
		expect(() => rabbitmqQueue({ url: "amqp://127.0.0.1", ...options })).toThrow(UsageError);
	});
});

test("without amqplib what declares says what to install, and what only tells needs none", async () => {
	const loader = Module as unknown as { _load(id: string, ...rest: unknown[]): unknown };
	const load = loader._load;
	const spy = vi.spyOn(loader, "_load").mockImplementation((id, ...rest) => {
		if (id !== "amqplib") return load.call(loader, id, ...rest);
		throw Object.assign(new Error("Cannot find module 'amqplib'"), { code: "MODULE_NOT_FOUND" });
	});
	try {
		expect(rabbitmqTopology()).toHaveLength(7);
		const queue = rabbitmqQueue({ url: "amqp://127.0.0.1:1" });
		await expect(queue.prepare()).rejects.toMatchObject({
			name: "UsageError",
			code: "ERR_QMTP_PACKAGE",
			message: "a queue of RabbitMQ needs the package amqplib: npm install amqplib",
		});
		expect(() => queue.open(messageInfo())).toThrow(
			expect.objectContaining({ cause: expect.objectContaining({ code: "ERR_QMTP_PACKAGE" }) }),
		);
		await queue.close();
	} finally {
		spy.mockRestore();
	}
});

describeWithRabbitmq("declaring the topology", () => {
	let broker: Broker;
	const names = rabbitmqTopology({ queue: "topology" }).map(({ name }) => name);
	beforeAll(async () => {
		broker = await startBroker();
	});
	afterAll(() => broker?.stop());
	afterEach(() => removeQueues(broker.url, names));

	function options(more: Partial<RabbitmqQueueOptions> = {}): RabbitmqQueueOptions {
		return { url: broker.url, queue: "topology", ...more };
	}

	test("makes what was promised, and may be done again, by several at a time, with mail in it", async () => {
		await Promise.all([1, 2, 3].map(() => declareRabbitmqTopology(options())));
		const listed = await broker.ctl(["list_queues", "--no-table-headers", "name", "type", "durable"]);
		expect(listed.trim().split("\n").sort()).toEqual(names.map((name) => `${name}\tquorum\ttrue`).sort());
		const connection = await amqp.connect(broker.url);
		const channel = await connection.createConfirmChannel();
		channel.sendToQueue("topology", Buffer.from("x"), { persistent: true });
		await channel.waitForConfirms();
		await declareRabbitmqTopology(options());
		expect(await channel.checkQueue("topology")).toMatchObject({ messageCount: 1 });
		await connection.close();
	});

	test("tells which queue exists with other arguments, and how they differ, and that trying again is no use", async () => {
		await declareRabbitmqTopology(options({ deliveryLimit: 3 }));
		const error = await declareRabbitmqTopology(options({ deliveryLimit: 4 })).catch((error) => error);
		expect(error).toBeInstanceOf(QueueError);
		expect(error).toMatchObject({ code: "ERR_QMTP_QUEUE", permanent: true });
		expect(error.message).toBe("queue of the message broker is not the one that is expected (#4.3.0)");
		expect(error.cause.message).toBe(
			"the queue topology exists with other arguments: inequivalent arg 'x-delivery-limit' for queue 'topology' in vhost '/': received '4' but current is '3'; give the arguments that it was declared with, or delete it when it is empty",
		);
		await declareRabbitmqTopology(options({ deliveryLimit: 3 }));
	});

	test("a mismatch is no reason to refuse mail for good: it may be mended while the server runs", async () => {
		const connection = await amqp.connect(broker.url);
		const channel = await connection.createChannel();
		await channel.assertQueue("topology.retry.5m", { durable: true });
		const queue = rabbitmqQueue(options({ pauses: [10, 50] }));
		await expect(queue.prepare()).rejects.toMatchObject({ permanent: true });
		expect(() => queue.open(messageInfo())).toThrow(expect.objectContaining({ permanent: false }));
		await channel.deleteQueue("topology.retry.5m");
		await queue.prepare();
		await (await queue.open(messageInfo())).abort(new Error("enough"));
		await queue.close();
		await connection.close();
	});

	test("what is parked stays when a policy bounds it: what is too much is refused, and nothing is dropped", async () => {
		await declareRabbitmqTopology(options());
		await broker.ctl(["set_policy", "bound", "^topology", '{"max-length":2}', "--apply-to", "queues"]);
		const connection = await amqp.connect(broker.url);
		const channel = await connection.createConfirmChannel();
		const put = (text: string) =>
			new Promise<boolean>((resolve) => {
				channel.sendToQueue("topology.parked", Buffer.from(text), { persistent: true }, (error) =>
					resolve(error === null),
				);
			});
		await vi.waitFor(async () => expect(await put("more")).toBe(false), 10_000); // from the moment of the policy on
		for (let number = 0; number < 30; number++) {
			const message = await channel.get("topology.parked"); // more often than RabbitMQ's own limit
			if (message === false) throw new Error("it is gone");
			channel.nack(message, false, true);
			if (number === 0) expect(message.content.toString()).toBe("more");
		}
		expect((await channel.checkQueue("topology.parked")).messageCount).toBeGreaterThanOrEqual(2);
		await connection.close();
		await broker.ctl(["clear_policy", "bound"]);
	});

	test("a user who may not declare uses what is there", async () => {
		await broker.ctl(["add_user", "user", "s3cr3t"]);
		await broker.ctl(["set_permissions", "user", "", ".*", ".*"]);
		await declareRabbitmqTopology(options());
		const queue = rabbitmqQueue(options({ url: `amqp://user:s3cr3t@127.0.0.1:${broker.port}` }));
		await queue.prepare();
		expect(
			statuses(await deliver(queue, [bytesOf("x\n")], { sender: "", recipients: ["a@example.com"] })),
		).toBe("K");
		await queue.close();
	});

	test("without the right to declare, the error says so", async () => {
		await broker.ctl(["add_user", "reader", "s3cr3t"]);
		await broker.ctl(["set_permissions", "reader", "", ".*", ".*"]);
		const url = `amqp://reader:s3cr3t@127.0.0.1:${broker.port}`;
		const error = await declareRabbitmqTopology(options({ url })).catch((error) => error);
		expect(error).toMatchObject({ code: "ERR_QMTP_QUEUE", permanent: false });
		expect(error.cause.message).toMatch(/^amqp:\/\/reader@127\.0\.0\.1:\d+\/: .*ACCESS.REFUSED/);
		expect(inspect(error, { depth: null, showHidden: true })).not.toContain("s3cr3t");
	});

	test("with a wrong password, a vhost that is none, or no broker, the error says which host and why, and not the password", async () => {
		const port = broker.port;
		const urls = [
			[`amqp://guest:s3cr3t@127.0.0.1:${port}`, /^amqp:\/\/guest@127\.0\.0\.1:\d+\/: .*ACCESS.REFUSED/],
			[`amqp://guest:guest@127.0.0.1:${port}/s3cr3t-none`, /s3cr3t-none: .*no such vhost/],
			[`amqp://me:s3cr3t@127.0.0.1:1/mail`, /^amqp:\/\/me@127\.0\.0\.1:1\/mail: connect ECONNREFUSED 127/],
			[
				`amqp://me:s3cr3t@127.0.0.1:1,127.0.0.1:2`,
				/^amqp:\/\/me@127\.0\.0\.1:1\/: .*; amqp:\/\/me@127\.0\.0\.1:2\/: connect ECONNREFUSED/,
			],
			[`amqps://me:s3cr3t@127.0.0.1:${port}`, /^amqps:\/\/me@127\.0\.0\.1:\d+\/: /],
		] as const;
		for (const [url, text] of urls) {
			const error = await declareRabbitmqTopology(options({ url })).catch((error) => error);
			expect(error, url).toBeInstanceOf(QueueError);
			expect(error).toMatchObject({ message: "message broker cannot be reached (#4.3.0)", permanent: false });
			expect(error.cause.message).toMatch(text);
			if (!url.includes("s3cr3t-none")) {
				expect(inspect(error, { depth: null, showHidden: true })).not.toContain("s3cr3t");
			}
		}
	});
});
