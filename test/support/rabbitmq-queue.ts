/** What a queue of RabbitMQ holds, seen past our own code: taken out by the client package itself. */
import amqp, { type ConsumeMessage } from "amqplib";
import { readChecked } from "../../benchmarks/soak/checked-mail.js";
import { decodePackage } from "../../src/queue/stored-package.js";

/** Takes all messages out of a queue, for good. */
export async function drain(url: string, queue: string): Promise<ConsumeMessage[]> {
	const connection = await amqp.connect(url);
	try {
		const channel = await connection.createChannel();
		const { messageCount } = await channel.checkQueue(queue);
		const messages: ConsumeMessage[] = [];
		if (messageCount > 0) {
			await channel.prefetch(500);
			await new Promise<void>((resolve, reject) => {
				channel.once("close", () => reject(new Error(`the channel was closed in ${queue}`)));
				channel.on("error", reject);
				const take = (message: ConsumeMessage | null) => {
					if (message === null) return reject(new Error(`${queue} is gone`));
					channel.ack(message);
					messages.push(message);
					if (messages.length === messageCount) resolve();
				};
				channel.consume(queue, take, { consumerTag: "drain" }).catch(reject);
			});
			await channel.cancel("drain");
		}
		const more = await channel.get(queue);
		if (more !== false)
			throw new Error(`${queue} had more than the ${messageCount} messages that it told of`);
		return messages;
	} finally {
		await connection.close();
	}
}

/** What copies a message stands for. @throws Error if it is not whole. */
export function copiesIn(message: ConsumeMessage): string[] {
	const { envelope, body } = decodePackage(message.content, "utf-8");
	const checked = readChecked(Buffer.from(body));
	if (checked?.whole !== true) throw new Error(`not whole: ${message.properties.messageId}`);
	return envelope.recipients.map((recipient) => `${checked.id} ${recipient}`);
}
