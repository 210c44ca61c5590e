/** Queues of our own over a broker, and what is in them. */
import amqp from "amqplib";

import { readState } from "../../src/queue/rabbitmq/message.js";
import {
	type RabbitmqQueue,
	type RabbitmqQueueOptions,
	rabbitmqQueue,
	rabbitmqTopology,
} from "../../src/queue/rabbitmq.js";
import { decodePackage } from "../../src/queue/stored-package.js";
import type { StoredCopy } from "./queue-contract.js";
import type { Broker } from "./rabbitmq.js";
import { drain } from "./rabbitmq-queue.js";

let number = 0;

/** A name for queues of a broker, and the queues under it. */
export class BrokerQueues {
	readonly name: string = `mail-${process.pid}-${++number}`;
	readonly #broker: Broker;
	readonly #queues: RabbitmqQueue[] = [];

	constructor(broker: Broker) {
		this.#broker = broker;
	}

	/** A queue under it. */
	queue(options: Partial<RabbitmqQueueOptions> = {}): RabbitmqQueue {
		const queue = rabbitmqQueue({ url: this.#broker.url, queue: this.name, pauses: [10, 100], ...options });
		this.#queues.push(queue);
		return queue;
	}

	/** Takes out all that is in the main queue. */
	async stored(): Promise<StoredCopy[]> {
		return (await drain(this.#broker.url, this.name)).flatMap((message) => {
			const { envelope, body } = decodePackage(message.content, readState(message).encoding);
			return envelope.recipients.map((recipient) => ({ sender: envelope.sender, recipient, body }));
		});
	}

	/** Closes its queues, and deletes those of the broker. */
	async remove(): Promise<void> {
		for (const queue of this.#queues) await queue.close?.();
		await removeQueues(this.#broker.url, this.names);
	}

	/** The names of the broker's queues. */
	get names(): string[] {
		return rabbitmqTopology({ queue: this.name }).map(({ name }) => name);
	}
}

/** Deletes queues of a broker, those that are not there, too. */
export async function removeQueues(url: string, names: readonly string[]): Promise<void> {
	const connection = await amqp.connect(url);
	const channel = await connection.createChannel();
	for (const name of names) await channel.deleteQueue(name);
	await connection.close();
}
