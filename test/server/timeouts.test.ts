/** The times of a session, on a clock that the test turns: what runs when, and that it keeps no process alive. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Access } from "../../src/protocol/peer.js";
import { Bench } from "../support/server-bench.js";
import { mail, type TestClient } from "../support/server-client.js";
import { Gate, turns } from "../support/server-signal.js";
import { duplexPair } from "../support/server-streams.js";

const MINUTE = 60_000;

beforeEach(() => {
	vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
	vi.useRealTimers();
});

/** Time passes, and what it brings happens. */
async function pass(minutes: number): Promise<void> {
	await turns();
	vi.advanceTimersByTime(minutes * MINUTE);
	await turns();
}

describe("timeouts.idle", () => {
	test("ends a connection on which nothing comes for ten minutes", async () => {
		const bench = new Bench();
		const client = bench.talk();
		client.send(mail());
		await client.receives(1);
		await pass(9.9);
		expect(client.ended).toBe(false);
		await pass(0.2);
		expect(await client.all()).toEqual(["Kok"]);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
	});

	test("begins anew with each byte, also inside a package", async () => {
		const bench = new Bench({ limits: { bytesPerSecond: 0 } });
		const client = bench.talk();
		for (const byte of mail().slice(0, 5)) {
			client.send(byte);
			await pass(9);
		}
		expect(client.ended).toBe(false);
		await pass(2);
		await client.all();
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
		expect(bench.queue.deliveries[0]?.aborts[0]).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
	});

	test("does not run while a commit is under way, and begins when its answer is written", async () => {
		const bench = new Bench({ queue: { hold: true }, timeouts: { commit: 45 * MINUTE } });
		const client = bench.talk();
		client.send(mail());
		await bench.queue.called("commit");
		await pass(30);
		expect(client.ended).toBe(false);
		bench.queue.release();
		await client.receives(1);
		await pass(9);
		expect(client.ended).toBe(false);
		await pass(2);
		await client.all();
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
	});

	test("runs while the session waits for room in its pipeline that only the client can make by reading", async () => {
		const bench = new Bench({ queue: { hold: true }, limits: { pipelined: 2 } });
		const [ours, theirs] = duplexPair();
		bench.serve(ours);
		const client = bench.client(theirs, false);
		client.send(mail().repeat(6));
		await bench.queue.called("commit", 2);
		for (let turn = 0; turn < 5; turn++) {
			for (const commit of bench.queue.commits)
				commit.release([{ status: "K", description: "x".repeat(300_000) }]);
			await turns();
		}
		expect(bench.queue.commits.length).toBeLessThan(6); // it waits
		await pass(9);
		expect(bench.disconnects).toEqual([]);
		await pass(2);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
		bench.queue.release();
	});

	test("runs while a commit is under way if the client does not read what it was told", async () => {
		const bench = new Bench({ queue: { hold: true }, timeouts: { commit: 45 * MINUTE } });
		const [ours, theirs] = duplexPair();
		bench.serve(ours);
		const client = bench.client(theirs, false);
		client.send(mail() + mail());
		await bench.queue.called("commit", 2);
		bench.queue.commits[0]?.release([{ status: "K", description: "x".repeat(300_000) }]);
		await turns();
		client.send("1"); // the server looks at its answers, and waits for the client to read them
		await pass(11);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
		bench.queue.release();
	});

	test.each(["authorize", "message", "sender", "recipient"])(
		"does not run while %s is asked",
		async (name) => {
			const gate = new Gate<undefined>();
			const bench = new Bench({ hooks: { [name]: () => gate.promise } });
			const client = bench.talk();
			client.send(mail());
			await pass(30);
			expect(bench.disconnects).toEqual([]);
			gate.open((name === "authorize" ? true : undefined) as undefined);
			expect(await client.receives(1)).toEqual(["Kok"]);
		},
	);

	test("of Infinity never passes", async () => {
		const timeouts = { idle: Number.POSITIVE_INFINITY, session: Number.POSITIVE_INFINITY };
		const bench = new Bench({ timeouts });
		const client = bench.talk();
		client.send(mail());
		await pass(600);
		client.end(mail());
		expect(await client.all()).toEqual(["Kok", "Kok"]);
	});
});

describe("timeouts.session", () => {
	test("ends a connection that is in use, between two of its packages or inside one", async () => {
		const bench = new Bench();
		const client = bench.talk();
		for (let sent = 1; sent <= 12; sent++) {
			client.send(mail());
			await client.receives(sent);
			await pass(4.9);
		}
		client.send(mail().slice(0, 20));
		await pass(2);
		expect(await client.all()).toHaveLength(12);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_SESSION_TIMEOUT" });
		expect(bench.queue.count("abort")).toBe(1);
	});

	test.each([
		["the client has closed its direction", (_: Bench, client: TestClient) => client.end()],
		["the server closes", (bench: Bench) => void bench.server.close({ timeout: Number.POSITIVE_INFINITY })],
	])("that passes when %s loses no answer of a slow commit", async (_, end) => {
		const bench = new Bench({
			queue: { hold: true },
			timeouts: { commit: 20 * MINUTE, session: 5 * MINUTE },
		});
		const client = bench.talk();
		client.send(mail());
		await bench.queue.called("commit");
		end(bench, client);
		await pass(6);
		expect(client.ended).toBe(false);
		bench.queue.release();
		expect(await client.all()).toEqual(["Kok"]);
		expect(await bench.disconnected()).not.toHaveProperty("error");
	});

	test.each(["message", "sender", "recipient"])(
		"ends one that waits for a %s hook that hangs",
		async (name) => {
			let asked = 0;
			const hook = () => (++asked === 1 ? undefined : new Promise<undefined>(() => {}));
			const bench = new Bench({ hooks: { [name]: hook } });
			const client = bench.talk();
			client.send(mail() + mail());
			await client.receives(1);
			await pass(61);
			expect(await client.all()).toEqual(["Kok"]);
			await bench.disconnected();
			for (const delivery of bench.queue.deliveries.slice(1)) expect(delivery.aborts).toHaveLength(1);
		},
	);

	test.each(["open", "write"])("ends one that waits for the queue's %s that hangs", async (name) => {
		const bench = new Bench({ queue: { [name]: () => new Promise(() => {}) } });
		const client = bench.talk();
		client.send(mail());
		await pass(61);
		expect(await client.all()).toEqual([]);
		await bench.disconnected();
		expect(bench.queue.count("abort")).toBe(name === "write" ? 1 : 0);
	});

	test("ends one whose abort hangs, when the times of a commit and of idleness have passed too", async () => {
		const bench = new Bench({ queue: { abort: () => new Promise(() => {}) } });
		const client = bench.talk();
		client.send(mail().slice(0, 20));
		await pass(61);
		await bench.queue.called("abort");
		await pass(21);
		await bench.disconnected();
		await client.gone();
	});

	test("ends one that authorize lets wait", async () => {
		const bench = new Bench({ hooks: { authorize: () => new Promise<Access>(() => {}) } });
		const client = bench.talk();
		client.send(mail());
		await pass(61);
		expect(await client.all()).toEqual([]);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_SESSION_TIMEOUT" });
	});
});

describe("the clock", () => {
	test("is one timer for all connections, which keeps no process alive and stops with the last of them", async () => {
		vi.useRealTimers();
		const set = vi.spyOn(globalThis, "setInterval");
		const cleared = vi.spyOn(globalThis, "clearInterval");
		try {
			const bench = new Bench();
			const clients = [bench.talk(), bench.talk(), bench.talk()];
			await turns();
			expect(set).toHaveBeenCalledTimes(1);
			const timer = set.mock.results[0]?.value as NodeJS.Timeout;
			expect(timer.hasRef()).toBe(false);
			for (const client of clients) client.end();
			await bench.disconnected(3);
			expect(cleared).toHaveBeenCalledWith(timer);
			await bench.exchange(mail());
			expect(set).toHaveBeenCalledTimes(2);
			expect(cleared).toHaveBeenCalledTimes(2);
		} finally {
			set.mockRestore();
			cleared.mockRestore();
		}
	});

	test("ticks often enough for the shortest time that is set", async () => {
		const bench = new Bench({ timeouts: { idle: 80 } });
		const client = bench.talk();
		await turns();
		vi.advanceTimersByTime(100);
		expect(await client.all()).toEqual([]);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
	});
});
