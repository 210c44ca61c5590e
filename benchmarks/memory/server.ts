/**
 * The server of the memory benchmark, with a Maildir at the path that is its argument. It watches its own resident
 * memory from `begin` to `end`.
 */
import { acceptAnyone, QmtpServer } from "qmtp";
import { maildirQueue } from "qmtp/queue/maildir";
import { answerParent } from "../child.js";
import { Watch } from "./watch.js";

const GIB = 1024 ** 3;

const [path = ""] = process.argv.slice(2);
const server = new QmtpServer({
	queue: maildirQueue({ path, maxBytesPerMessage: 4 * GIB }),
	hooks: { recipient: acceptAnyone },
	limits: { messageBytes: 2 * GIB },
});
const { port } = await server.listen({ port: 0, host: "127.0.0.1" });

let watch: Watch | undefined;
answerParent({
	port: () => port,
	begin: () => {
		watch = new Watch();
		return true;
	},
	end: () => watch?.end(),
});
