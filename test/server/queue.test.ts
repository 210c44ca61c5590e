/** The queue as the server uses it: what it is given, and what becomes of one that fails, lies or is late. */
import { describe, expect, test, vi } from "vitest";
import { QueueError } from "../../src/errors.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import type { QueuePlan } from "../support/server-queue.js";
import { turns } from "../support/server-signal.js";

const FAULT = "Ztemporary failure (#4.3.0)";
const NOT_SAID = "Zthe queue did not say what became of the message (#4.3.0)";
const THREE = mail({ recipients: ["a", "b", "c"] });

describe("a queue is given", () => {
	test("each body whole and in order, then the envelope, once", async () => {
		const bench = new Bench();
		const client = bench.talk();
		for (const byte of mail({ message: "\nfrom\r\nme\0\n", sender: "", recipients: ["a", "b", "a"] }))
			client.send(byte);
		await client.receives(3);
		const [delivery] = bench.queue.deliveries;
		expect(delivery?.text).toBe("from\r\nme\0\n");
		expect(delivery?.envelope).toEqual({ sender: "", recipients: ["a", "b", "a"] });
		expect(bench.queue.calls.at(-1)).toBe("commit");
		expect(bench.queue.count("commit")).toBe(1);
	});

	test("lines that end in LF, whatever was sent", async () => {
		const bench = new Bench({ queue: { write: ({ length }) => void expect(length).toBeGreaterThan(0) } });
		const client = bench.talk();
		const text = mail({ message: "\ra\r\nb\rc\r\r\n\r" }) + mail({ message: "\na\r\nb\r" });
		for (const byte of text) client.send(byte);
		await client.receives(2);
		expect(bench.queue.commits.map(({ text }) => text)).toEqual(["a\nb\rc\r\n\r", "a\r\nb\r"]);
	});

	test("the bytes of the wire, if it asks for lines as sent", async () => {
		const bench = new Bench({ queue: { lines: "as-sent" } });
		await bench.exchange(mail({ message: "\ra\r\nb\rc\r\r\n\r" }) + mail({ message: "\na\r\nb\r" }));
		expect(bench.queue.commits.map(({ text }) => text)).toEqual(["a\r\nb\rc\r\r\n\r", "a\r\nb\r"]);
	});

	test.each<[lines: "lf" | "as-sent", crlfIsExact: boolean]>([
		["lf", false],
		["as-sent", true],
	])("the declared length, and whether it is exact: lines %s", async (lines, crlfIsExact) => {
		const bench = new Bench({ queue: { lines } });
		await bench.exchange(mail({ message: "\nabc" }) + mail({ message: "\ra\r\n" }) + mail({ message: "\r" }));
		expect(bench.queue.deliveries.map(({ info }) => [info.encoding, info.length, info.exact])).toEqual([
			["lf", 3, true],
			["crlf", 3, crlfIsExact],
			["crlf", 0, crlfIsExact],
		]);
	});

	test("names of messages that are digits, and never the same twice, not even by two servers", async () => {
		const benches = [new Bench(), new Bench()];
		for (const bench of benches) await bench.exchange(mail() + mail());
		const ids = benches.flatMap(({ queue }) => queue.deliveries.map(({ info }) => info.id));
		expect(new Set(ids).size).toBe(4);
		for (const id of ids) expect(id).toMatch(/^\d+$/);
	});
});

/** Queues that cannot take a message, and at which step. */
const failing: [string, (error: unknown) => QueuePlan][] = [
	[
		"open throws",
		(error) => ({
			open: () => {
				throw error;
			},
		}),
	],
	["open rejects", (error) => ({ open: () => Promise.reject(error) })],
	["open rejects later", (error) => ({ open: () => turns(1).then(() => Promise.reject(error)) })],
	[
		"write throws",
		(error) => ({
			write: () => {
				throw error;
			},
		}),
	],
	["write rejects", (error) => ({ write: () => Promise.reject(error) })],
	["write rejects later", (error) => ({ write: () => turns(1).then(() => Promise.reject(error)) })],
	[
		"commit throws",
		(error) => ({
			commit: () => {
				throw error;
			},
		}),
	],
	["commit rejects", (error) => ({ commit: () => Promise.reject(error) })],
	["commit rejects later", (error) => ({ commit: () => turns(1).then(() => Promise.reject(error)) })],
];

describe.each(failing)("when %s", (name, plan) => {
	test.each([
		["an Error", new Error("/var/spool is read-only"), FAULT],
		["a QueueError", new QueueError("ERR_QMTP_QUEUE_FULL", "full (#4.3.1)"), "Zfull (#4.3.1)"],
		[
			"a permanent one",
			new QueueError("ERR_QMTP_QUEUE", "never (#5.6.0)", { permanent: true }),
			"Dnever (#5.6.0)",
		],
		["a text", "oops", FAULT],
		["nothing", undefined, FAULT],
	])("with %s, all recipients get the answer that it is, and one fault is told", async (_, error, answer) => {
		const bench = new Bench({
			queue: plan(error),
			hooks: { sender: (s) => (s === "bad" ? rejected("s") : undefined) },
		});
		const client = bench.talk();
		client.send(THREE);
		expect(await client.receives(3)).toEqual([answer, answer, answer]);
		const { error: told, context } = bench.takeFault();
		expect(told.message).toBe(error instanceof Error ? error.message : String(error));
		expect(context.message).toMatchObject({ length: 6 });
		for (const { aborts } of bench.queue.deliveries)
			expect(aborts).toHaveLength(name.startsWith("write") ? 1 : 0);
		client.end(mail());
		expect(await client.all(), "the connection stays").toEqual([answer, answer, answer, answer]);
		expect(bench.takeFaults()).toHaveLength(1);
	});
});

test("a write that fails is the last one: the rest of the body is dropped", async () => {
	const bench = new Bench({ queue: { write: () => Promise.reject(new Error("full")) } });
	const client = bench.talk();
	client.send("1001:\n");
	for (let piece = 0; piece < 10; piece++) client.send("x".repeat(100));
	await bench.queue.called("abort"); // at once, and not when the package is complete
	client.end(",1:s,4:1:r,,");
	expect(await client.all()).toEqual([FAULT]);
	expect(bench.queue.calls).toEqual(["open", "write", "abort"]);
	bench.takeFault();
});

test.each([
	["undefined", undefined],
	["null", null],
	["a text", "delivery"],
	["an object without write", {}],
])("open that comes to %s is a fault and a Z", async (_, rubbish) => {
	for (const answer of [rubbish, Promise.resolve(rubbish)]) {
		const bench = new Bench({ queue: { open: () => answer } });
		expect(await bench.exchange(THREE)).toEqual(Array(3).fill("Zthe queue opened no delivery (#4.3.0)"));
		bench.takeFault();
	}
});

test.each([
	["undefined", undefined, [NOT_SAID, NOT_SAID, NOT_SAID]],
	["a text", "KKK", [NOT_SAID, NOT_SAID, NOT_SAID]],
	["no responses", [], [NOT_SAID, NOT_SAID, NOT_SAID]],
	["too few", [accepted(), rejected("no")], ["Kok", "Dno", NOT_SAID]],
	["too many", [accepted(), rejected("no"), accepted(), accepted("whose?")], ["Kok", "Dno", "Kok"]],
	["one that is none", [accepted(), { status: "ok", description: "" }, accepted()], ["Kok", NOT_SAID, "Kok"]],
	["one without a text", [accepted(), accepted(), { status: "K" }], ["Kok", "Kok", NOT_SAID]],
	["one that is null", [null, accepted(), accepted()], [NOT_SAID, "Kok", "Kok"]],
])("commit that comes to %s is a fault, and who has no answer gets Z", async (_, answers, responses) => {
	for (const commit of [async () => answers, () => answers]) {
		const bench = new Bench({ queue: { commit } });
		expect(await bench.exchange(THREE)).toEqual(responses);
		expect(bench.takeFault().error).toMatchObject({ code: "ERR_QMTP_QUEUE_RESPONSES" });
	}
});

test("the queue's answers go to those recipients that it was given", async () => {
	const recipient = (address: string) => (address === "no" ? rejected("hook") : undefined);
	const commit = async () => [accepted("first"), deferred("second")];
	const bench = new Bench({ hooks: { recipient }, queue: { commit } });
	const responses = await bench.exchange(mail({ recipients: ["no", "a", "\0", "b", "no"] }));
	expect(responses).toEqual([
		"Dhook",
		"Kfirst",
		"Dsorry, I can't handle that recipient (#5.1.3)",
		"Zsecond",
		"Dhook",
	]);
});

describe("timeouts.commit", () => {
	const TOO_LATE = "Zthe message was not stored in time (#4.3.0)";

	const late = async () => {
		vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
		const bench = new Bench({
			queue: { hold: true },
			hooks: { recipient: (a) => (a === "no" ? rejected("no") : undefined) },
		});
		const client = bench.talk();
		client.send(mail({ recipients: ["a", "no"] }) + mail());
		await bench.queue.called("commit", 2);
		bench.queue.commits[1]?.release();
		await turns();
		vi.advanceTimersByTime(590_000);
		await turns();
		expect(client.responses).toEqual([]);
		vi.advanceTimersByTime(20_000);
		vi.useRealTimers();
		expect(await client.receives(3)).toEqual([TOO_LATE, "Dno", "Kok"]);
		const { error, context } = bench.takeFault();
		expect(error).toMatchObject({ name: "QueueError", code: "ERR_QMTP_QUEUE_COMMIT_TIMEOUT" });
		expect(context.message).toBe(bench.queue.commits[0]?.info);
		return { bench, client };
	};

	test("when it has passed the answer is Z, and a late result is dropped", async () => {
		const { bench, client } = await late();
		bench.queue.release();
		client.end(mail());
		await bench.queue.called("commit", 3);
		bench.queue.release();
		expect(await client.all()).toEqual([TOO_LATE, "Dno", "Kok", "Kok"]);
		expect(bench.reports).toHaveLength(3);
		expect(bench.queue.deliveries.map(({ aborts }) => aborts.length)).toEqual([0, 0, 0]);
	});

	test("a late failure is dropped too, and told as a fault", async () => {
		const { bench, client } = await late();
		bench.queue.commits[0]?.fail(new Error("failed late"));
		await bench.faulted();
		expect(bench.takeFaults()).toEqual(["failed late"]);
		client.end();
		expect(await client.all()).toHaveLength(3);
	});

	test("it holds for an abort that hangs, but the refusal stands", async () => {
		vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
		const bench = new Bench({ queue: { abort: () => new Promise(() => {}) } });
		const client = bench.talk();
		client.send(mail({ sender: "\0" }));
		await bench.queue.called("abort");
		vi.advanceTimersByTime(610_000);
		vi.useRealTimers();
		expect(await client.receives(1)).toEqual(["Dunacceptable sender (#5.1.7)"]);
		bench.takeFault();
	});
});
