/** Many packages at once: their commits overlap, their answers keep the order, and nothing grows without bound. */
import { describe, expect, test } from "vitest";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { Gate, settled, turns } from "../support/server-signal.js";
import { duplexPair } from "../support/server-streams.js";

const many = (count: number, recipients?: readonly string[]) =>
	Array.from({ length: count }, (_, index) =>
		mail({ sender: `${index}`, ...(recipients && { recipients }) }),
	).join("");

describe("limits.pipelined", () => {
	test("no more commits than that are outstanding, and reading stops", async () => {
		const bench = new Bench({ limits: { pipelined: 5 }, queue: { hold: true } });
		const [ours, theirs] = duplexPair();
		let consumed = 0;
		ours.on("data", (chunk: Buffer) => {
			consumed += chunk.length;
		});
		ours.pause();
		bench.serve(ours);
		const client = bench.client(theirs);
		const one = mail();
		for (let sent = 0; sent < 2000; sent++) client.send(one);
		await bench.queue.called("commit", 5);
		expect(await settled(() => consumed)).toBeLessThan(20 * one.length);
		expect(bench.queue.commits).toHaveLength(5);
		expect(client.responses).toEqual([]);

		bench.queue.commits[0]?.release();
		await bench.queue.called("commit", 6);
		await turns();
		expect(bench.queue.commits, "one more for each that is done").toHaveLength(6);
		expect(await client.receives(1)).toEqual(["Kok"]);

		bench.queue.commits[3]?.release();
		await turns();
		expect(bench.queue.commits, "but not for one that waits for earlier answers").toHaveLength(6);
	});

	test("one large chunk cannot get around it", async () => {
		const bench = new Bench({ limits: { pipelined: 3 }, queue: { hold: true } });
		const client = bench.talk();
		client.send(many(100));
		await bench.queue.called("commit", 3);
		await turns();
		expect(bench.queue.count("open")).toBe(3);
		for (let done = 0; done < 100; done++) {
			await bench.queue.called("commit", done + 1);
			expect(bench.queue.commits.length).toBeLessThanOrEqual(done + 3);
			bench.queue.commits[done]?.release();
		}
		expect(await client.receives(100)).toHaveLength(100);
	});

	test("1,000 by default", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = bench.talk();
		client.end(many(1200));
		await bench.queue.called("commit", 1000);
		await turns();
		expect(bench.queue.commits).toHaveLength(1000);
		bench.queue.release();
		await bench.queue.called("commit", 1200);
		bench.queue.release();
		expect(await client.all()).toHaveLength(1200);
	});

	test("one at a time if it is 1", async () => {
		const bench = new Bench({ limits: { pipelined: 1 }, queue: { hold: true } });
		const client = bench.talk();
		client.end(many(3));
		for (let count = 1; count <= 3; count++) {
			await bench.queue.called("commit", count);
			await turns();
			expect(bench.queue.calls.slice(-3)).toEqual(["open", "write", "commit"]);
			expect(bench.queue.commits).toHaveLength(count);
			bench.queue.release();
		}
		expect(await client.all()).toEqual(["Kok", "Kok", "Kok"]);
	});
});

describe("packages that are refused at once behind a commit that is held", () => {
	test("pile up to limits.pipelined and no further", async () => {
		const asked: string[] = [];
		const bench = new Bench({
			limits: { pipelined: 10 },
			hooks: { sender: (address) => (asked.push(address) === 1 ? undefined : rejected("no")) },
			queue: { hold: true },
		});
		const client = bench.talk();
		client.end(many(500));
		await bench.queue.called("commit");
		expect(await settled(() => asked.length)).toBe(10);
		expect(client.responses).toEqual([]);
		bench.queue.release();
		expect(await client.all()).toEqual(["Kok", ...Array(499).fill("Dno")]);
	});

	test("hold back no more responses than one package may have recipients", async () => {
		const bench = new Bench({ limits: { recipients: 20 }, hooks: {}, queue: { hold: true } });
		const client = bench.talk();
		client.end(many(1) + many(500, Array(8).fill("\0")));
		await bench.queue.called("commit");
		expect(await settled(() => bench.queue.count("open"))).toBeLessThanOrEqual(4);
		bench.queue.release();
		expect(await client.all()).toHaveLength(1 + 500 * 8);
	});

	test("one package alone may have more recipients than that", async () => {
		const bench = new Bench({ limits: { recipients: 2 } });
		expect(await bench.exchange(many(3, Array(50).fill("r")))).toHaveLength(150);
	});
});

describe("answers", () => {
	test("to commits that end in another order go out in the order of the packages", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = bench.talk();
		client.send(many(3) + mail({ sender: "\0" }) + many(1));
		await bench.queue.called("commit", 4);
		const [first, second, third, last] = bench.queue.commits;
		last?.release([accepted("last")]);
		third?.fail(new Error("third"));
		await turns();
		expect(client.responses).toEqual([]);
		first?.release([accepted("first")]);
		expect(await client.receives(1)).toEqual(["Kfirst"]);
		await turns();
		expect(client.responses).toHaveLength(1);
		second?.release([deferred("second")]);
		expect(await client.receives(5)).toEqual([
			"Kfirst",
			"Zsecond",
			"Ztemporary failure (#4.3.0)",
			"Dunacceptable sender (#5.1.7)",
			"Klast",
		]);
		expect(bench.takeFaults()).toEqual(["third"]);
	});

	test("of a slow commit go out without further input", async () => {
		const bench = new Bench({ queue: { hold: true } });
		for (const client of [bench.talk(), await bench.connect()]) {
			const before = bench.queue.commits.length;
			client.send(mail());
			await bench.queue.called("commit", before + 1);
			await turns();
			expect(client.responses).toEqual([]);
			bench.queue.release();
			expect(await client.receives(1)).toEqual(["Kok"]);
		}
	});

	test("go out before the server waits for the rest of a package", async () => {
		const bench = new Bench();
		const client = bench.talk();
		const half = mail().slice(0, 10);
		client.send(mail() + half);
		expect(await client.receives(1)).toEqual(["Kok"]);
		client.send(mail().slice(10) + half);
		expect(await client.receives(2)).toEqual(["Kok", "Kok"]);
	});

	test.each(["message", "sender", "recipient"])(
		"go out while a %s hook of the next package is awaited",
		async (name) => {
			const gate = new Gate<undefined>();
			let asked = 0;
			const bench = new Bench({ hooks: { [name]: () => (++asked === 1 ? undefined : gate.promise) } });
			const client = bench.talk();
			client.send(mail() + mail());
			expect(await client.receives(1)).toEqual(["Kok"]);
			expect(asked).toBe(2);
			gate.open(undefined);
			expect(await client.receives(2)).toEqual(["Kok", "Kok"]);
		},
	);

	test.each(["open", "write", "abort"])(
		"go out while the queue's %s of the next package is awaited",
		async (name) => {
			const gate = new Gate();
			let calls = 0;
			const wait = () => (++calls === (name === "abort" ? 1 : 2) ? gate.promise : undefined);
			const open = (_: unknown, usual: () => unknown) => wait()?.then(usual) ?? usual();
			const bench = new Bench({ queue: { [name]: name === "open" ? open : wait } });
			const client = bench.talk();
			client.send(mail() + mail({ sender: name === "abort" ? "\0" : "s" }));
			expect(await client.receives(1)).toEqual(["Kok"]);
			await turns();
			expect(client.responses).toHaveLength(1);
			gate.open();
			await client.receives(2);
		},
	);

	test("of a package that was refused at once go out while a hook is awaited", async () => {
		const gate = new Gate<undefined>();
		const bench = new Bench({ limits: { messageBytes: 6 }, hooks: { message: () => gate.promise } });
		const client = bench.talk();
		client.send(mail({ message: "\n1234567" }) + mail());
		expect(await client.receives(1)).toHaveLength(1);
		gate.open(undefined);
		await client.receives(2);
	});

	test("that one turn of the event loop brings go out in one write", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const [ours, theirs] = duplexPair();
		let writes = 0;
		const { write } = ours;
		ours.write = ((...given: Parameters<typeof write>) => {
			writes++;
			return write.apply(ours, given);
		}) as typeof write;
		bench.serve(ours);
		const client = bench.client(theirs);
		client.send(many(50));
		await bench.queue.called("commit", 50);
		bench.queue.release();
		await client.receives(50);
		expect(writes).toBe(1);
	});

	test("reach a client that sends 2,000 packages before it reads", async () => {
		const bench = new Bench();
		const client = await bench.connect(false);
		client.end(many(2000));
		await bench.queue.called("commit", 2000);
		client.read();
		expect(await client.all()).toHaveLength(2000);
	});
});
