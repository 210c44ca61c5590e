/** Clients that send slowly, on a clock that the test turns. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Pace } from "../../src/server/pace.js";
import { Bench, type BenchOptions } from "../support/server-bench.js";
import { mail, type TestClient } from "../support/server-client.js";
import { Gate, turns } from "../support/server-signal.js";

beforeEach(() => {
	vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
	vi.useRealTimers();
});

async function pass(seconds: number): Promise<void> {
	await turns();
	vi.advanceTimersByTime(seconds * 1000);
	await turns();
}

/** A client that has sent a whole package, and then the beginning of one of a million bytes. */
async function begun(options: BenchOptions = {}): Promise<{ bench: Bench; client: TestClient }> {
	const bench = new Bench(options);
	const client = bench.talk();
	client.send(`${mail()}1000000:\n`);
	await client.receives(1);
	return { bench, client };
}

test("a client below 1 KiB/s is ended after half a minute of grace and a minute, and its answers stand", async () => {
	const { bench, client } = await begun();
	for (let second = 0; second < 88; second++) {
		client.send("x".repeat(600));
		await pass(1);
	}
	expect(client.ended).toBe(false);
	await pass(4);
	expect(await client.all()).toEqual(["Kok"]);
	expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_SLOW_CLIENT" });
	expect(bench.queue.deliveries[1]?.aborts[0]).toMatchObject({ code: "ERR_QMTP_SLOW_CLIENT" });
});

test("a client above it is not, though it sends in bursts", async () => {
	const { client } = await begun();
	for (let burst = 0; burst < 9; burst++) {
		client.send("x".repeat(22 * 1024));
		await pass(20);
	}
	expect(client.ended).toBe(false);
});

test("neither is one that is silent between packages, nor one with limits.bytesPerSecond 0", async () => {
	const bench = new Bench();
	const quiet = bench.talk();
	quiet.send(mail());
	const { client } = await begun({ limits: { bytesPerSecond: 0 } });
	await pass(300);
	expect([quiet.ended, client.ended]).toEqual([false, false]);
});

test("time in which the queue makes the client wait is not the client's", async () => {
	const gate = new Gate();
	const { client } = await begun({
		queue: { write: (_, { info }) => (info.length === 999_999 ? gate.promise : undefined) },
	});
	client.send("x");
	await pass(300);
	expect(client.ended).toBe(false);
	gate.open();
});

test("neither is time in which the process itself did not run, nor in which the client waits for answers", async () => {
	const pace = new Pace({ limits: { bytesPerSecond: 10 }, timeouts: { slow: 60_000, grace: 30_000 } }, 0);
	expect(pace.isTooSlow(3_600_000, true)).toBe(false);
	const bench = new Bench({ queue: { hold: true } });
	const client = bench.talk();
	client.send(mail() + mail().slice(0, 5)); // it waits for the first answer with half a package sent
	await bench.queue.called("commit");
	await pass(400);
	expect(client.ended).toBe(false);
	bench.queue.release();
});

test("the grace is for a connection and not for each package", () => {
	const pace = new Pace({ limits: { bytesPerSecond: 10 }, timeouts: { slow: 1000, grace: 500 } }, 0);
	let now = 0;
	const tick = (isWaiting: boolean) => {
		now += 100;
		return pace.isTooSlow(now, isWaiting);
	};
	for (let round = 0; round < 7; round++) {
		expect(tick(true)).toBe(false);
		expect(tick(false)).toBe(false);
		expect(tick(true)).toBe(false);
	}
	expect(tick(true)).toBe(true);
	pace.received(10);
	for (let round = 0; round < 10; round++) expect(tick(true)).toBe(false);
});
