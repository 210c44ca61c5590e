/**
 * A relay from dist over a maildir, which never settles what it has delivered of the message for one recipient, until it is
 * killed. Arguments: the maildir, the next hop, and that recipient.
 */
import { maildirQueue, maildirSource } from "../../dist/queue/maildir.js";
import { Relay } from "../../dist/relay/relay.js";

const [path, to, recipient] = process.argv.slice(2);
const maildir = maildirSource({ path, poll: 20 });
const source = {
	async *take(options) {
		for await (const job of maildir.take(options)) {
			if (job.envelope.recipients[0] === recipient) {
				job.settle = async () => {
					console.log("unsettled");
					await new Promise(() => {});
				};
			}
			yield job;
		}
	},
};
const relay = new Relay({ source, bounces: maildirQueue({ path }), to });
relay.on("delivered", (report) => console.log(`settled ${report.id}`));
relay.on("fault", (error) => console.log(`fault ${error.message}`));
await relay.start();
console.log("started");
