/**
 * The server of the loopback benchmark: it discards what it takes. With the argument `hooks` it asks three hooks about
 * each package, which all answer by a promise.
 */
import { acceptAnyone, QmtpServer, type ServerHooks } from "qmtp";
import { discardQueue } from "qmtp/queue/discard";
import { answerParent } from "../child.js";

const asyncHooks: ServerHooks = {
	message: async () => undefined,
	sender: async () => undefined,
	recipient: async () => undefined,
};
const hooks = process.argv[2] === "hooks" ? asyncHooks : { recipient: acceptAnyone };
const server = new QmtpServer({ queue: discardQueue(), hooks });
const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
answerParent({ port: () => port });
