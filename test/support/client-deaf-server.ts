/** A port that neither takes connections nor refuses them: its queue is full, and nobody empties it. */
import { once } from "node:events";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";
import { onTestFinished } from "vitest";

/** The port. It is open until the test is over. */
export async function deafPort(): Promise<number> {
	const wake = new Int32Array(new SharedArrayBuffer(4));
	const worker = new Worker(LISTEN_AND_SLEEP, { eval: true, workerData: wake });
	const [port] = (await once(worker, "message")) as [number];
	// A queue of one holds two on Linux.
	const sockets = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
	onTestFinished(async () => {
		for (const socket of sockets) socket.destroy();
		Atomics.store(wake, 0, 1);
		Atomics.notify(wake, 0);
		await once(worker, "exit");
	});
	for (const socket of sockets) await once(socket, "connect");
	return port;
}

const LISTEN_AND_SLEEP = `
const { parentPort, workerData } = require("node:worker_threads");
const server = require("node:net").createServer((socket) => socket.destroy());
server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
	parentPort.postMessage(server.address().port);
	Atomics.wait(workerData, 0, 0);
	process.exit();
});
`;
