/** How much a server holds in memory, and who waits for whom when that is too much. */
import { describe, expect, onTestFinished, test } from "vitest";
import { ConnectionBytes, HeldBytes } from "../../src/server/held-bytes.js";
import { PackageBytes } from "../../src/server/package-bytes.js";
import { Bench } from "../support/server-bench.js";
import { mail, type TestClient } from "../support/server-client.js";
import { settled, turns } from "../support/server-signal.js";
import { duplexPair } from "../support/server-streams.js";

describe("the count of a package", () => {
	function begun(): { connection: ConnectionBytes; bytes: PackageBytes; own: number } {
		const connection = new ConnectionBytes(new HeldBytes(1e9), 1e9);
		const bytes = new PackageBytes(connection);
		return { connection, bytes, own: connection.total };
	}

	test("is the whole chunk for the first view of it, and the view itself for others", () => {
		const { connection, bytes, own } = begun();
		connection.receive(1000);
		bytes.gave(10, undefined);
		expect(connection.total).toBeGreaterThanOrEqual(own + 1000);
		expect(connection.total).toBeLessThan(own + 2000);
		const before = connection.total;
		bytes.gave(10, undefined);
		const other = new PackageBytes(connection);
		other.gave(10, undefined);
		expect(connection.total).toBe(before + own + 20);
		bytes.letGoBody();
		other.letGoBody();
		bytes.letGoEnvelope();
		bytes.letGoEnvelope();
		other.letGoEnvelope();
		expect(connection.total).toBe(0);
	});

	test("lets go of what came before the wait before", () => {
		const { connection, bytes, own } = begun();
		bytes.gave(3000, undefined);
		bytes.waited(undefined);
		expect(connection.total).toBe(own + 3000);
		bytes.gave(1000, undefined);
		bytes.waited(undefined);
		expect(connection.total).toBe(own + 1000);
		bytes.waited(undefined);
		expect(connection.total).toBe(own);
	});

	test("is what the delivery tells, and a chunk", () => {
		const { connection, bytes, own } = begun();
		for (let chunk = 0; chunk < 100; chunk++) bytes.gave(64 * 1024, 200_000);
		expect(connection.total - own).toBeGreaterThan(200_000);
		expect(connection.total - own).toBeLessThan(300_000);
		bytes.holds(10);
		expect(connection.total - own).toBeLessThan(70_000);
		bytes.waited(0);
		expect(connection.total).toBe(own);
		bytes.gave(1000, 0);
		expect(connection.total).toBe(own);
	});

	test("has the addresses in it, and those beyond the limit", () => {
		const { connection, bytes, own } = begun();
		bytes.address(500);
		bytes.unnamed();
		expect(connection.total).toBeGreaterThan(own + 500);
		bytes.letGoEnvelope();
		expect(connection.total).toBe(0);
	});
});

describe("the mark of all", () => {
	function three(): { all: HeldBytes; connections: [ConnectionBytes, ConnectionBytes, ConnectionBytes] } {
		const all = new HeldBytes(1e6);
		const connection = () => new ConnectionBytes(all, 1e9);
		const connections = [connection(), connection(), connection()] as const;
		for (const each of connections) each.add(100_000);
		return { all, connections: [...connections] };
	}

	test("stops everybody but one, until its package is answered, and then those come first who are in one", async () => {
		const { all, connections } = three();
		const [one, two, idle] = connections;
		const [first, second] = [{}, {}];
		two.add(1_000_000);
		expect(one.room({ reading: first, isOwed: false })).toBeUndefined(); // it goes on
		const told: string[] = [];
		idle.room({ reading: null, isOwed: false })?.then(() => told.push("idle"));
		two.room({ reading: second, isOwed: false })?.then(() => told.push("two"));
		await turns(1);
		expect(told).toEqual([]);
		all.answered(one, {});
		all.answered(two, first);
		await turns(1);
		expect(told).toEqual([]);
		all.answered(one, first);
		await turns(1);
		expect(told).toEqual(["two"]);
		expect(two.room({ reading: second, isOwed: false })).toBeUndefined();
		expect(two.room({ reading: {}, isOwed: true })).toBeInstanceOf(Promise); // its package is complete
		expect(one.room({ reading: {}, isOwed: false })).toBeInstanceOf(Promise);
		two.add(-900_000);
		await turns(1);
		expect(told).toEqual(["two", "idle"]);
		expect(idle.room({ reading: null, isOwed: false })).toBeUndefined();
	});

	test("lets one begin a package, and no second one before the first is answered", async () => {
		const { all, connections } = three();
		const [one, two] = connections;
		two.add(1_000_000);
		const idle = { reading: null, isOwed: false };
		expect(one.room(idle)).toBeUndefined();
		expect(one.room(idle)).toBeUndefined(); // nothing came
		let told = false;
		two.room(idle)?.then(() => {
			told = true;
		});
		expect(one.room({ reading: null, isOwed: true })).toBeInstanceOf(Promise); // a whole package came
		all.answered(one, {});
		await turns(1);
		expect(told).toBe(true);
	});

	test("lets everybody read on who holds next to nothing", () => {
		const { connections } = three();
		const [one, two, small] = connections;
		two.add(1_000_000);
		small.add(-90_000);
		expect(one.room({ reading: {}, isOwed: false })).toBeUndefined();
		expect(small.room({ reading: {}, isOwed: true })).toBeUndefined();
		expect(two.room({ reading: {}, isOwed: true })).toBeInstanceOf(Promise);
	});

	test("takes the turn away after a second, from whoever does whatever; far over the mark after ten", async () => {
		const { all, connections } = three();
		const [one, two] = connections;
		two.add(1_000_000);
		all.check(5000);
		expect(one.room({ reading: {}, isOwed: false })).toBeUndefined();
		let told = 0;
		const wait = () => two.room({ reading: {}, isOwed: true })?.then(() => told++);
		wait();
		all.check(5900);
		await turns(1);
		expect(told).toBe(0);
		all.check(6100);
		await turns(1);
		expect(told).toBe(1);
		two.add(1_000_000);
		let again = 0;
		one.room({ reading: {}, isOwed: false })?.then(() => again++);
		all.check(15_000);
		await turns(1);
		expect(again).toBe(0);
		all.check(16_200);
		await turns(1);
		expect(again).toBe(1);
	});

	test("takes the turn away from one that is over its own mark, or ends", async () => {
		const all = new HeldBytes(100_000);
		const [one, two] = [new ConnectionBytes(all, 200_000), new ConnectionBytes(all, 200_000)];
		one.add(150_000);
		two.add(100_000);
		const reading = {};
		for (const end of [
			() => void one.room({ reading, isOwed: true }),
			() => {
				one.wake();
				one.end();
			},
		]) {
			expect(one.room({ reading, isOwed: false })).toBeUndefined();
			let told = false;
			two.room({ reading: {}, isOwed: false })?.then(() => {
				told = true;
			});
			one.add(60_000);
			end();
			one.add(-60_000);
			await turns(1);
			expect(told).toBe(true);
			all.endTurn(two);
		}
	});
});

describe("a server", () => {
	/** Sends until the server reads no more. @returns How much of it the server has taken. */
	async function flood(client: TestClient, text: string, times: number): Promise<number> {
		for (let sent = 0; sent < times; sent++) client.send(text);
		return settled(() => client.duplex.writableLength);
	}

	test("does not read on from a connection that holds its share and is owed answers", async () => {
		const bench = new Bench({ queue: { hold: true }, limits: { heldBytesPerConnection: 300_000 } });
		const greedy = bench.talk();
		await flood(greedy, mail({ message: `\n${"x".repeat(50_000)}` }), 40);
		const taken = bench.queue.commits.length;
		expect(taken).toBeGreaterThan(3);
		expect(taken).toBeLessThan(10);
		const held = bench.server.stats().heldBytes;
		expect(held).toBeGreaterThan(250_000);
		expect(held).toBeLessThan(450_000);
		const other = bench.talk();
		other.send(mail());
		await bench.queue.called("commit", taken + 1);
		while (greedy.responses.length < 40) {
			bench.queue.release();
			await turns();
		}
		expect(greedy.responses).toEqual(new Array(40).fill("Kok"));
		bench.queue.release();
		await other.receives(1);
		await turns();
		expect(bench.server.stats().heldBytes).toBe(0);
	});

	test("reads next to nothing over the mark of all, and goes on when the queue has let go", async () => {
		const bench = new Bench({ queue: { hold: true }, limits: { heldBytes: 200_000 } });
		const clients = Array.from({ length: 20 }, () => bench.talk());
		for (const client of clients) await flood(client, mail({ message: `\n${"x".repeat(30_000)}` }), 10);
		// Each may hold 64 KiB, and read one chunk more.
		expect(bench.server.stats().heldBytes).toBeGreaterThan(200_000);
		expect(bench.server.stats().heldBytes).toBeLessThan(200_000 + 20 * (64 * 1024 + 35_000));
		while (clients.some(({ responses }) => responses.length < 10)) {
			bench.queue.release();
			await turns();
		}
		expect(bench.server.stats()).toMatchObject({
			heldBytes: 0,
			packages: { answered: 200, committing: 0 },
			responses: { accepted: 200, deferred: 0, rejected: 0 },
			bodyBytes: 200 * 30_000,
		});
	});

	test("comes through with messages that fill the mark by halves: one after the other is finished", async () => {
		const bench = new Bench({ limits: { heldBytes: 200_000 } });
		const clients = Array.from({ length: 8 }, () => bench.talk());
		const whole = mail({ message: `\n${"x".repeat(150_000)}` });
		for (const client of clients) client.send(whole.slice(0, 60_000));
		await turns();
		for (const client of clients) client.end(whole.slice(60_000));
		for (const client of clients) expect(await client.all()).toEqual(["Kok"]);
		await bench.disconnected(8);
		expect(bench.server.stats().heldBytes).toBe(0);
	});

	test("lets the next go on when the one whose turn it is sends nothing more", async () => {
		const bench = new Bench({ limits: { heldBytes: 100_000 } });
		const whole = mail({ message: `\n${"x".repeat(150_000)}` });
		const [silent, other] = [bench.talk(), bench.talk()];
		silent.send(whole.slice(0, 120_000));
		await settled(() => bench.server.stats().heldBytes);
		other.end(whole);
		expect(await other.all()).toEqual(["Kok"]); // after a second or two
		silent.end(whole.slice(120_000));
		expect(await silent.all()).toEqual(["Kok"]);
	});

	test("holds nothing for clients that left in the middle, and for messages that were refused", async () => {
		const bench = new Bench({ hooks: { sender: () => ({ status: "D", description: "no" }) } });
		const whole = mail({ message: `\n${"x".repeat(150_000)}` });
		const [left, refused] = [bench.talk(), bench.talk()];
		left.end(whole.slice(0, 100_000));
		await left.all();
		refused.end(whole);
		expect(await refused.all()).toEqual(["Dno"]);
		await bench.disconnected(2);
		expect(bench.server.stats().heldBytes).toBe(0);
	});

	test("takes small mail whatever a large message does that comes little by little", async () => {
		const bench = new Bench({ limits: { heldBytes: 100_000 } });
		const large = bench.talk();
		large.send(mail({ message: `\n${"x".repeat(500_000)}` }).slice(0, 300_000));
		await settled(() => bench.server.stats().heldBytes);
		const trickle = setInterval(() => large.send("x"), 5);
		onTestFinished(() => clearInterval(trickle));
		for (let sent = 0; sent < 5; sent++) {
			const other = bench.talk();
			other.end(mail());
			expect(await other.all()).toEqual(["Kok"]);
		}
		const other = bench.talk();
		other.end(mail({ message: `\n${"x".repeat(200_000)}` }));
		expect(await other.all()).toEqual(["Kok"]); // in its turn
	});

	test("counts recipients beyond the limit and answers that are not read, and lets go of all of it", async () => {
		const bench = new Bench({ limits: { recipients: 10 } });
		const [ours, theirs] = duplexPair();
		bench.serve(ours);
		const client = bench.client(theirs, false);
		client.send(mail({ recipients: new Array(100_000).fill("") }));
		await bench.changes.until(() => bench.reports.length === 1);
		await turns();
		expect(bench.server.stats().heldBytes).toBeGreaterThan(1_000_000);
		client.read();
		await client.receives(100_000);
		expect(client.responses.filter((response) => response.startsWith("K"))).toHaveLength(10);
		client.end("");
		await bench.disconnected();
		expect(bench.server.stats().heldBytes).toBe(0);
	});

	test("lets go of what those hold who leave before their answers", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = bench.talk();
		client.send(mail() + mail() + mail());
		await bench.queue.called("commit", 3);
		bench.queue.commits[1]?.release();
		client.duplex.destroy();
		await turns();
		bench.queue.commits[0]?.release();
		bench.queue.commits[2]?.release();
		await bench.disconnected();
		await turns();
		expect(bench.server.stats()).toMatchObject({ heldBytes: 0, packages: { committing: 0 } });
	});

	test("can close while connections wait for room", async () => {
		const bench = new Bench({ queue: { hold: true }, limits: { heldBytes: 1000 } });
		const clients = [bench.talk(), bench.talk(), bench.talk()];
		for (const client of clients) client.send(mail() + mail() + mail());
		await bench.queue.called("commit", 3);
		await turns();
		const closed = bench.server.close();
		await turns();
		bench.queue.release();
		await closed;
		expect(bench.server.stats().heldBytes).toBe(0);
	});
});
