/** Events tell, and nothing depends on them. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { QmtpServer, type ServerEvents } from "../../src/server/server.js";
import { Bench, PEER } from "../support/server-bench.js";
import { mail, RECIPIENT, SENDER } from "../support/server-client.js";
import { TestQueue } from "../support/server-queue.js";
import { turns } from "../support/server-signal.js";
import { duplexPair } from "../support/server-streams.js";

afterEach(() => {
	vi.restoreAllMocks();
});

test("a server tells of its life in order", async () => {
	const bench = new Bench({ hooks: { sender: () => Promise.reject(new Error("oops")) } });
	const told: unknown[][] = [];
	const names = ["listening", "connection", "fault", "package", "disconnect", "close"] as const;
	for (const name of names)
		bench.server.on(name, (...values: unknown[]) => void told.push([name, ...values]));
	const client = await bench.connect();
	const port = await bench.port();
	client.end(mail());
	expect(await client.all()).toHaveLength(1);
	await bench.disconnected();
	await bench.server.close();
	expect(told.map(([name]) => name)).toEqual(names);
	expect(told[0]?.[1]).toMatchObject({ address: "127.0.0.1", port });
	expect(told[1]?.[1]).toMatchObject({ remoteAddress: "127.0.0.1", localPort: port });
	expect(told[4]?.[1]).toEqual({ peer: told[1]?.[1], packages: 1 });
	bench.takeFault();
});

test("a package report tells what became of it, also of what could not be read", async () => {
	const bench = new Bench({ queue: { commit: async () => [{ status: "Z", description: "later" }] } });
	await bench.exchange(mail({ message: "\r1\r\n", recipients: [RECIPIENT, "\0"] }) + mail({ sender: "\0" }));
	expect(bench.reports).toHaveLength(2);
	const report = bench.reports.find(({ sender }) => sender !== null);
	expect(report).toEqual({
		peer: PEER,
		message: bench.queue.deliveries[0]?.info,
		sender: SENDER,
		recipients: [RECIPIENT, null],
		responses: [
			{ status: "Z", description: "later" },
			{ status: "D", description: "sorry, I can't handle that recipient (#5.1.3)" },
		],
		bodyBytes: 2,
		duration: expect.any(Number),
		commitDuration: expect.any(Number),
	});
	expect(report?.duration).toBeGreaterThan(report?.commitDuration as number);
	const unread = bench.reports.find(({ sender }) => sender === null);
	expect(unread).not.toHaveProperty("commitDuration");
	expect(unread).toMatchObject({
		recipients: [RECIPIENT],
		responses: [{ status: "D", description: "unacceptable sender (#5.1.7)" }],
		bodyBytes: 6,
	});
});

test("disconnect tells how many packages were answered, and what ended the connection", async () => {
	const bench = new Bench();
	const client = bench.talk();
	client.end(`${mail() + mail()}x`);
	await client.all();
	const { peer, packages, error } = await bench.disconnected();
	expect({ peer, packages }).toEqual({ peer: PEER, packages: 2 });
	expect(error).toMatchObject({ name: "ProtocolError", offset: 2 * mail().length });
});

describe("a fault that nobody hears", () => {
	test("goes to console.error", async () => {
		const printed = vi.spyOn(console, "error").mockImplementation(() => {});
		const error = new Error("disk");
		const server = new QmtpServer({ queue: new TestQueue({ open: () => Promise.reject(error) }) });
		const [ours, theirs] = duplexPair();
		theirs.resume().end(mail());
		await server.serve(ours, PEER);
		expect(printed).toHaveBeenCalledTimes(1);
		expect(printed).toHaveBeenCalledWith(expect.stringContaining("fault"), error);
	});

	test("does not if somebody does", async () => {
		const printed = vi.spyOn(console, "error");
		const bench = new Bench({ queue: { open: () => Promise.reject(new Error("disk")) } });
		await bench.exchange(mail());
		expect(printed).not.toHaveBeenCalled();
		bench.takeFault();
	});
});

describe("a listener that throws", () => {
	test.each<keyof ServerEvents>(["listening", "connection", "package", "disconnect", "close"])(
		"of %s is a fault, and nothing else is changed",
		async (name) => {
			const bench = new Bench();
			bench.server.on(name, () => {
				throw new Error(`no ${name}`);
			});
			const client = await bench.connect();
			client.end(mail());
			expect(await client.all()).toEqual(["Kok"]);
			await bench.changes.until(() => bench.server.connections === 0);
			await bench.server.close();
			expect(bench.takeFaults()).toEqual([`no ${name}`]);
		},
	);

	test("of fault goes to console.error", async () => {
		const printed = vi.spyOn(console, "error").mockImplementation(() => {});
		const bench = new Bench({ hooks: { sender: () => Promise.reject(new Error("oops")) } });
		bench.server.on("fault", () => {
			throw new Error("deaf");
		});
		expect(await bench.exchange(mail() + mail())).toHaveLength(2);
		expect(printed).toHaveBeenCalledTimes(2);
		expect(bench.takeFaults()).toEqual(["oops", "oops"]);
	});

	test("may throw what is no Error", async () => {
		const bench = new Bench();
		bench.server.on("package", () => {
			throw "text";
		});
		await bench.exchange(mail());
		const { error } = bench.takeFault();
		expect(error).toBeInstanceOf(Error);
		expect(error.message).toBe("text");
	});
});

test("close is told when all has ended, and once", async () => {
	const bench = new Bench({ queue: { hold: true } });
	const told: number[] = [];
	bench.server.on("close", () => told.push(bench.server.connections));
	const client = bench.talk();
	client.send(mail());
	await bench.queue.called("commit");
	const closed = bench.server.close();
	await turns();
	expect(told).toEqual([]);
	bench.queue.release();
	await client.all();
	await closed;
	expect(told).toEqual([0]);
});

test("package events of commits that end after the connection still come", async () => {
	const bench = new Bench({ queue: { hold: true } });
	bench.talk().send(mail());
	await bench.queue.called("commit");
	bench.server.destroy();
	await bench.disconnected();
	bench.queue.release();
	await bench.changes.until(() => bench.reports.length === 1);
	expect(bench.reports[0]?.responses).toEqual([{ status: "K", description: "ok" }]);
});
