/** Connections of the idle benchmark: that they are there, and end without ports that wait. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { connectMany, mostConnections, resetAll } from "../../benchmarks/idle/connections.js";

test("makes as many connections as are wanted, from several addresses, and ends them by a reset", async () => {
	const sockets: Socket[] = [];
	const errors: unknown[] = [];
	const server = createServer((socket) => {
		sockets.push(socket);
		socket.on("error", (error: NodeJS.ErrnoException) => errors.push(error.code));
		socket.resume();
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	onTestFinished(() => void server.close());
	const clients = await connectMany((server.address() as AddressInfo).port, 450);
	expect(clients).toHaveLength(450);
	expect(clients.every(({ readyState }) => readyState === "open")).toBe(true);
	while (sockets.length < 450) await once(server, "connection");
	const addresses = new Set(sockets.map(({ remoteAddress }) => remoteAddress));
	expect(addresses.size).toBe(process.platform === "linux" ? 8 : 1);
	const ended = Promise.all(sockets.map((socket) => once(socket, "close")));
	await resetAll(clients);
	await ended.catch(() => {}); // once() rejects with the first error
	expect(new Set(errors)).toEqual(new Set(["ECONNRESET"]));
});

test("knows the limit of open files", () => {
	expect(mostConnections()).toBeGreaterThan(0);
});
