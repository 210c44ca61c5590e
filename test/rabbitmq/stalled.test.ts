/** A broker that lives and reads nothing: what is kept of messages whose time was up, and what becomes of the next. */
import type { ChannelModel } from "amqplib";
import { expect, test } from "vitest";
import { REASONS } from "../../src/queue/rabbitmq/fault.js";
import { Publisher } from "../../src/queue/rabbitmq/publisher.js";
import { brokerAddresses } from "../../src/queue/rabbitmq/url.js";
import { FakeBroker, type FakePeer } from "../support/rabbitmq-fake.js";

test("of what a broker does not read amqplib gets 16 MiB, the rest is not kept, and then none waits", async () => {
	const broker = await FakeBroker.start();
	let given = 0;
	const publisher = new Publisher({
		connection: { addresses: brokerAddresses(broker.url), name: "test", tls: {}, onFault: () => {} },
		declare: async (model) =>
			counting(model, (bytes) => {
				given += bytes;
			}),
		confirmTimeout: 500,
	});
	await publisher.start();
	await publish(publisher, 1);
	(broker.peers[0] as FakePeer).socket.pause();
	const answers = await Promise.all(Array.from({ length: 40 }, () => failure(publish(publisher, MIB))));
	expect(new Set(answers)).toEqual(new Set([REASONS.unconfirmed, REASONS.notSent]));
	expect(given).toBeGreaterThanOrEqual(16 * MIB);
	expect(given).toBeLessThanOrEqual(17 * MIB + 1);
	await expect(publish(publisher, 1)).rejects.toMatchObject({
		message: REASONS.notSent,
		cause: { message: "the connection has stalled" }, // it did not wait
	});
	(broker.peers[0] as FakePeer).socket.destroy(); // which the publisher does not know yet
	await publisher.close();
	await broker.stop();
}, 20_000);

function publish(publisher: Publisher, size: number): Promise<void> {
	return publisher.publish({ queue: "q", body: Buffer.alloc(size, 97), properties: { messageId: "1" } });
}

async function failure(publishing: Promise<void>): Promise<string> {
	return await publishing.then(
		() => "confirmed",
		({ message }: Error) => message,
	);
}

/** Counts the bytes that amqplib is given. */
function counting(model: ChannelModel, count: (bytes: number) => void): void {
	const create = model.createConfirmChannel.bind(model);
	model.createConfirmChannel = async (...args) => {
		const channel = await create(...args);
		const publishing = channel.publish.bind(channel);
		channel.publish = (exchange, key, content, ...rest) => {
			count(content.length);
			return publishing(exchange, key, content, ...rest);
		};
		return channel;
	};
}

const MIB = 1024 ** 2;
