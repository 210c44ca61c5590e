/**
 * The yardstick of the loopback benchmark: a bare socket that counts the bytes it gets and drops them. At the end of
 * input it gives one answer, so that the client knows when all has come.
 */
import { type AddressInfo, createServer } from "node:net";
import { answerParent } from "../child.js";
import { netstringBytes } from "../fixtures/packages.js";

let bytes = 0; // of the last connection
// As the server's: large reads, and the client may close its side first.
const sink = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: 256 * 1024 }, (socket) => {
	bytes = 0;
	socket.on("data", (chunk) => {
		bytes += chunk.length;
	});
	socket.on("end", () => socket.end(netstringBytes(Buffer.from("K"))));
});
await new Promise<void>((resolve) => sink.listen(0, "127.0.0.1", resolve));
const { port } = sink.address() as AddressInfo;
answerParent({ port: () => port, bytes: () => bytes, cpu: () => process.cpuUsage() });
