/**
 * npm's smtp-server, which discards what it takes, as a process of its own. It counts messages and bytes, so that the
 * benchmark can see that all came. Neither TLS, nor AUTH, nor a look at a name server.
 */
import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";
import { answerParent } from "../child.js";

let [messages, bytes] = [0, 0];
const server = new SMTPServer({
	disabledCommands: ["AUTH", "STARTTLS"],
	disableReverseLookup: true,
	logger: false,
	onData(stream, _session, callback) {
		stream.on("data", (chunk: Buffer) => {
			bytes += chunk.length;
		});
		stream.on("end", () => {
			messages++;
			callback();
		});
	},
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
const { port } = server.server.address() as AddressInfo;
answerParent({
	port: () => port,
	taken: () => {
		const taken = { messages, bytes };
		[messages, bytes] = [0, 0];
		return taken;
	},
});
