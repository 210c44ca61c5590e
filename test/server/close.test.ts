/** `server.close()`: what is under way is finished and answered, what follows it is not, and it ends in any case. */
import { describe, expect, test, vi } from "vitest";
import { bytesOf } from "../support/bytes.js";
import { Bench } from "../support/server-bench.js";
import { mail, TestClient } from "../support/server-client.js";
import { Gate, turns } from "../support/server-signal.js";

describe("in the middle of 60 pipelining clients", () => {
	test.each([
		["commits at once", (): Promise<void> | undefined => undefined],
		["commits that take a turn", () => turns(1)],
		["commits that take some turns, each another number", () => turns(Math.ceil(Math.random() * 8))],
	])("each client gets the answer of each of its packages that the queue took: %s", async (_, wait) => {
		const committed = new Map<string, number>();
		const commit = async ({ sender, recipients }: { sender: string; recipients: readonly string[] }) => {
			await wait();
			committed.set(sender, (committed.get(sender) ?? 0) + 1);
			return recipients.map(() => ({ status: "K" as const, description: "ok" }));
		};
		// With few commits at once no client has to wait long for its first.
		const bench = new Bench({ queue: { commit }, limits: { pipelined: 40 } });
		const clients = await Promise.all(Array.from({ length: 60 }, () => bench.connect()));
		for (const [index, client] of clients.entries()) writeForEver(client, mail({ sender: `${index}` }));
		await bench.queue.changes.until(() => committed.size === 60);
		await bench.server.close();
		await Promise.all(clients.map((client) => client.gone()));
		for (const [index, client] of clients.entries()) {
			expect(client.error, `client ${index}`).toBeNull();
			expect(client.responses.length, `client ${index}`).toBe(committed.get(`${index}`));
			expect(client.responses.length, `client ${index}`).toBeGreaterThan(0);
			expect(client.responses.every((response) => response === "Kok")).toBe(true);
		}
		expect([...committed.values()].reduce((sum, count) => sum + count, 0)).toBe(bench.queue.commits.length);
	});
});

describe("close()", () => {
	test("finishes the package that a client is sending, and drops what follows it unanswered", async () => {
		const bench = new Bench();
		const client = bench.talk();
		client.send(mail() + mail().slice(0, 10));
		await client.receives(1);
		const closed = bench.server.close();
		await turns();
		expect(client.ended).toBe(false);
		client.send(mail().slice(10) + mail() + mail());
		expect(await client.all()).toEqual(["Kok", "Kok"]);
		await closed;
		expect(bench.queue.count("open")).toBe(2);
		expect(bench.disconnects).toEqual([expect.not.objectContaining({ error: expect.anything() })]);
	});

	test("does so at each byte of a package", async () => {
		const text = mail({ message: "\ra\r\n", sender: "s", recipients: ["a", "b"] });
		for (let sent = 1; sent < text.length; sent++) {
			const bench = new Bench();
			const client = bench.talk();
			client.send(text.slice(0, sent));
			await turns(3);
			const closed = bench.server.close();
			client.send(text.slice(sent) + text);
			expect(await client.all(), `at ${sent}`).toEqual(["Kok", "Kok"]);
			await closed;
			expect(bench.queue.commits).toHaveLength(1);
		}
	});

	test.each(["open", "write", "message", "sender", "recipient"])(
		"called while %s of a package is awaited, it finishes that package, and nothing behind it in the same chunk",
		async (name) => {
			const gate = new Gate<undefined>();
			const reached = new Gate();
			const wait = () => {
				reached.open();
				return gate.promise;
			};
			const open = (_: unknown, usual: () => unknown) => wait().then(usual);
			const queue = name === "open" ? { open } : name === "write" ? { write: wait } : {};
			const bench = new Bench({ queue, hooks: { [name]: wait } });
			const client = bench.talk();
			client.send(mail() + mail() + mail());
			await reached.promise;
			const closed = bench.server.close();
			await turns();
			expect(client.ended).toBe(false);
			gate.open(undefined);
			expect(await client.all()).toEqual(["Kok"]);
			await closed;
			expect(bench.queue.count("open")).toBe(1);
		},
	);

	test("waits for the commits under way, however many", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = await bench.connect();
		client.send(mail().repeat(100));
		await bench.queue.called("commit", 100);
		let closed = false;
		const closing = bench.server.close().then(() => {
			closed = true;
		});
		await turns();
		expect(client.ended || closed).toBe(false);
		bench.queue.release();
		expect(await client.all()).toHaveLength(100);
		await closing;
	});

	test("closes a connection that sends nothing at once", async () => {
		const bench = new Bench();
		const clients = [bench.talk(), await bench.connect()];
		await turns();
		const closed = bench.server.close();
		for (const client of clients) expect(await client.all()).toEqual([]);
		await closed;
		expect(bench.disconnects.map(({ error }) => error)).toEqual([undefined, undefined]);
	});

	test("takes no more connections, and resolves when the last one has ended", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const port = await bench.port();
		const client = await bench.connect();
		client.send(mail());
		await bench.queue.called("commit");
		const closed = bench.server.close();
		await expect(TestClient.connect(port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
		expect(bench.server.connections).toBe(1);
		bench.queue.release();
		await client.all();
		await closed;
		expect(bench.server.connections).toBe(0);
	});

	test("twice is the same as once", async () => {
		const bench = new Bench();
		const told: string[] = [];
		bench.server.on("close", () => told.push("close"));
		await bench.port();
		await Promise.all([bench.server.close(), bench.server.close()]);
		await bench.server.close({ timeout: 0 });
		bench.server.destroy();
		await turns();
		expect(told).toEqual(["close"]);
	});

	test("with a timeout drops what is not finished by then", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = await bench.connect();
		client.send(mail() + mail().slice(0, 20));
		await bench.queue.called("write", 2);
		await bench.server.close({ timeout: 20 });
		expect(bench.disconnects[0]?.error).toMatchObject({ code: "ERR_QMTP_DESTROYED" });
		expect(bench.queue.deliveries.map(({ aborts }) => aborts.length)).toEqual([0, 1]);
		bench.queue.release();
		await client.gone();
		expect(client.responses).toEqual([]);
	});

	test("with a timeout of Infinity waits for ever, and not for a millisecond", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = bench.talk();
		client.send(mail());
		await bench.queue.called("commit");
		const closed = bench.server.close({ timeout: Number.POSITIVE_INFINITY });
		await new Promise((resolve) => setTimeout(resolve, 20)); // more than the millisecond that Node makes of it
		bench.queue.release();
		expect(await client.all()).toEqual(["Kok"]);
		await closed;
	});

	test("leaves no timer behind", async () => {
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
		try {
			const bench = new Bench();
			await bench.exchange(mail());
			const client = bench.talk();
			client.send(mail());
			await client.receives(1);
			const closed = bench.server.close();
			await client.all();
			await closed;
			expect(vi.getTimerCount()).toBe(0);
		} finally {
			vi.useRealTimers();
		}
	});

	test("is what `await using` calls", async () => {
		const bench = new Bench();
		const client = bench.talk();
		client.send(mail());
		await client.receives(1);
		const disposed = bench.server[Symbol.asyncDispose]();
		await client.all();
		await disposed;
		await expect(bench.server.listen({ port: 0 })).rejects.toMatchObject({ code: "ERR_QMTP_SERVER_STATE" });
	});

	test.each(["close", "destroy"] as const)(
		"may be called by who hears of the connection: %s()",
		async (how) => {
			const bench = new Bench();
			let closing: unknown;
			bench.server.on("connection", () => {
				closing = bench.server[how]();
			});
			const client = bench.talk();
			client.send(mail());
			expect(await client.all()).toEqual([]);
			await closing;
			await bench.server.close();
			expect(bench.server.connections).toBe(0);
			expect(bench.queue.calls).toEqual([]);
		},
	);

	test("may be called by who hears of a package", async () => {
		const bench = new Bench();
		bench.server.on("package", () => void bench.server.close());
		const client = bench.talk();
		client.send(mail().repeat(3));
		const responses = await client.all();
		await bench.server.close();
		expect(responses.length).toBe(bench.queue.commits.length);
	});
});

describe("destroy()", () => {
	test("ends all connections now, and aborts what is not committed", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const clients = [bench.talk(), await bench.connect()];
		for (const client of clients) client.send(mail() + mail().slice(0, 20));
		await bench.queue.called("commit", 2);
		await bench.queue.called("write", 4);
		bench.server.destroy();
		await bench.server.close();
		await Promise.all(clients.map((client) => client.gone()));
		expect(bench.disconnects.map(({ error }) => error)).toEqual(
			Array(2).fill(expect.objectContaining({ code: "ERR_QMTP_DESTROYED" })),
		);
		expect(bench.queue.count("abort")).toBe(2);
		expect(bench.server.connections).toBe(0);
	});

	test("ends a close() that waits", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = bench.talk();
		client.send(mail());
		await bench.queue.called("commit");
		const closed = bench.server.close();
		await turns();
		bench.server.destroy();
		await closed;
		expect(await client.all()).toEqual([]);
	});
});

/** Writes packages as long as the connection takes them, and closes this direction when the server has closed its own. */
function writeForEver(client: TestClient, text: string): void {
	const chunk = bytesOf(text.repeat(50));
	const { socket } = client;
	const write = () => {
		while (!client.ended && !socket.destroyed && socket.write(chunk));
		if (client.ended) socket.end();
	};
	socket.on("drain", write);
	socket.on("end", write);
	write();
}
