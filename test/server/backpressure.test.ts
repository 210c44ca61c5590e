/** A queue that makes the server wait makes the client wait, and memory stays bounded. */
import { connect, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { bytesOf } from "../support/bytes.js";
import { chunksOf } from "../support/every-split.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { Gate, settled } from "../support/server-signal.js";
import { duplexPair } from "../support/server-streams.js";

const MIB = 1024 * 1024;

/** A client over TCP, and the server's end of its connection. */
async function connected(bench: Bench) {
	const accepted = new Gate<Socket>();
	const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true }, accepted.open);
	onTestFinished(() => void listener.close());
	await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
	const socket = connect({ port: (listener.address() as { port: number }).port, host: "127.0.0.1" });
	const client = bench.client(socket);
	const served = await accepted.promise;
	return { client, served };
}

test("a write that is awaited stops the reading of the socket", async () => {
	const gate = new Gate();
	const bench = new Bench({ queue: { write: () => gate.promise } });
	const { client, served } = await connected(bench);
	bench.serve(served);
	const size = 48 * MIB; // more than the kernel's buffers take on this machine
	client.send(`${size + 1}:\n`);
	for (let sent = 0; sent < size; sent += MIB) client.duplex.write(Buffer.alloc(MIB, "x"));
	client.end(",0:,4:1:r,,");
	await bench.queue.called("write");
	expect(await settled(() => served.bytesRead)).toBeLessThan(MIB);
	expect(bench.queue.count("write")).toBe(1);
	gate.open();
	expect(await client.all()).toEqual(["Kok"]);
	expect(bench.queue.commits[0]?.text).toHaveLength(size);
}, 20_000);

test.each(["message", "sender", "recipient"])("so does a %s hook that is awaited", async (name) => {
	const gate = new Gate<undefined>();
	const bench = new Bench({ hooks: { [name]: () => gate.promise } });
	const [ours, theirs] = duplexPair();
	let consumed = 0;
	ours.on("data", (chunk: Buffer) => {
		consumed += chunk.length;
	});
	ours.pause();
	bench.serve(ours);
	const client = bench.client(theirs);
	for (let sent = 0; sent < 64; sent++) client.send(mail({ message: `\n${"x".repeat(16 * 1024)}` }));
	expect(await settled(() => consumed)).toBeLessThan(64 * 1024);
	gate.open(undefined);
	expect(await client.receives(64)).toHaveLength(64);
});

test("each write is awaited before the next, in order", async () => {
	let underWay = 0;
	const bench = new Bench({
		queue: {
			write: async () => {
				expect(++underWay).toBe(1);
				await new Promise((resolve) => setImmediate(resolve));
				underWay--;
			},
			commit: async () => {
				expect(underWay).toBe(0);
				return [{ status: "K", description: "ok" }];
			},
		},
		received: true,
	});
	const client = bench.talk();
	const text = Array.from({ length: 200 }, (_, index) => `line ${index}\r\n`).join("");
	for (const piece of chunksOf(bytesOf(mail({ message: `\r${text}\r` })), 7)) client.duplex.write(piece);
	expect(await client.receives(1)).toEqual(["Kok"]);
	expect(bench.queue.commits[0]?.text.endsWith(`\n${text.replaceAll("\r\n", "\n")}\r`)).toBe(true);
});

test("bodies are never held: what is written was just read", async () => {
	const bench = new Bench();
	const client = bench.talk();
	client.send("300001:\n");
	for (let piece = 1; piece <= 30; piece++) {
		client.send("x".repeat(10_000));
		await bench.queue.changes.until(() => bench.queue.deliveries[0]?.text.length === piece * 10_000);
	}
});
