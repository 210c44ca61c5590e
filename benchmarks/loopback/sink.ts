/**
 * The yardsticks of the loopback benchmark: bare sockets that do a part of what the server does. Without an argument one
 * counts the bytes it gets, drops them, and gives one answer at the end of input, so that the client knows when all has
 * come. With `decode` it also finds the packages in them; with `answer` it answers each, with the same words, and all that
 * came in one chunk at once.
 */
import { type AddressInfo, createServer } from "node:net";
import { NEED_DATA } from "qmtp/netstring";
import { PACKAGE_END, PackageDecoder } from "qmtp/protocol";
import { answerParent } from "../child.js";
import { netstringBytes } from "../fixtures/packages.js";

const [kind = ""] = process.argv.slice(2);
const decodes = kind !== "";
const answers = kind === "answer";
const MOST_IN_CHUNK = 1000;
const answer = netstringBytes(Buffer.from("Kok 1700000000 qp 17000000001000000100000")); // as long as the server's
const all = Buffer.concat(Array.from({ length: MOST_IN_CHUNK }, () => answer));

let bytes = 0; // of the last connection
// As the server's: large reads, and the client may close its side first.
const sink = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: 256 * 1024 }, (socket) => {
	const decoder = new PackageDecoder();
	bytes = 0;
	socket.on("data", (chunk) => {
		bytes += chunk.length;
		if (!decodes) return;
		decoder.receive(chunk);
		let packages = 0;
		for (let step = decoder.step(); step !== NEED_DATA; step = decoder.step()) {
			if (step === PACKAGE_END) packages++;
		}
		if (answers && packages > 0) socket.write(all.subarray(0, packages * answer.length));
	});
	socket.on("end", () => {
		if (!answers) socket.write(netstringBytes(Buffer.from("K")));
		socket.end();
	});
});
await new Promise<void>((resolve) => sink.listen(0, "127.0.0.1", resolve));
const { port } = sink.address() as AddressInfo;
answerParent({ port: () => port, bytes: () => bytes });
