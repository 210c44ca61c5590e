/**
 * Publishing, against a broker whose confirms are held back, and over a wire that breaks. Its broker takes messages of up
 * to 64 KiB.
 */
import amqp, { type ChannelModel, type ConfirmChannel, type ConsumeMessage } from "amqplib";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { QueueError } from "../../src/errors.js";
import { REASONS } from "../../src/queue/rabbitmq/fault.js";
import { Publisher, type PublisherSettings } from "../../src/queue/rabbitmq/publisher.js";
import { brokerAddresses } from "../../src/queue/rabbitmq/url.js";
import { type Broker, describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import { Wire } from "../support/rabbitmq-wire.js";

describeWithRabbitmq("a publisher", () => {
	let broker: Broker;
	let wire: Wire;
	let direct: ChannelModel;
	let queue: string;
	let numbers = 0;
	const faults: Error[] = [];
	const publishers: Publisher[] = [];

	beforeAll(async () => {
		broker = await startBroker({ configuration: [`max_message_size = ${LARGEST}`] });
	}, 60_000);
	afterAll(() => broker?.stop());
	beforeEach(async () => {
		wire = await Wire.to(broker.port);
		direct = await amqp.connect(broker.url);
		queue = `publisher-${numbers++}`;
		faults.length = 0;
	});
	afterEach(async () => {
		await Promise.all(publishers.splice(0).map((publisher) => publisher.close()));
		await deleteQueue(queue);
		await direct.close();
		await wire.close();
	});

	/** A publisher over the wire, connected. Its queue is a quorum queue, as all of ours are. */
	async function connected(settings: Partial<PublisherSettings> = {}): Promise<Publisher> {
		const publisher = new Publisher({
			connection: {
				addresses: brokerAddresses(wire.url),
				name: "test",
				tls: {},
				onFault: (error) => faults.push(error),
				pauses: [10, 100],
			},
			declare: async (model) => await declare(model, queue),
			confirmTimeout: 20_000,
			...settings,
		});
		publishers.push(publisher);
		await publisher.start();
		return publisher;
	}

	async function deleteQueue(name: string): Promise<void> {
		const channel = await direct.createChannel();
		await channel.deleteQueue(name);
		await channel.close();
	}

	/** Takes the first messages out of the queue, over another connection. */
	async function consumed(count: number): Promise<ConsumeMessage[]> {
		const channel = await direct.createChannel();
		const messages: ConsumeMessage[] = [];
		await new Promise<void>((resolve) => {
			const take = (message: ConsumeMessage | null) => {
				if (message === null) return;
				channel.ack(message); // a quorum queue hands out 2000 without
				messages.push(message);
				if (messages.length === count) resolve();
			};
			void channel.consume(queue, take);
		});
		await channel.close();
		return messages;
	}

	async function stored(): Promise<number> {
		const channel = await direct.createChannel();
		const { messageCount } = await channel.checkQueue(queue);
		await channel.close();
		return messageCount;
	}

	function publish(publisher: Publisher, text: string, to = queue): Promise<void> {
		return publisher.publish({ queue: to, body: Buffer.from(text), properties: { messageId: "1" } });
	}

	test("a publish does not resolve before the confirm is here, though the broker has the message", async () => {
		const publisher = await connected();
		await publish(publisher, "first"); // opens the channel
		wire.hold();
		let resolved = false;
		const published = publish(publisher, "second").then(() => {
			resolved = true;
		});
		const [, second] = await consumed(2);
		expect(second?.content.toString()).toBe("second");
		expect(second?.properties.deliveryMode).toBe(2);
		await wire.holds(CONFIRM_BYTES);
		await turns();
		expect(resolved).toBe(false);
		wire.pass();
		await published;
	});

	test("a publish that was returned fails, though it is confirmed afterwards, and the next is none the worse", async () => {
		const publisher = await connected();
		await publish(publisher, "stored");
		await deleteQueue(queue);
		const both = [publish(publisher, "one"), publish(publisher, "two")];
		await expectReason(both, "returned", "ERR_QMTP_QUEUE");
		await declare(direct, queue);
		await publish(publisher, "stored again");
		expect(await stored()).toBe(1);
		expect(faults.map(({ message }) => message)).toEqual([
			`the broker has no queue ${queue} any more: it is declared again`,
		]);
	});

	test("a queue that somebody deleted is declared again, without another connection", async () => {
		const publisher = await connected();
		await publish(publisher, "stored");
		await deleteQueue(queue);
		await expectReason([publish(publisher, "lost")], "returned", "ERR_QMTP_QUEUE");
		await vi.waitFor(() => publish(publisher, "stored again"), 10_000);
		expect(await stored()).toBe(1);
		expect(wire.connections).toBe(1);
	});

	test("a publish that a full queue refuses fails, and those before it do not", async () => {
		const publisher = await connected();
		const full = `${queue}-full`;
		const channel = await direct.createChannel();
		await channel.assertQueue(full, {
			durable: true,
			arguments: { "x-max-length": 2, "x-overflow": "reject-publish" },
		});
		await publish(publisher, "1", full);
		await publish(publisher, "2", full);
		await expectReason([publish(publisher, "3", full)], "refused", "ERR_QMTP_QUEUE_FULL");
		expect((await channel.purgeQueue(full)).messageCount).toBe(2);
		await publish(publisher, "4", full);
		await channel.deleteQueue(full);
	});

	test("when the connection breaks, all that is under way fails at once, what follows does, and later it works again", async () => {
		const publisher = await connected();
		await publish(publisher, "opens the channel");
		wire.hold();
		const all = Array.from({ length: 200 }, (_, number) => publish(publisher, String(number)));
		await wire.holds(CONFIRM_BYTES);
		wire.cut();
		await expectReason(all, "lost", "ERR_QMTP_QUEUE");
		expect(publisher.problem).toMatchObject({ message: REASONS.notConnected, permanent: false });
		await expectReason([publish(publisher, "meanwhile")], "notConnected", "ERR_QMTP_QUEUE");
		expect(faults[0]?.message).toMatch(/^amqp:\/\/guest@127\.0\.0\.1:\d+\/: connection lost: /);
		wire.mend();
		await vi.waitFor(() => expect(publisher.problem).toBeNull(), 10_000);
		const before = await stored();
		await publish(publisher, "afterwards");
		expect(await stored()).toBe(before + 1); // and nothing was published a second time
	});

	test("when the broker dies, all that is under way fails", async () => {
		const other = await startBroker();
		try {
			const publisher = await connected({
				connection: {
					addresses: brokerAddresses(other.url),
					name: "test",
					tls: {},
					onFault: (error) => faults.push(error),
				},
			});
			await publish(publisher, "opens the channel");
			process.kill(other.pid, "SIGSTOP"); // so that no confirm can be said
			const all = Array.from({ length: 50 }, (_, number) => publish(publisher, String(number)));
			const failing = expectReason(all, "lost", "ERR_QMTP_QUEUE");
			await turns();
			await other.kill();
			await failing;
		} finally {
			await other.stop();
		}
	}, 60_000);

	test("without a confirm in time a publish fails, and the next goes over another channel", async () => {
		const channels: ConfirmChannel[] = [];
		const publisher = await connected({ confirmTimeout: 1500, declare: watching(channels) });
		await publish(publisher, "opens the channel");
		wire.hold();
		await expectReason([publish(publisher, "late")], "unconfirmed", "ERR_QMTP_QUEUE");
		wire.pass();
		await publish(publisher, "on the old one, while another is opened");
		await vi.waitFor(() => expect(channels).toHaveLength(2));
		await publish(publisher, "on the new one");
		expect(await stored()).toBe(4); // the late one, too: it may be stored, as its error says
	});

	test("a publish that waits for its channel fails in time, too", async () => {
		const publisher = await connected({ confirmTimeout: 1500 });
		wire.hold();
		await expectReason([publish(publisher, "x"), publish(publisher, "y")], "notSent", "ERR_QMTP_QUEUE");
		wire.pass();
		await publish(publisher, "z");
		expect(await stored()).toBe(1);
	});

	test("a broker that has no room makes it fail at once, and again take messages when it has", async () => {
		const publisher = await connected({ confirmTimeout: 20_000 });
		await publish(publisher, "opens the channel");
		await broker.ctl(["set_disk_free_limit", "1000000GB"]);
		try {
			const waiting = publish(publisher, "this is how it tells"); // it is told with the first message
			await vi.waitFor(() => expect(publisher.problem).not.toBeNull(), 10_000);
			expect(publisher.problem).toMatchObject({ code: "ERR_QMTP_QUEUE_FULL", message: REASONS.blocked });
			await expectReason([publish(publisher, "meanwhile")], "blocked", "ERR_QMTP_QUEUE_FULL");
			await broker.ctl(["set_disk_free_limit", "50MB"]);
			await waiting;
			await vi.waitFor(() => expect(publisher.problem).toBeNull(), 10_000);
			await publish(publisher, "afterwards");
			expect(await stored()).toBe(3);
		} finally {
			await broker.ctl(["set_disk_free_limit", "50MB"]);
		}
	}, 60_000);

	test("more than amqplib buffers may be under way, and is stored in its order", async () => {
		const publisher = await connected();
		const texts = Array.from({ length: 3000 }, (_, number) => `${number} `.padEnd(3000, "x"));
		await Promise.all(texts.map((text) => publish(publisher, text)));
		const messages = await consumed(texts.length);
		expect(messages.map(({ content }) => content.toString() === texts.shift())).not.toContain(false);
	}, 30_000);

	test("a channel is replaced when it has done its share, and its list of unconfirmed publishes with it", async () => {
		const channels: ConfirmChannel[] = [];
		const publisher = await connected({ publishesPerChannel: 10, declare: watching(channels) });
		const closed: ConfirmChannel[] = [];
		for (let number = 0; number < 200; number++) {
			await publish(publisher, String(number));
			for (const channel of channels) {
				if (channel.listenerCount("close") < 3) channel.once("close", () => closed.push(channel));
			}
		}
		expect(channels.length).toBeGreaterThan(5);
		await vi.waitFor(() => expect(closed).toEqual(channels.slice(0, -1)));
		for (const channel of channels) expect(channel).toHaveProperty("unconfirmed.length", 0);
		expect(await stored()).toBe(200);
	});

	test("publishes to several queues have a channel each", async () => {
		const channels: ConfirmChannel[] = [];
		const publisher = await connected({ declare: watching(channels) });
		const other = `${queue}-other`;
		await declare(direct, other);
		await Promise.all([queue, other, queue, other].map((name) => publish(publisher, name, name)));
		expect(channels).toHaveLength(2);
		await deleteQueue(other);
	});

	test("a message that the broker finds too large is refused for good, and none of that size is tried again", async () => {
		const publisher = await connected();
		await publish(publisher, "x".repeat(LARGEST));
		const large = publish(publisher, "x".repeat(LARGEST + 1));
		await expect(large).rejects.toMatchObject({ permanent: true, message: "message too large (#5.3.4)" });
		expect(publisher.largestBody).toBe(LARGEST);
		const again = publish(publisher, "x".repeat(LARGEST + 1));
		const others = [publish(publisher, "small"), publish(publisher, "x".repeat(LARGEST))];
		await expect(again).rejects.toMatchObject({ permanent: true });
		await Promise.all(others); // which would fail with their channel, had the large one been published
		expect(await stored()).toBe(3);
	});

	test("close waits for the confirms of what is under way, and takes nothing more", async () => {
		const publisher = await connected();
		await publish(publisher, "opens the channel");
		wire.hold();
		const published = publish(publisher, "under way");
		let closed = false;
		const closing = publisher.close().then(() => {
			closed = true;
		});
		await expectReason([publish(publisher, "too late")], "closing", "ERR_QMTP_QUEUE");
		await wire.holds(CONFIRM_BYTES);
		await turns();
		expect(closed).toBe(false);
		wire.pass();
		await published;
		await closing;
		await expect(publisher.start()).rejects.toMatchObject({ message: REASONS.closing });
	});

	test("close ends a publisher that tries in vain to connect", async () => {
		wire.cut();
		const publisher = await connected().catch(() => publishers.at(-1) as Publisher);
		expect(publisher.problem).toMatchObject({ message: REASONS.notConnected });
		await publisher.close();
		const count = faults.length;
		wire.mend();
		await new Promise((resolve) => setTimeout(resolve, 150)); // longer than its longest pause
		expect(faults).toHaveLength(count);
	});

	/** Declares the queue, and notes each confirm channel that is opened from then on. */
	function watching(channels: ConfirmChannel[]): (model: ChannelModel) => Promise<void> {
		return async (model) => {
			await declare(model, queue);
			const create = model.createConfirmChannel.bind(model);
			model.createConfirmChannel = async (...args) => {
				const channel = await create(...args);
				channels.push(channel);
				return channel;
			};
		};
	}
});

async function declare(model: ChannelModel, name: string): Promise<void> {
	const channel = await model.createChannel();
	await channel.assertQueue(name, { durable: true, arguments: { "x-queue-type": "quorum" } });
	await channel.close();
}

async function expectReason(
	publishes: readonly Promise<void>[],
	reason: keyof typeof REASONS,
	code: string,
): Promise<void> {
	for (const result of await Promise.allSettled(publishes)) {
		expect(result).toMatchObject({
			status: "rejected",
			reason: { code, message: REASONS[reason], permanent: false },
		});
		expect((result as PromiseRejectedResult).reason).toBeInstanceOf(QueueError);
	}
}

/** Lets what has arrived be read, and all that follows from it happen. */
async function turns(): Promise<void> {
	for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const LARGEST = 65_536;
const CONFIRM_BYTES = 21; // of a basic.ack
