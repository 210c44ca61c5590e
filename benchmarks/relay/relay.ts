/**
 * The process with a spool, a server in front of it, and a relay behind it. Arguments: the directory of the spool, the port
 * of the next hop, how many messages `fill` puts in, their bytes, and how many come by the server.
 */
import { acceptAnyone, type MessageInfo, QmtpServer } from "qmtp";
import { spoolQueue } from "qmtp/queue/spool";
import { answerParent } from "../child.js";
import { messageBody } from "../fixtures/packages.js";
import { secondsToDeliver } from "./deliver.js";

const [path = "", sink, messages, bytes, served] = process.argv.slice(2);
const spool = spoolQueue({ path });
await spool.prepare();
const server = new QmtpServer({
	queue: spool,
	received: false,
	hooks: { recipient: acceptAnyone },
	limits: { pipelined: 100 }, // as many as wait in the bare loop
});
const { port } = (await server.listen({ port: 0, host: "127.0.0.1" })) as { port: number };

const AT_ONCE = 1000;
const BODY = messageBody(Number(bytes));
const INFO: Omit<MessageInfo, "id"> = {
	peer: { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 0 },
	access: {},
	encoding: "lf",
	length: BODY.length,
	exact: true,
	addressEncoding: "utf-8",
};
const ENVELOPE = { sender: "sender@example.org", recipients: ["recipient@example.com"] };
const start = Date.now();
let number = 10_000_000;
let waiting: Promise<number> | null = null;

const seconds = (count = "") => secondsToDeliver(spool, { port: sink as string, recipients: Number(count) });

answerParent({
	port: () => port,
	/** Puts the messages into the spool. */
	async fill() {
		let left = Number(messages);
		const work = async () => {
			while (left-- > 0) {
				const delivery = await spool.open({ ...INFO, id: `${start}${number++}` });
				await delivery.write(BODY);
				const [response] = await delivery.commit(ENVELOPE);
				if (response?.status !== "K") throw new Error(`the answer is no K: ${JSON.stringify(response)}`);
			}
		};
		await Promise.all(Array.from({ length: AT_ONCE }, work));
		return true;
	},
	/** Delivers them. @returns Seconds. */
	drain: () => seconds(messages),
	/** Begins to deliver what is going to come by the server. */
	listen() {
		waiting = seconds(served);
		return true;
	},
	/** When that is delivered. */
	async delivered() {
		await waiting;
		return true;
	},
	/** Messages in the spool. */
	async left() {
		return (await spool.stats()).messages;
	},
});
