/** How much a server holds in memory, and who waits for whom when that is too much. */
import { describe, expect, test } from "vitest";
import { ConnectionBytes, HeldBytes } from "../../src/server/held-bytes.js";
import { PackageBytes } from "../../src/server/package-bytes.js";
import { Bench } from "../support/server-bench.js";
import { mail, type TestClient } from "../support/server-client.js";
import { settled, turns } from "../support/server-signal.js";

describe("the count of a package", () => {
	function packageOf(chunks: number): { connection: ConnectionBytes; bytes: PackageBytes; own: number } {
		const connection = new ConnectionBytes(new HeldBytes(1e9), 1e9);
		const bytes = new PackageBytes(connection);
		const own = connection.total;
		for (let chunk = 0; chunk < chunks; chunk++) {
			connection.receive(new Uint8Array(1000));
			bytes.keep();
			bytes.keep();
		}
		return { connection, bytes, own };
	}

	test("is whole chunks, each once, until the delivery has ended", () => {
		const { connection, bytes, own } = packageOf(3);
		expect(connection.total).toBe(own + 3000);
		bytes.letGoBody();
		expect(connection.total).toBe(own);
		bytes.letGoBody();
		bytes.letGoEnvelope();
		bytes.letGoEnvelope();
		expect(connection.total).toBe(0);
	});

	test("lets go of what came before the wait before", () => {
		const { connection, bytes, own } = packageOf(3);
		bytes.waited();
		expect(connection.total).toBe(own + 3000);
		connection.receive(new Uint8Array(1000));
		bytes.keep();
		bytes.waited();
		expect(connection.total).toBe(own + 1000);
		bytes.waited();
		expect(connection.total).toBe(own);
	});

	test("of a chunk that two packages keep is one, until both have let go", () => {
		const { connection, bytes, own } = packageOf(1);
		const other = new PackageBytes(connection);
		other.keep();
		expect(connection.total).toBe(2 * own + 1000);
		bytes.letGoBody();
		expect(connection.total).toBe(2 * own + 1000);
		other.letGoBody();
		expect(connection.total).toBe(2 * own);
	});

	test("has the addresses in it", () => {
		const { connection, bytes, own } = packageOf(0);
		bytes.address(500);
		expect(connection.total).toBeGreaterThanOrEqual(own + 500);
		bytes.letGoEnvelope();
		expect(connection.total).toBe(0);
	});
});

describe("the mark of all", () => {
	function three(): { all: HeldBytes; connections: [ConnectionBytes, ConnectionBytes, ConnectionBytes] } {
		const all = new HeldBytes(100);
		const connection = () => new ConnectionBytes(all, 1e9);
		return { all, connections: [connection(), connection(), connection()] };
	}

	test("stops everybody but one, until its package is answered, and then those come first who are in one", async () => {
		const { all, connections } = three();
		const [one, two, idle] = connections;
		const [first, second] = [{}, {}];
		two.add(150);
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
		two.add(-60);
		await turns(1);
		expect(told).toEqual(["two", "idle"]);
		expect(idle.room({ reading: null, isOwed: false })).toBeUndefined();
	});

	test("lets one begin a package, and no second one before the first is answered", async () => {
		const { all, connections } = three();
		const [one, two] = connections;
		two.add(150);
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

	test("reads from nobody over the mark of all, and goes on when the queue has let go", async () => {
		const bench = new Bench({ queue: { hold: true }, limits: { heldBytes: 200_000 } });
		const clients = Array.from({ length: 20 }, () => bench.talk());
		for (const client of clients) await flood(client, mail({ message: `\n${"x".repeat(30_000)}` }), 10);
		// Each has read one chunk at most, which it waited for already when the others had filled the mark.
		expect(bench.server.stats().heldBytes).toBeLessThan(200_000 + 21 * 35_000);
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
