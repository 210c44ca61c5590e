/** The queue as a server sees it: what is stored, what gets Z and what D, and what it does while there is no broker. */
import { once } from "node:events";
import { createServer } from "node:net";
import { inspect } from "node:util";
import amqp from "amqplib";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import { encodePackage } from "../../src/protocol/package-encoder.js";
import { REASONS } from "../../src/queue/rabbitmq/fault.js";
import { rabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise, queueContract, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { type Broker, describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import { BrokerQueues } from "../support/rabbitmq-mail.js";
import { drain } from "../support/rabbitmq-queue.js";
import { Wire } from "../support/rabbitmq-wire.js";

const ENVELOPE = { sender: "s@example.org", recipients: ["a@example.com"] };

describeWithRabbitmq("rabbitmqQueue", () => {
	let broker: Broker;
	let queues: BrokerQueues;
	let wire: Wire;
	beforeAll(async () => {
		broker = await startBroker();
	});
	afterAll(() => broker?.stop());
	beforeEach(async () => {
		queues = new BrokerQueues(broker);
		wire = await Wire.to(broker.port);
	});
	afterEach(async () => {
		await queues.remove();
		await wire.close();
	});

	queueContract("rabbitmqQueue", async () => {
		const own = new BrokerQueues(broker);
		return {
			queue: own.queue({ maxBytesPerMessage: 64 * 1024 ** 2 }),
			stored: () => own.stored(),
			leftOvers: async () => [], // nothing is made before the commit
			dispose: () => own.remove(),
		};
	});

	test("a message is one package, with what else is to be known in its properties", async () => {
		const now = 1_763_845_200_123;
		const queue = queues.queue({ now: () => now });
		const envelope = { sender: "", recipients: ["jürgen@example.com", "ユーザー@example.com"] };
		const body = noise(5000);
		const info = messageInfo({ id: "00123456789012345678901234567890" });
		expect(statuses(await deliver(queue, [body.subarray(0, 7), body.subarray(7)], envelope, info))).toBe(
			"KK",
		);
		const [message] = await drain(broker.url, queues.name);
		const { head, tail } = encodePackage(envelope, { encoding: "lf", length: 5000 });
		expect(message?.content.equals(Buffer.concat([head, body, tail]))).toBe(true);
		expect(message?.properties).toMatchObject({
			messageId: info.id,
			contentType: "application/x-qmtp",
			deliveryMode: 2,
			timestamp: 1_763_845_200,
			headers: {
				"x-qmtp-encoding": "utf-8",
				"x-qmtp-queued-at": now,
				"x-qmtp-attempts": 0,
				"x-qmtp-next-attempt": 0,
			},
		});
	});

	test("Latin-1 addresses are stored byte for byte", async () => {
		const all = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join("");
		const envelope = { sender: all, recipients: [all, "", `${all}@example.com`] };
		const info = messageInfo({ addressEncoding: "latin1" });
		expect(statuses(await deliver(queues.queue(), [bytesOf("x\n")], envelope, info))).toBe("KKK");
		const [message] = await drain(broker.url, queues.name);
		const { head, tail } = encodePackage(envelope, { encoding: "lf", length: 2 }, "latin1");
		expect(message?.content.equals(Buffer.concat([head, Buffer.from("x\n"), tail]))).toBe(true);
		expect(message?.properties.headers).toMatchObject({ "x-qmtp-encoding": "latin1" });
	});

	test("no K is said before the broker has confirmed", async () => {
		const queue = queues.queue({ url: wire.url });
		await deliver(queue, [bytesOf("opens the channel\n")], ENVELOPE);
		wire.hold();
		const delivery = await queue.open(messageInfo());
		await delivery.write(noise(1000));
		expect(delivery.heldBytes).toBe(1000);
		let said = "";
		const committed = delivery.commit(ENVELOPE).then((responses) => {
			said = statuses(responses);
		});
		await wire.holds(CONFIRM_BYTES);
		expect(await queues.stored()).toHaveLength(2); // it is in the queue, and is taken out of it
		expect(said).toBe("");
		expect(delivery.heldBytes).toBe(1000);
		wire.pass();
		await committed;
		expect(said).toBe("K");
		expect(delivery.heldBytes).toBe(0);
	});

	test("a thousand at a time are stored, each once", async () => {
		const queue = queues.queue();
		const all = Array.from({ length: 1000 }, (_, number) =>
			deliver(queue, [bytesOf(`${number}\n`)], { sender: "", recipients: [`r${number}@example.com`] }),
		);
		expect((await Promise.all(all)).map(statuses).join("")).toBe("K".repeat(1000));
		const stored = await queues.stored();
		expect(new Set(stored.map(({ recipient }) => recipient)).size).toBe(1000);
		expect(stored).toHaveLength(1000);
	});

	test("what is too large is refused at its length, and as it comes, and nothing of it is stored", async () => {
		const queue = queues.queue({ maxBytesPerMessage: 1000 });
		await deliver(queue, [noise(1000)], ENVELOPE, messageInfo({ length: 1000 }));
		const tooLarge = expect.objectContaining({ permanent: true, message: "message too large (#5.3.4)" });
		expect(() => queue.open(messageInfo({ length: 1001 }))).toThrow(tooLarge);
		await expect(deliver(queue, [noise(1000), noise(1)], ENVELOPE)).rejects.toEqual(tooLarge);
		await (await queue.open(messageInfo({ length: 1001, exact: false }))).abort(new Error("it may shrink"));
		expect(await queues.stored()).toHaveLength(1);
	});

	test("recipients beyond the limit come again, and those who cannot be stored do not", async () => {
		const queue = queues.queue({ maxRecipients: 2 });
		const recipients = ["a", "\ud800", "b", "c", "d"];
		const responses = await deliver(queue, [bytesOf("x\n")], { sender: "", recipients });
		expect(statuses(responses)).toBe("KDKZZ");
		expect(responses[1]?.description).toContain("#5.1.3");
		expect(responses[3]?.description).toContain("#4.5.3");
		const refused = await deliver(queue, [bytesOf("x\n")], { sender: "\udc00", recipients });
		expect(statuses(refused)).toBe("DDDDD");
		expect((await queues.stored()).map(({ recipient }) => recipient)).toEqual(["a", "b"]);
	});

	test("an id that no server makes is refused, and so are options without a meaning", async () => {
		expect(() => queues.queue().open(messageInfo({ id: "a" }))).toThrow(QueueError);
		expect(() => queues.queue().open(messageInfo({ id: "1".repeat(101) }))).toThrow(QueueError);
		for (const wrong of [
			{ maxRecipients: 0 },
			{ confirmTimeout: 0 },
			{ maxBytesPerMessage: 1e12 },
			{ tsl: {} },
		]) {
			expect(() => queues.queue(wrong)).toThrow(UsageError);
		}
		await queues.queue().prepare(); // for what is removed after each test
	});

	test("a queue that somebody deleted makes Z, and is there again after the next connection", async () => {
		const queue = queues.queue({ url: wire.url });
		await deliver(queue, [bytesOf("x\n")], ENVELOPE);
		const connection = await amqp.connect(broker.url);
		await (await connection.createChannel()).deleteQueue(queues.name);
		await connection.close();
		await expect(deliver(queue, [bytesOf("x\n")], ENVELOPE)).rejects.toMatchObject({
			code: "ERR_QMTP_QUEUE",
			message: REASONS.returned,
			permanent: false,
		});
		wire.cut();
		wire.mend();
		await vi.waitFor(() => deliver(queue, [bytesOf("y\n")], ENVELOPE), 10_000);
		expect(await queues.stored()).toHaveLength(1);
	});

	test("without a broker each message is refused at once, and taken when there is one, by itself", async () => {
		const faults: Error[] = [];
		const queue = queues.queue({ url: wire.url, onFault: (error) => faults.push(error) });
		wire.cut();
		// The first message waits for the first attempt, which fails; those that come meanwhile do so, too.
		const first = [queue.open(messageInfo()), queue.open(messageInfo())];
		for (const result of await Promise.allSettled(first)) {
			expect(result).toMatchObject({ reason: { message: REASONS.notConnected, permanent: false } });
		}
		expect(() => queue.open(messageInfo())).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_QUEUE", message: REASONS.notConnected }),
		);
		wire.mend();
		await vi.waitFor(() => deliver(queue, [bytesOf("x\n")], ENVELOPE), 10_000);
		wire.cut();
		await vi.waitFor(() => expect(() => queue.open(messageInfo())).toThrow(QueueError));
		wire.mend();
		await vi.waitFor(() => deliver(queue, [bytesOf("y\n")], ENVELOPE), 10_000);
		expect(faults.map(({ message }) => message).join("\n")).toContain("connection lost");
		expect(await queues.stored()).toHaveLength(2);
	});

	test("a delivery that began before the connection broke is refused when it is committed", async () => {
		const queue = queues.queue({ url: wire.url });
		await queue.prepare();
		const delivery = await queue.open(messageInfo());
		await delivery.write(bytesOf("x\n"));
		wire.cut();
		await vi.waitFor(() => expect(() => queue.open(messageInfo())).toThrow(QueueError));
		await expect(delivery.commit(ENVELOPE)).rejects.toMatchObject({ message: REASONS.notConnected });
		await expect(delivery.commit(ENVELOPE)).rejects.toBeInstanceOf(UsageError);
		expect(() => delivery.write(bytesOf("x"))).toThrow(UsageError);
	});

	test("a broker that closes the connection itself is connected to again", async () => {
		const faults: Error[] = [];
		const queue = queues.queue({ onFault: (error) => faults.push(error) });
		await queue.prepare();
		await broker.ctl(["close_all_connections", "for a test"]);
		await vi.waitFor(() => expect(faults).toHaveLength(1));
		expect(faults[0]?.message).toMatch(/^amqp:\/\/guest@127\.0\.0\.1:\d+\/: connection lost: .*for a test/);
		await vi.waitFor(() => deliver(queue, [bytesOf("x\n")], ENVELOPE), 10_000);
	});

	test("of several nodes the next is taken when one cannot be reached, or is lost", async () => {
		const other = await Wire.to(broker.port);
		const dead = await Wire.to(broker.port);
		dead.cut();
		const queue = queues.queue({ url: [dead.url, wire.url, other.url] });
		await queue.prepare();
		expect([wire.connections, other.connections]).toEqual([1, 0]);
		wire.cut();
		await vi.waitFor(() => deliver(queue, [bytesOf("x\n")], ENVELOPE), 10_000);
		expect([wire.connections, other.connections]).toEqual([0, 1]);
		await queue.close?.();
		await Promise.all([other.close(), dead.close()]);
	});

	test("a host that answers nothing is given up when the queue is closed", async () => {
		const silent = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
		await once(silent, "listening");
		const { port } = silent.address() as { port: number };
		const queue = rabbitmqQueue({ url: `amqp://me:s3cr3t@127.0.0.1:${port}` });
		const preparing = queue.prepare?.().catch((error) => error);
		await once(silent, "connection");
		await queue.close();
		const error = await preparing;
		expect(error).toMatchObject({ code: "ERR_QMTP_QUEUE", message: REASONS.closing });
		expect(inspect(error, { depth: null })).not.toContain("s3cr3t");
		silent.close();
		await queues.queue().prepare();
	});

	test("close waits for what is being committed, and what comes then is refused", async () => {
		const queue = queues.queue({ url: wire.url });
		await deliver(queue, [bytesOf("opens the channel\n")], ENVELOPE);
		const late = await queue.open(messageInfo());
		wire.hold();
		const committed = deliver(queue, [bytesOf("x\n")], ENVELOPE);
		await wire.holds(CONFIRM_BYTES);
		const closed = queue.close?.();
		expect(() => queue.open(messageInfo())).toThrow(expect.objectContaining({ message: REASONS.closing }));
		wire.pass();
		expect(statuses(await committed)).toBe("K");
		await closed;
		await expect(late.commit(ENVELOPE)).rejects.toMatchObject({ message: REASONS.closing });
		await queue.close?.(); // may come twice
		await vi.waitFor(() => expect(wire.connections).toBe(0));
		expect(await queues.stored()).toHaveLength(2);
	});
});

const CONFIRM_BYTES = 21; // of a basic.ack
