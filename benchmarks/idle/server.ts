/**
 * A server of the idle benchmark, `net` or `qmtp` by its first argument: it takes connections and tells what memory the
 * process has. `full` and `empty` answer when there are as many connections as the second argument says, or none.
 */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { acceptAnyone, QmtpServer } from "qmtp";
import { discardQueue } from "qmtp/queue/discard";
import { answerParent } from "../child.js";

const [kind = "", count = ""] = process.argv.slice(2);
let connections = 0;
let look = () => {};
const port = kind === "qmtp" ? await qmtp() : await bare();

answerParent({
	port: () => port,
	full: () => reached(Number(count)),
	empty: () => reached(0),
	memory: () => {
		// Twice: what the first leaves to be finalized goes with the second.
		for (let time = 0; time < 2; time++) globalThis.gc?.();
		return process.memoryUsage.rss();
	},
});

async function qmtp(): Promise<number> {
	const limits = { connections: 2 * Number(count) };
	const server = new QmtpServer({ queue: discardQueue(), hooks: { recipient: acceptAnyone }, limits });
	server.on("connection", () => changed(1));
	server.on("disconnect", () => changed(-1));
	return (await server.listen({ port: 0, host: "127.0.0.1" })).port;
}

/** What every server in Node has at least: a socket, told to read, with its listeners. */
async function bare(): Promise<number> {
	const sockets = new Set<Socket>();
	const options = { allowHalfOpen: true, noDelay: true, highWaterMark: 256 * 1024 }; // as the QMTP server's
	const server = createServer(options, (socket) => {
		sockets.add(socket);
		changed(1);
		socket.on("data", () => {});
		socket.on("end", () => socket.end());
		socket.on("error", () => {});
		socket.on("close", () => {
			sockets.delete(socket);
			changed(-1);
		});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return (server.address() as AddressInfo).port;
}

function changed(by: number): void {
	connections += by;
	look();
}

function reached(wanted: number): Promise<true> {
	return new Promise((resolve) => {
		look = () => {
			if (connections === wanted) resolve(true);
		};
		look();
	});
}
