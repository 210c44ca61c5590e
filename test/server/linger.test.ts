/**
 * Connections that the server ends: what is owed is answered, our direction is closed, and what the client still sends
 * is read and dropped, since closing a socket with unread input would reset it and lose the answers. All of it bounded.
 */
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { bytesOf } from "../support/bytes.js";
import { Bench } from "../support/server-bench.js";
import { mail, type TestClient } from "../support/server-client.js";
import { settled, turns } from "../support/server-signal.js";
import { duplexPair } from "../support/server-streams.js";

const MINUTE = 60_000;

beforeEach(() => {
	vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
	vi.useRealTimers();
});

/** What ends a connection, and what is told of it. */
const endings: [string, code: string, (client: TestClient) => void][] = [
	["a protocol error", "ERR_NETSTRING_LENGTH_DIGIT", (client) => client.send("EHLO x\r\n")],
	["the session's time", "ERR_QMTP_SESSION_TIMEOUT", () => vi.advanceTimersByTime(6 * MINUTE)],
];

const timeouts = { session: 5 * MINUTE, commit: 9 * MINUTE, idle: 9 * MINUTE };

describe.each(endings)("behind %s", (_, code, end) => {
	test("slow commits are answered, then comes the end, and no reset while the client still writes", async () => {
		const bench = new Bench({ queue: { hold: true }, timeouts });
		const client = await bench.connect();
		client.send(mail().repeat(20));
		await bench.queue.called("commit", 20);
		end(client);
		const chunk = Buffer.alloc(100_000, "x");
		const writing = (async () => {
			while (!client.ended) if (!client.socket.write(chunk)) await once(client.socket, "drain");
			for (let more = 0; more < 50; more++)
				if (!client.socket.write(chunk)) await once(client.socket, "drain");
		})();
		await turns();
		expect(client.ended).toBe(false);
		bench.queue.release();
		await client.changes.until(() => client.ended);
		expect(client.responses).toEqual(Array(20).fill("Kok"));
		await writing;
		expect(client.error).toBeNull();
		client.end();
		expect((await bench.disconnected()).error).toMatchObject({ code });
		expect(client.error).toBeNull();
	});

	test("the package under way is aborted, once, and before the commits have ended", async () => {
		const bench = new Bench({ queue: { hold: true }, timeouts });
		const client = bench.talk();
		client.send(mail() + mail().slice(0, mail().indexOf("20:")));
		await bench.queue.called("write", 2);
		end(client);
		await bench.queue.called("abort");
		expect(client.ended).toBe(false);
		bench.queue.release();
		expect(await client.all()).toEqual(["Kok"]);
		await bench.disconnected();
		expect(bench.queue.deliveries.map(({ aborts }) => aborts.length)).toEqual([0, 1]);
		expect(bench.queue.deliveries[1]?.aborts[0]).toBe(bench.disconnects[0]?.error);
	});

	test("a client that does not close its side is dropped when timeouts.linger has passed", async () => {
		const bench = new Bench({ timeouts: { ...timeouts, linger: 7000 } });
		const client = await bench.connect();
		client.send(mail());
		await client.receives(1);
		end(client);
		await client.changes.until(() => client.ended);
		await turns();
		vi.advanceTimersByTime(6000);
		await turns();
		expect(bench.disconnects).toEqual([]);
		vi.advanceTimersByTime(3000);
		expect((await bench.disconnected()).error).toMatchObject({ code });
	});

	test("a commit that hangs too is answered for when its time has passed", async () => {
		const bench = new Bench({ queue: { hold: true }, timeouts });
		const client = bench.talk();
		client.send(mail());
		await bench.queue.called("commit");
		end(client);
		await turns();
		vi.advanceTimersByTime(9 * MINUTE);
		expect(await client.all()).toEqual(["Zthe message was not stored in time (#4.3.0)"]);
		bench.takeFault();
	});

	test("a client that does not read what it is owed is dropped when timeouts.idle has passed", async () => {
		const description = "x".repeat(300_000);
		const bench = new Bench({ queue: { commit: async () => [{ status: "K", description }] }, timeouts });
		const [ours, theirs] = duplexPair();
		bench.serve(ours);
		const client = bench.client(theirs, false);
		client.send(mail());
		await bench.queue.called("commit");
		await turns();
		end(client);
		for (let minutes = 0; minutes < 20; minutes += 2) {
			await turns();
			vi.advanceTimersByTime(2 * MINUTE);
		}
		await bench.disconnected();
		expect(ours.destroyed).toBe(true);
	});
});

test("a client that goes on writing for ever is dropped after 64 MiB", async () => {
	const bench = new Bench();
	const client = bench.talk();
	client.send("EHLO x\r\n");
	await client.changes.until(() => client.ended);
	const chunk = Buffer.alloc(1024 * 1024);
	let written = 0;
	for (; !client.duplex.destroyed && client.error === null; written++) {
		client.duplex.write(chunk, () => {});
		await turns(1);
		if (bench.disconnects.length > 0) break;
	}
	await bench.disconnected();
	expect(written).toBeGreaterThanOrEqual(64);
	expect(written).toBeLessThan(80);
});

describe("a client that never reads", () => {
	test("stops being read from, so that answers and commits stay bounded, and is dropped when idle", async () => {
		const bench = new Bench();
		const client = await bench.connect(false);
		const { socket } = client;
		// Small packages with long lists of recipients make far more answers than input.
		const chunk = bytesOf(mail({ sender: "", recipients: Array(200).fill("") }));
		const flood = () => {
			while (socket.write(chunk));
		};
		socket.on("drain", flood);
		flood();
		const commits = await settled(() => bench.queue.commits.length);
		expect(commits * 200 * "3:Kok,".length, "what the kernel holds, mostly").toBeLessThan(40_000_000);
		await turns(200);
		expect(bench.queue.commits.length).toBe(commits);
		vi.advanceTimersByTime(11 * MINUTE);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
	});

	test("in memory: what the server holds for it is what one chunk can bring", async () => {
		const bench = new Bench();
		const [ours, theirs] = duplexPair();
		bench.serve(ours);
		const client = bench.client(theirs, false);
		const chunk = bytesOf(mail().repeat(100));
		for (let sent = 0; sent < 200; sent++) client.duplex.write(chunk);
		await turns(200);
		const commits = bench.queue.commits.length;
		expect(commits).toBeLessThan(12_000);
		expect(ours.writableLength).toBeLessThan(64 * 1024);
		await turns(200);
		expect(bench.queue.commits.length).toBe(commits);
		client.read();
		client.end();
		expect(await client.all()).toHaveLength(20_000);
	});

	test("does not hold up server.close() for longer than its timeout", async () => {
		const description = "x".repeat(300_000);
		const bench = new Bench({ queue: { commit: async () => [{ status: "K", description }] } });
		const [ours, theirs] = duplexPair();
		bench.serve(ours);
		const client = bench.client(theirs, false);
		client.send(mail().repeat(5));
		await bench.queue.called("commit", 2);
		await bench.server.close({ timeout: 10 });
		expect(bench.server.connections).toBe(0);
	});
});
