/**
 * The process with a relay out of RabbitMQ. Arguments: the URL of the broker, the queue, the port of the next hop, and how
 * many messages there are.
 */
import { rabbitmqQueue } from "qmtp/queue/rabbitmq";
import { Relay } from "qmtp/relay";
import { answerParent } from "../child.js";

const [url = "", name = "", sink, messages] = process.argv.slice(2);
const queue = rabbitmqQueue({ url, queue: name });
await queue.prepare();

answerParent({
	/** Delivers all that is in the queue. @returns Seconds, from the first delivery's start to the last one's end. */
	async drain() {
		const relay = new Relay({ source: queue, to: `qmtp://127.0.0.1:${sink}` });
		const started = performance.now();
		await new Promise<void>((resolve, reject) => {
			let left = Number(messages);
			relay.on("delivered", () => {
				if (--left === 0) resolve();
			});
			relay.on("deferred", ({ recipients }) => reject(new Error(recipients[0]?.description)));
			relay.start().catch(reject);
		});
		const time = (performance.now() - started) / 1000;
		await relay.close();
		return time;
	},
});
