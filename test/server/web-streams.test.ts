/** Sessions over a pair of Web Streams. */
import { describe, expect, test } from "vitest";
import { bytesOf, textOf } from "../support/bytes.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { Gate, Signal, settled, turns } from "../support/server-signal.js";
import { webPair } from "../support/server-streams.js";

/** A pair whose two ends the test holds. */
function pair(writableStrategy: QueuingStrategy<Uint8Array> = {}) {
	const changes = new Signal();
	const written: string[] = [];
	const canceled: unknown[] = [];
	let input!: ReadableStreamDefaultController<Uint8Array>;
	let output!: WritableStreamDefaultController;
	let pulls = 0;
	const state = { closed: false, aborted: false, gate: undefined as Gate | undefined };
	const readable = new ReadableStream<Uint8Array>(
		{
			start: (controller) => {
				input = controller;
			},
			pull: () => {
				pulls++;
			},
			cancel: (reason) => void canceled.push(reason),
		},
		{ highWaterMark: 0 },
	);
	const writable = new WritableStream<Uint8Array>(
		{
			start: (controller) => {
				output = controller;
			},
			write: (chunk) => {
				written.push(textOf(chunk));
				changes.notify();
				return state.gate?.promise;
			},
			close: () => {
				state.closed = true;
				changes.notify();
			},
			abort: () => {
				state.aborted = true;
				changes.notify();
			},
		},
		writableStrategy,
	);
	const send = (text: string) => input.enqueue(bytesOf(text));
	return { readable, writable, input, output, send, written, canceled, state, changes, pulls: () => pulls };
}

const K = "3:Kok,";

test("a client that sends, half-closes and reads gets its answers", async () => {
	const bench = new Bench({ queue: { hold: true } });
	const [streams, theirs] = webPair();
	const served = bench.serve(streams);
	const client = bench.client(theirs);
	client.end(mail() + mail());
	await bench.queue.called("commit", 2);
	bench.queue.release();
	expect(await client.all()).toEqual(["Kok", "Kok"]);
	await served;
	expect(bench.disconnects[0]).not.toHaveProperty("error");
});

test("our direction is closed behind the answers, and both streams are let go", async () => {
	const bench = new Bench();
	const ends = pair();
	const served = bench.serve(ends);
	ends.send("");
	ends.send(mail());
	await ends.changes.until(() => ends.written.length === 1);
	ends.input.close();
	await served;
	expect(ends.written).toEqual([K]);
	expect(ends.state).toMatchObject({ closed: true, aborted: false });
});

test("a protocol error answers what came before it, and what still comes is read until the client closes", async () => {
	const bench = new Bench();
	const ends = pair();
	const served = bench.serve(ends);
	ends.send(`${mail()}x`);
	await ends.changes.until(() => ends.state.closed);
	expect(ends.written).toEqual([K]);
	ends.send(mail());
	await turns();
	ends.input.close();
	await served;
	expect(bench.queue.count("open")).toBe(1);
	expect(ends.canceled).toEqual([]);
	expect(bench.disconnects[0]?.error).toMatchObject({ name: "ProtocolError" });
});

test("close() ends the session behind the package under way", async () => {
	const bench = new Bench();
	const [streams, theirs] = webPair();
	bench.serve(streams);
	const client = bench.client(theirs);
	client.send(mail() + mail().slice(0, 20));
	await client.receives(1);
	const closed = bench.server.close();
	client.send(mail().slice(20) + mail());
	expect(await client.all()).toEqual(["Kok", "Kok"]);
	await closed;
});

test("destroy() cancels one stream and aborts the other", async () => {
	const bench = new Bench();
	const ends = pair();
	const served = bench.serve(ends);
	ends.send(mail().slice(0, 20));
	await bench.queue.called("write");
	bench.server.destroy();
	await served;
	await turns();
	expect(ends.canceled).toHaveLength(1);
	expect(ends.state).toMatchObject({ closed: false, aborted: true });
	expect(bench.queue.count("abort")).toBe(1);
});

describe("an error", () => {
	test("of the readable inside a package ends the session as a client that left", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const ends = pair();
		const served = bench.serve(ends);
		ends.send(mail() + mail().slice(0, 20));
		await bench.queue.called("write", 2);
		ends.input.error(new Error("cable"));
		await bench.queue.called("abort");
		bench.queue.release();
		await served;
		expect(bench.disconnects[0]).toMatchObject({ packages: 1, error: { message: "cable" } });
	});

	test.each([
		["before anything was written", 0],
		["behind an answer", 1],
	])("of the writable ends it too, since nothing can be answered any more: %s", async (_, answers) => {
		const bench = new Bench();
		const ends = pair();
		const served = bench.serve(ends);
		if (answers === 1) {
			ends.send(mail());
			await ends.changes.until(() => ends.written.length === 1);
		}
		ends.output.error(new Error("cable"));
		await served;
		expect(bench.disconnects[0]).toMatchObject({ packages: answers, error: { message: "cable" } });
		expect(ends.canceled).toHaveLength(1);
	});

	test("of a write ends it, and what comes is not stored", async () => {
		const bench = new Bench();
		const ends = pair();
		ends.state.gate = new Gate();
		const served = bench.serve(ends);
		ends.send(mail());
		await ends.changes.until(() => ends.written.length === 1);
		ends.state.gate.fail(new Error("cable"));
		await served;
		expect(bench.disconnects[0]?.error).toMatchObject({ message: "cable" });
		expect(bench.queue.commits).toHaveLength(1);
	});

	test("may be no Error", async () => {
		const bench = new Bench();
		const ends = pair();
		const served = bench.serve(ends);
		ends.input.error("text");
		await served;
		expect(bench.disconnects[0]?.error).toBeInstanceOf(Error);
	});

	test("of both leaves nothing unhandled", async () => {
		const bench = new Bench();
		const ends = pair();
		const served = bench.serve(ends);
		ends.send(mail());
		await ends.changes.until(() => ends.written.length === 1);
		ends.input.error(new Error("in"));
		ends.output.error(new Error("out"));
		await served;
		await turns();
	});
});

describe("backpressure", () => {
	test("nothing is pulled while a package is waited for", async () => {
		const gate = new Gate();
		const bench = new Bench({ queue: { write: () => gate.promise } });
		const ends = pair();
		bench.serve(ends);
		ends.send("1001:\nxxx");
		await bench.queue.called("write");
		const pulls = ends.pulls();
		ends.send("x".repeat(500));
		expect(await settled(ends.pulls)).toBe(pulls);
		expect(bench.queue.count("write")).toBe(1);
		gate.open();
		await bench.queue.called("write", 2);
	});

	test("a writable that does not keep up stops the reading, and goes on when it does", async () => {
		const bench = new Bench();
		const ends = pair(new ByteLengthQueuingStrategy({ highWaterMark: 10 }));
		const gate = new Gate();
		ends.state.gate = gate;
		const served = bench.serve(ends);
		for (let sent = 0; sent < 100; sent++) ends.send(mail());
		ends.input.close();
		expect(await settled(() => bench.queue.commits.length)).toBeLessThan(10);
		ends.state.gate = undefined;
		gate.open();
		await served;
		expect(ends.written.join("")).toBe(K.repeat(100));
	});
});
