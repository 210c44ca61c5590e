/**
 * The bare publisher beside the server: the same bytes, with properties like those of the server's, by the client package
 * alone, each persistent, mandatory and confirmed. Arguments: the URL of the broker, the queue, the bytes of a body, how many
 * messages there are, and how many are in flight.
 */
import amqp from "amqplib";
import { answerParent } from "../child.js";
import { smallPackage } from "../fixtures/packages.js";

const [url = "", queue = "", bytes, messages, inFlight] = process.argv.slice(2);
const connection = await amqp.connect(url, { noDelay: true });
const channel = await connection.createConfirmChannel();
let returned = 0;
channel.on("return", () => returned++);
const package_ = smallPackage(Number(bytes));
const start = Date.now();
let number = 10_000_000;

answerParent({
	/** Publishes them. @returns Seconds. */
	async seconds() {
		const last = number + Number(messages);
		const started = performance.now();
		const work = async () => {
			// A copy each, as a body out of a socket is one.
			while (number < last) await publish(number++, Buffer.from(package_));
		};
		await Promise.all(Array.from({ length: Number(inFlight) }, work));
		const time = (performance.now() - started) / 1000;
		if (returned > 0) throw new Error(`${returned} messages came back`);
		return time;
	},
});

function publish(id: number, body: Buffer): Promise<void> {
	const now = Date.now();
	return new Promise((resolve, reject) => {
		const options = {
			persistent: true,
			mandatory: true,
			messageId: `${start}${id}`,
			correlationId: String(id),
			contentType: "application/x-qmtp",
			timestamp: Math.floor(now / 1000),
			headers: {
				"x-qmtp-encoding": "utf-8",
				"x-qmtp-queued-at": now,
				"x-qmtp-attempts": 0,
				"x-qmtp-next-attempt": 0,
			},
		};
		channel.publish("", queue, body, options, (error) => {
			if (error) reject(error);
			else resolve();
		});
	});
}
