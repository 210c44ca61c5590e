/** The next hop of the relay benchmark: a QMTP server that discards what it takes. */
import { acceptAnyone, QmtpServer } from "qmtp";
import { discardQueue } from "qmtp/queue/discard";
import { answerParent } from "../child.js";

const server = new QmtpServer({ queue: discardQueue(), received: false, hooks: { recipient: acceptAnyone } });
const { port } = (await server.listen({ port: 0, host: "127.0.0.1" })) as { port: number };
answerParent({
	port: () => port,
	/** Bytes of bodies so far. */
	bodyBytes: () => server.stats().bodyBytes,
});
