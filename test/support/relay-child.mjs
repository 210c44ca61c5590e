/**
 * A relay from dist that never settles what it has delivered of one message, until it is killed. Arguments: the spool, the
 * next hop, and the id of that message.
 */
import { spoolQueue } from "../../dist/queue/spool.js";
import { Relay } from "../../dist/relay/relay.js";

const [path, to, id] = process.argv.slice(2);
const spool = spoolQueue({ path, minFree: 0, lease: 500, poll: 20 });
const source = {
	async *take(options) {
		for await (const job of spool.take(options)) {
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
const relay = new Relay({ source, bounces: spool, to });
relay.on("delivered", (report) => console.log(`settled ${report.id}`));
await relay.start();
