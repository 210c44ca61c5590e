/** The queues of the RabbitMQ benchmark, seen past our own code. */
import { setTimeout as sleep } from "node:timers/promises";
import amqp, { type Channel, type ChannelModel } from "amqplib";
import { declareRabbitmqTopology } from "qmtp/queue/rabbitmq";

/** A connection to the broker that looks after the queues. */
export class Queues {
	readonly #connection: ChannelModel;
	readonly #channel: Channel;

	private constructor(connection: ChannelModel, channel: Channel) {
		this.#connection = connection;
		this.#channel = channel;
	}

	/** Declares main queues of these names, all alike, with what belongs to them. */
	static async declare(url: string, names: readonly string[]): Promise<Queues> {
		for (const queue of names) await declareRabbitmqTopology({ url, queue });
		const connection = await amqp.connect(url);
		return new Queues(connection, await connection.createChannel());
	}

	/** Empties a queue, when nobody takes messages out of it any more. @throws Error unless it had so many messages. */
	async empty(queue: string, expected: number): Promise<void> {
		// A relay that has ended leaves its consumer for a moment, and that would get the next messages.
		while ((await this.#channel.checkQueue(queue)).consumerCount > 0) await sleep(5);
		const { messageCount } = await this.#channel.purgeQueue(queue);
		if (messageCount !== expected) throw new Error(`${queue} had ${messageCount} messages, not ${expected}`);
	}

	async close(): Promise<void> {
		await this.#connection.close();
	}
}
