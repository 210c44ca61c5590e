/**
 * A relay from dist out of RabbitMQ that never settles what it has delivered of one message, until it is killed. Arguments:
 * the broker's URL, the queue, the next hop, and the id of that message.
 */
import { rabbitmqQueue } from "../../dist/queue/rabbitmq.js";
import { Relay } from "../../dist/relay/relay.js";

const [url, name, to, id] = process.argv.slice(2);
const queue = rabbitmqQueue({ url, queue: name, retryTtls: [200, 3_600_000] });
await queue.prepare();
const source = {
	async *take(options) {
		for await (const job of queue.take(options)) {
			if (job.id === id) {
				job.settle = async () => {
					console.log("unsettled");
					await new Promise(() => {});
				};
			}
			yield job;
		}
	},
};
const relay = new Relay({ source, bounces: queue, to });
relay.on("delivered", (report) => console.log(`settled ${report.id}`));
await relay.start();
