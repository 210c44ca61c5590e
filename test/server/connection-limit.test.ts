/** Who gets a place, who waits for one, and who is sent away. */
import { describe, expect, test } from "vitest";
import { ConnectionLimit, type NoPlace, type Place } from "../../src/server/connection-limit.js";
import { isPromise } from "../../src/server/intake.js";
import { Bench, type BenchOptions } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";

const NEVER = new AbortController().signal;

function limit(limits: Partial<ConstructorParameters<typeof ConnectionLimit>[0]>): ConnectionLimit {
	return new ConnectionLimit({
		connections: 100,
		connectionsPerAddress: Number.POSITIVE_INFINITY,
		waitingConnections: 0,
		...limits,
	});
}

function entered(limit: ConnectionLimit, address: string): Place {
	const place = limit.enter(address, NEVER);
	if (typeof place === "string" || isPromise(place)) throw new Error(`no place for ${address}`);
	return place;
}

describe("places from one client", () => {
	test.each([
		["192.0.2.1", "192.0.2.1", "192.0.2.2"],
		["2001:db8::1", "2001:db8:0:0:ffff::2", "2001:db8:0:1::1"],
		["2001:DB8:0:0:1::", "2001:db8::", "2001:db7::1"],
		["fe80::1%eth0", "fe80::2%eth1", "fe80:0:0:1::1"],
	])("%s and %s are one, %s is another", (first, same, other) => {
		const places = limit({ connectionsPerAddress: 1 });
		const place = entered(places, first);
		expect(places.enter(same, NEVER)).toBe("client-full");
		entered(places, other);
		place.leave();
		place.leave();
		entered(places, same);
		expect(places.open).toBe(2);
	});

	test("a client that is not known is not counted until it is", () => {
		const places = limit({ connectionsPerAddress: 1 });
		const [one, two] = [entered(places, ""), entered(places, "")];
		expect(one.claim("192.0.2.1")).toBe(true);
		expect(two.claim("192.0.2.1")).toBe(false);
		expect(places.enter("192.0.2.1", NEVER)).toBe("client-full");
		two.leave();
		expect(places.enter("192.0.2.1", NEVER)).toBe("client-full");
		one.leave();
		entered(places, "192.0.2.1");
	});

	test("who waits counts too, and who gives up no more", async () => {
		const places = limit({ connections: 1, connectionsPerAddress: 1, waitingConnections: 5 });
		entered(places, "192.0.2.1");
		const stop = new AbortController();
		const waiting = places.enter("192.0.2.2", stop.signal);
		expect(places.enter("192.0.2.2", NEVER)).toBe("client-full");
		stop.abort();
		expect(await waiting).toBe("full");
		expect(places.waiting).toBe(0);
		expect(isPromise(places.enter("192.0.2.2", NEVER))).toBe(true);
	});
});

test("places are given to those who wait in the order in which they came", async () => {
	const places = limit({ connections: 1, waitingConnections: 2 });
	const first = entered(places, "192.0.2.1");
	const order: string[] = [];
	const wait = async (name: string) => {
		const place = await places.enter("192.0.2.1", NEVER);
		order.push(name);
		return place as Place;
	};
	const [second, third] = [wait("second"), wait("third")];
	expect(places.enter("192.0.2.1", NEVER)).toBe("full");
	first.leave();
	(await second).leave();
	await third;
	expect(order).toEqual(["second", "third"]);
	expect([places.open, places.waiting]).toEqual([1, 0]);
});

describe("a server", () => {
	function bench(options: BenchOptions): { bench: Bench; refused: string[] } {
		const it = new Bench(options);
		const refused: string[] = [];
		it.server.on("refused", ({ remoteAddress }, { code, message }) => {
			expect(code).toBe("ERR_QMTP_CONNECTION_LIMIT");
			refused.push(`${remoteAddress} ${message}`);
			it.changes.notify();
		});
		return { bench: it, refused };
	}

	test("closes connections beyond those of one address, says so, and takes the next when one has gone", async () => {
		const { bench: it, refused } = bench({ limits: { connectionsPerAddress: 2 } });
		const clients = [await it.connect(), await it.connect()];
		await it.changes.until(() => it.server.connections === 2);
		const third = await it.connect();
		await third.gone();
		expect(refused).toEqual(["127.0.0.1 too many connections of this client"]);
		expect(it.server.stats().connections).toEqual({ open: 2, waiting: 0, accepted: 2, refused: 1 });
		clients[0]?.end(mail());
		expect(await clients[0]?.all()).toEqual(["Kok"]);
		await it.disconnected();
		await turns(1);
		const fourth = await it.connect();
		fourth.send(mail());
		expect(await fourth.receives(1)).toEqual(["Kok"]);
	});

	test("reads nothing of a connection that waits, and all of it when it has a place", async () => {
		const { bench: it, refused } = bench({ limits: { connections: 1, waitingConnections: 1 } });
		const first = await it.connect();
		await it.changes.until(() => it.server.connections === 1);
		const second = await it.connect();
		second.end(mail() + mail());
		await it.changes.until(() => it.server.stats().connections.waiting === 1);
		const third = await it.connect();
		await third.gone();
		expect(refused).toEqual(["127.0.0.1 too many connections"]);
		expect(it.queue.calls).toEqual([]);
		first.end(mail());
		expect(await first.all()).toEqual(["Kok"]);
		expect(await second.all()).toEqual(["Kok", "Kok"]);
	});

	test("shares a limit with another", async () => {
		const connectionLimit = limit({ connections: 1 });
		const [one, two] = [bench({ connectionLimit }), bench({ connectionLimit })];
		await one.bench.connect();
		await one.bench.changes.until(() => connectionLimit.open === 1);
		await (await two.bench.connect()).gone();
		expect(two.refused).toHaveLength(1);
	});

	test("drops those that wait when it closes, and when they have waited for too long", async () => {
		const { bench: it, refused } = bench({
			limits: { connections: 1, waitingConnections: 1 },
			timeouts: { idle: 50 },
			queue: { hold: true },
		});
		const first = await it.connect();
		first.send(mail());
		await it.queue.called("commit");
		await (await it.connect()).gone(); // in 50 ms
		expect(refused).toHaveLength(1);
		const waits = await it.connect();
		await it.changes.until(() => it.server.stats().connections.waiting === 1);
		const closed = it.server.close();
		await waits.gone();
		it.queue.release();
		expect(await first.all()).toEqual(["Kok"]);
		await closed;
		expect(refused).toHaveLength(1);
	});

	test("counts the clients that proxies tell of, and not the proxies", async () => {
		const { bench: it, refused } = bench({ limits: { connectionsPerAddress: 1 }, proxyProtocol: true });
		const header = (host: number) => `PROXY TCP4 192.0.2.${host} 192.0.2.99 4711 209\r\n`;
		const clients = [await it.connect(), await it.connect(), await it.connect(), await it.connect()];
		clients[0]?.send(header(1) + mail());
		clients[1]?.send(header(2) + mail());
		clients[2]?.send(`PROXY UNKNOWN\r\n${mail()}`);
		for (const client of clients.slice(0, 3)) expect(await client.receives(1)).toEqual(["Kok"]);
		clients[3]?.send(header(2) + mail());
		await clients[3]?.gone();
		expect(refused).toEqual(["192.0.2.2 too many connections of this client"]);
	});

	test.each<[string, () => Place | NoPlace | Promise<Place | NoPlace>]>([
		[
			"throws",
			() => {
				throw new Error("no limiter");
			},
		],
		["rejects", () => Promise.reject(new Error("no limiter"))],
		[
			"gives a place that throws",
			() => ({ claim: () => Promise.reject(new Error("no limiter")), leave: () => {} }),
		],
	])("lets nobody in when its limiter %s, says so, and goes on", async (_, enter) => {
		const { bench: it } = bench({ connectionLimit: { enter }, proxyProtocol: true });
		const client = await it.connect();
		client.send(`PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${mail()}`);
		await client.gone();
		await it.faulted();
		expect(it.takeFaults()).toEqual(["no limiter"]);
		expect(it.queue.calls).toEqual([]);
		await it.server.close();
	});

	test("closes though its limiter never says anything", async () => {
		const { bench: it } = bench({ connectionLimit: { enter: () => new Promise(() => {}) } });
		const client = await it.connect();
		await it.changes.until(() => it.server.stats().connections.waiting === 1);
		await it.server.close();
		await client.gone();
	});

	test("is not made with a limit that is none", () => {
		expect(() => new ConnectionLimit({ connections: 0 })).toThrow("limits.connections");
		expect(() => new Bench({ connectionLimit: {} as ConnectionLimit })).toThrow("connectionLimit");
		expect(isPromise(new ConnectionLimit().enter("192.0.2.1", NEVER))).toBe(false);
	});
});
