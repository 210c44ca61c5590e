/** The server of the spool benchmark. The argument is the directory of the spool. */
import { acceptAnyone, QmtpServer } from "qmtp";
import { spoolQueue } from "qmtp/queue/spool";
import { answerParent } from "../child.js";

const queue = spoolQueue({ path: process.argv[2] as string });
await queue.prepare();
const server = new QmtpServer({ queue, hooks: { recipient: acceptAnyone } });
const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
answerParent({
	port: () => port,
	messages: async () => (await queue.stats()).messages,
});
