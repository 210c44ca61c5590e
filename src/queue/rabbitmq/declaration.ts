/** Declares queues. Nothing happens to those that exist with the same arguments. */
import type { Channel, ChannelModel } from "amqplib";
import { QueueError } from "../../errors.js";
import { REASONS, textOf } from "./fault.js";
import type { RabbitmqTopologyQueue } from "./topology.js";

/** Declares queues over a connection. */
export type Declare = (model: ChannelModel) => Promise<void>;

/** What declares these, as often as it is asked to. */
export function declaring(queues: readonly RabbitmqTopologyQueue[]): Declare {
	return (model) => declareQueues(model, queues);
}

/**
 * Declares them, in order. Who may not is content with those that are there: how they were declared nobody tells then.
 *
 * @throws QueueError, `permanent`, if one exists with other arguments, with a cause that says which and what to do; Error
 * for what else may fail.
 */
async function declareQueues(model: ChannelModel, queues: readonly RabbitmqTopologyQueue[]): Promise<void> {
	let channel = await quietChannel(model);
	for (const { name, durable, arguments: args } of queues) {
		try {
			await channel.assertQueue(name, { durable, arguments: args });
		} catch (error) {
			const { code } = error as { code?: unknown };
			if (code === PRECONDITION_FAILED) throw mismatch(name, error);
			if (code !== ACCESS_REFUSED) throw error;
			channel = await quietChannel(model); // the other one is closed
			await channel.checkQueue(name).catch(() => {
				throw error;
			});
		}
	}
	await channel.close();
}

async function quietChannel(model: ChannelModel): Promise<Channel> {
	const channel = await model.createChannel();
	channel.on("error", () => {}); // the call that it is about rejects, too
	return channel;
}

function mismatch(name: string, error: unknown): QueueError {
	const [, difference = textOf(error)] = /PRECONDITION_FAILED - (.*?)"?$/.exec(textOf(error)) ?? [];
	const advice = "give the arguments that it was declared with, or delete it when it is empty";
	const cause = new Error(`the queue ${name} exists with other arguments: ${difference}; ${advice}`, {
		cause: error,
	});
	return new QueueError("ERR_QMTP_QUEUE", REASONS.mismatch, { cause, permanent: true });
}

const ACCESS_REFUSED = 403;
const PRECONDITION_FAILED = 406;
