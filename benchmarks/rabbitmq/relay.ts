/**
 * The process with a relay out of RabbitMQ. Arguments: the URL of the broker, the queue, the port of the next hop, and how
 * many messages there are.
 */
import { rabbitmqQueue } from "qmtp/queue/rabbitmq";
import { answerParent } from "../child.js";
import { secondsToDeliver } from "../relay/deliver.js";

const [url = "", name = "", sink, messages] = process.argv.slice(2);
const queue = rabbitmqQueue({ url, queue: name });
await queue.prepare();

answerParent({
	/** Delivers all that is in the queue. @returns Seconds, from the first delivery's start to the last one's end. */
	drain: () => secondsToDeliver(queue, { port: sink as string, recipients: Number(messages) }),
});
