/** A message that will not be stored is aborted: once, and never after its commit was called. */
import { describe, expect, test } from "vitest";
import { rejected } from "../../src/protocol/response.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { Gate, turns } from "../support/server-signal.js";

const PACKAGE = mail({ message: "\r12345\r\n678\r", sender: "s@example.org", recipients: ["a@b", "c@d"] });
const prefixes = Array.from({ length: PACKAGE.length - 1 }, (_, index) => index + 1);

describe("a client that leaves inside a package", () => {
	test.each([
		["closes its direction", false],
		["breaks the connection", true],
	])("has it aborted, wherever that is, and keeps what was accepted before: it %s", async (_, breaks) => {
		for (const length of prefixes) {
			const bench = new Bench();
			const client = bench.talk();
			client.send(mail() + PACKAGE.slice(0, length));
			await client.receives(1);
			if (breaks) client.duplex.destroy(new Error("left"));
			else client.end();
			const { error, packages } = await bench.disconnected();
			expect(packages).toBe(1);
			if (!breaks) expect(error, `at ${length}`).toMatchObject({ code: "ERR_QMTP_CONNECTION_CLOSED" });
			const [first, second] = bench.queue.deliveries;
			expect(first?.aborts).toEqual([]);
			// The queue is opened at the first byte of the message, which tells the encoding.
			expect(second?.aborts.length, `at ${length}`).toBe(length > "12:".length ? 1 : undefined);
			expect(second?.envelope ?? null).toBeNull();
			expect(bench.queue.commits).toHaveLength(1);
		}
	});

	test("is told from one that leaves between two packages", async () => {
		const bench = new Bench();
		await bench.exchange(PACKAGE);
		expect(bench.disconnects[0]).not.toHaveProperty("error");
		expect(bench.queue.calls).not.toContain("abort");
	});

	test("over TCP, with a reset, is told as what the system says", async () => {
		const bench = new Bench();
		const client = await bench.connect();
		client.send(PACKAGE.slice(0, 20));
		await bench.queue.called("write");
		client.socket.resetAndDestroy();
		expect((await bench.disconnected()).error).toMatchObject({ code: "ECONNRESET" });
		expect(bench.queue.deliveries[0]?.aborts).toHaveLength(1);
	});
});

describe("while the server waits inside a package and the connection is destroyed", () => {
	test.each(["message", "sender", "recipient"])(
		"for the %s hook, the message is aborted, and the late answer does no harm",
		async (name) => {
			for (const late of ["open", "fail"] as const) {
				const gate = new Gate<undefined>();
				const asked = new Gate();
				const hook = () => {
					asked.open();
					return gate.promise;
				};
				const bench = new Bench({ hooks: { [name]: hook } });
				bench.talk().send(PACKAGE);
				await asked.promise;
				bench.server.destroy();
				await bench.disconnected();
				if (late === "open") gate.open(undefined);
				else gate.fail(new Error("late"));
				await turns();
				expect(bench.queue.commits).toEqual([]);
				for (const { aborts } of bench.queue.deliveries) expect(aborts).toHaveLength(1);
				expect(bench.takeFaults()).toEqual(late === "open" ? [] : ["late"]);
			}
		},
	);

	test("for the queue's open, the delivery that comes late is aborted", async () => {
		const gate = new Gate();
		const bench = new Bench({ queue: { open: (_, usual) => gate.promise.then(usual) } });
		bench.talk().send(PACKAGE);
		await bench.queue.called("open");
		bench.server.destroy();
		await bench.disconnected();
		gate.open();
		await bench.queue.called("abort");
		await turns();
		expect(bench.queue.calls).toEqual(["open", "abort"]);
	});

	test.each(["open", "fail"] as const)(
		"for the queue's write, it is aborted at once: the write %ss later",
		async (late) => {
			const gate = new Gate();
			const bench = new Bench({ queue: { write: () => gate.promise } });
			bench.talk().send(PACKAGE);
			await bench.queue.called("write");
			bench.server.destroy();
			await bench.disconnected();
			expect(bench.queue.calls).toEqual(["open", "write", "abort"]);
			expect(bench.queue.deliveries[0]?.aborts[0]).toMatchObject({ code: "ERR_QMTP_DESTROYED" });
			if (late === "open") gate.open();
			else gate.fail(new Error("the file was closed by the abort"));
			await turns();
			expect(bench.queue.count("abort")).toBe(1);
		},
	);

	test("for its commit, it is not aborted, and the mail may be stored", async () => {
		const bench = new Bench({ queue: { hold: true } });
		bench.talk().send(PACKAGE);
		await bench.queue.called("commit");
		bench.server.destroy();
		await bench.disconnected();
		bench.queue.release();
		await turns();
		expect(bench.queue.count("abort")).toBe(0);
	});
});

describe("a message is aborted", () => {
	test("when no recipient is left, or the package has none", async () => {
		const bench = new Bench({ hooks: { recipient: () => rejected("no") } });
		await bench.exchange(PACKAGE + mail({ recipients: [] }));
		expect(bench.queue.deliveries.map(({ aborts }) => aborts.length)).toEqual([1, 1]);
	});

	test("and the answers of the others do not wait for that", async () => {
		const gate = new Gate();
		const bench = new Bench({ queue: { abort: () => gate.promise } });
		const client = bench.talk();
		client.end(mail() + PACKAGE.slice(0, -1));
		await bench.queue.called("abort");
		expect(await client.receives(1)).toEqual(["Kok"]);
		gate.open();
		await client.all();
	});

	test("never once its commit was called, however that ends", async () => {
		const ends = [
			async () => [],
			() => Promise.reject(new Error("x")),
			() => {
				throw new Error("x");
			},
		];
		for (const commit of ends) {
			const bench = new Bench({ queue: { commit } });
			await bench.exchange(PACKAGE);
			bench.takeFault();
			expect(bench.queue.calls).not.toContain("abort");
		}
	});
});

test.each([
	[
		"throws",
		() => {
			throw new Error("abort failed");
		},
	],
	["rejects", () => Promise.reject(new Error("abort failed"))],
])("an abort that %s is a fault, and the answer is the same", async (_, abort) => {
	const bench = new Bench({ queue: { abort } });
	expect(await bench.exchange(mail({ sender: "\0" }) + mail())).toEqual([
		"Dunacceptable sender (#5.1.7)",
		"Kok",
	]);
	expect(bench.takeFaults()).toEqual(["abort failed"]);

	const client = bench.talk();
	client.end(PACKAGE.slice(0, -1));
	expect(await client.all()).toEqual([]);
	await bench.disconnected(2);
	expect(bench.takeFaults()).toEqual(["abort failed"]);
});

test("an abort may return nothing", async () => {
	const bench = new Bench({ queue: { abort: () => undefined } });
	expect(await bench.exchange(mail({ sender: "\0" }))).toEqual(["Dunacceptable sender (#5.1.7)"]);
});
