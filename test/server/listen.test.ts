/** `listen()` and `serve()`: where a server listens, what it does when it cannot, and streams that others made. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { TransportError } from "../../src/errors.js";
import type { Peer } from "../../src/protocol/peer.js";
import { Bench, PEER } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";
import { duplexPair } from "../support/server-streams.js";

const HOST = "127.0.0.1";

/** A path for a socket, in a folder of its own. */
function socketPath(): string {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-listen-"));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	return join(folder, "qmtp.sock");
}

describe("listen()", () => {
	test("resolves with the address, and port 0 picks a free one", async () => {
		const bench = new Bench();
		const address = await bench.server.listen({ port: 0, host: HOST });
		expect(address).toEqual({ address: HOST, family: "IPv4", port: expect.any(Number) });
		expect(address.port).toBeGreaterThan(0);
	});

	test("may be called for several addresses", async () => {
		const bench = new Bench();
		const addresses = [
			await bench.server.listen({ port: 0, host: HOST }),
			await bench.server.listen({ port: 0, host: HOST }),
		];
		for (const { port } of addresses) {
			const client = bench.client(connect({ port, host: HOST, allowHalfOpen: true }));
			client.end(mail());
			expect(await client.all()).toEqual(["Kok"]);
		}
		await bench.server.close();
		for (const { port } of addresses) {
			const client = bench.client(connect({ port, host: HOST }));
			await client.gone();
			expect(client.error).toMatchObject({ code: "ECONNREFUSED" });
		}
	});

	test("takes the path of a Unix socket, whose clients have no address", async () => {
		const bench = new Bench();
		const path = socketPath();
		const peers: Peer[] = [];
		bench.server.on("connection", (peer) => peers.push(peer));
		expect(await bench.server.listen({ path })).toBe(path);
		const client = bench.client(connect({ path, allowHalfOpen: true }));
		client.end(mail());
		expect(await client.all()).toEqual(["Kok"]);
		expect(peers).toEqual([{ remoteAddress: "", remotePort: 0, localAddress: "", localPort: 0 }]);
		await bench.server.close();
		expect(existsSync(path)).toBe(false);
	});

	test("says clearly what is wrong when it cannot", async () => {
		const { server } = new Bench();
		const { port } = await server.listen({ port: 0, host: HOST });
		const error = await failure(server.listen({ port, host: HOST }));
		expect(error).toBeInstanceOf(TransportError);
		expect(error).toMatchObject({
			code: "ERR_QMTP_LISTEN",
			message: `cannot listen on ${HOST}:${port}: the address is in use already`,
			cause: { code: "EADDRINUSE" },
		});
	});

	test.each([
		["an address that is not this host's", { port: 0, host: "192.0.2.1" }, "192.0.2.1:0"],
		["a path that is a folder's", { path: tmpdir() }, tmpdir()],
		["a path in a folder that there is not", { path: "/nonexistent/qmtp.sock" }, "/nonexistent/qmtp.sock"],
		["a port that there is not", { port: 70_000, host: HOST }, `${HOST}:70000`],
		["a descriptor that is none", { fd: 12_345 }, "descriptor 12345"],
	])("also for %s", async (_, target, where) => {
		const { server } = new Bench();
		const error = await failure(server.listen(target as { port: number }));
		expect(error).toMatchObject({
			name: "TransportError",
			code: "ERR_QMTP_LISTEN",
			cause: expect.any(Error),
		});
		expect(error.message).toContain(`cannot listen on ${where}: `);
		await server.listen({ port: 0, host: HOST });
	});

	test("may be tried again after it has failed", async () => {
		const bench = new Bench();
		const other = createServer();
		const port = await portOf(other);
		await failure(bench.server.listen({ port, host: HOST }));
		await new Promise((resolve) => other.close(resolve));
		expect(await bench.server.listen({ port, host: HOST })).toMatchObject({ port });
	});

	test("rejects after close(), and while it is under way", async () => {
		const { server } = new Bench();
		const listening = server.listen({ port: 0, host: HOST });
		const closed = server.close();
		await expect(listening).rejects.toMatchObject({ name: "UsageError", code: "ERR_QMTP_SERVER_STATE" });
		await closed;
		await expect(server.listen({ port: 0, host: HOST })).rejects.toMatchObject({
			code: "ERR_QMTP_SERVER_STATE",
		});
	});

	test("a client in IPv4 of a socket in IPv6 has its IPv4 address", async ({ skip }) => {
		const bench = new Bench();
		let address: AddressInfo;
		try {
			address = await bench.server.listen({ port: 0, host: "::" });
		} catch {
			return skip("this host has no IPv6");
		}
		const client = bench.client(connect({ port: address.port, host: HOST, allowHalfOpen: true }));
		client.end(mail());
		await client.all();
		expect(bench.reports[0]?.peer).toMatchObject({ remoteAddress: HOST, localAddress: HOST });
	});
});

describe("serve()", () => {
	test("resolves when the session has ended, and has destroyed the stream", async () => {
		const bench = new Bench();
		const [ours, theirs] = duplexPair();
		const client = bench.client(theirs);
		let ended = false;
		const served = bench.serve(ours).then(() => {
			ended = true;
		});
		client.send(mail());
		await client.receives(1);
		expect(ended).toBe(false);
		client.end();
		await served;
		expect(ours.destroyed).toBe(true);
		expect(bench.disconnects).toEqual([{ peer: PEER, packages: 1 }]);
	});

	test("knows the peer of a socket", async () => {
		const bench = new Bench();
		const listener = createServer((socket) => void bench.server.serve(socket));
		onTestFinished(() => void listener.close());
		const client = bench.client(connect({ port: await portOf(listener), host: HOST, allowHalfOpen: true }));
		client.end(mail());
		await client.all();
		expect(bench.reports[0]?.peer).toMatchObject({ remoteAddress: HOST, remotePort: expect.any(Number) });
	});

	test("rejects after close()", async () => {
		const bench = new Bench();
		await bench.server.close();
		const [ours] = duplexPair();
		await expect(bench.serve(ours)).rejects.toMatchObject({
			name: "UsageError",
			code: "ERR_QMTP_SERVER_STATE",
		});
		expect(ours.destroyed).toBe(false);
		expect(bench.disconnects).toEqual([]);
	});

	test("rejects, and does not throw, for what is no stream", async () => {
		const bench = new Bench();
		const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
		readable.getReader();
		await expect(bench.serve({ readable, writable })).rejects.toThrow(TypeError);
		await expect(bench.server.serve(undefined as never)).rejects.toThrow(TypeError);
		expect(bench.server.connections).toBe(0);
	});

	test.each<[string, (duplex: Duplex) => unknown]>([
		["was destroyed", (duplex) => duplex.destroy()],
		["has ended and was read to its end", (duplex) => duplex.resume().push(null)],
		["was ended on our side", (duplex) => duplex.end()],
	])("ends at once with a stream that %s", async (_, spoil) => {
		const bench = new Bench();
		const [ours, theirs] = duplexPair();
		const client = bench.client(theirs);
		client.end(mail());
		spoil(ours);
		await turns();
		await bench.serve(ours);
		expect(bench.queue.calls).toEqual([]);
		expect(bench.server.connections).toBe(0);
	});

	test("ends with a stream that breaks and says so by an error alone", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const [readable, client] = duplexPair();
		const ours = new Duplex({
			autoDestroy: false,
			emitClose: false,
			read() {},
			write(_chunk, _encoding, callback) {
				callback();
			},
		});
		readable.on("data", (chunk) => ours.push(chunk));
		const served = bench.serve(ours);
		client.write(mail().slice(0, 20));
		await bench.queue.called("write");
		ours.emit("error", new Error("cable"));
		await served;
		expect(bench.disconnects[0]?.error).toMatchObject({ message: "cable" });
		expect(bench.queue.count("abort")).toBe(1);
	});

	test("takes a stream that somebody has paused", async () => {
		const bench = new Bench();
		const [ours, theirs] = duplexPair();
		ours.pause();
		const client = bench.client(theirs);
		client.end(mail());
		await turns();
		bench.serve(ours);
		expect(await client.all()).toEqual(["Kok"]);
	});
});

async function failure(promise: Promise<unknown>): Promise<Error> {
	return promise.then(
		() => expect.unreachable("should have failed"),
		(error: Error) => error,
	);
}

async function portOf(server: Server): Promise<number> {
	await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
	return (server.address() as AddressInfo).port;
}
