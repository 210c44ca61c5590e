/** How much the queue that forwards has under way, and who waits for whom. */
import { expect, onTestFinished, test, vi } from "vitest";
import { Memory } from "../../src/queue/forward/memory.js";
import { netstring } from "../support/bytes.js";
import { ScriptedServer } from "../support/client-server.js";
import { forwardTo, openSpools, startFront, startHop } from "../support/forward-hop.js";
import { deliver, noise, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { mail, TestClient } from "../support/server-client.js";
import { Gate, settled, turns } from "../support/server-signal.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };
const LARGE = 300_000;

test("memory is given first come first served, and a large wish is not passed by small ones", async () => {
	const memory = new Memory(10);
	expect(memory.take(10)).toBeUndefined();
	const order: number[] = [];
	const waits = [6, 4, 1].map((bytes) => (memory.take(bytes) as Promise<void>).then(() => order.push(bytes)));
	memory.give(5);
	await turns(1);
	expect(order).toEqual([]);
	memory.give(1);
	await waits[0];
	memory.give(4);
	await waits[1];
	expect(order).toEqual([6, 4]);
	memory.give(1);
	await waits[2];
	expect(order).toEqual([6, 4, 1]);
});

test("a message waits in open while others hold the memory, and a message in commit gives it back", async () => {
	const answer = new Gate();
	const server = await ScriptedServer.start(async (connection) => {
		await answer.promise;
		await connection.answerAll();
	});
	const queue = forwardTo(server.port, { limits: { memory: 1000 } });
	const first = await queue.open(messageInfo({ length: 600 }));
	await first.write(noise(600));
	let opened = false;
	const second = Promise.resolve(queue.open(messageInfo({ length: 300, received: 101 }))).then((delivery) => {
		opened = true;
		return delivery;
	});
	const committing = first.commit(ENVELOPE);
	await (await server.connection()).received();
	await turns();
	expect(opened).toBe(false);
	answer.open();
	expect(statuses(await committing)).toBe("K");
	await (await second).abort(new Error("enough"));
	const third = await queue.open(messageInfo({ length: 1000 }));
	await third.abort(new Error("enough"));
});

test("a message larger than all the memory is streamed or goes to a file, and is not refused", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { limits: { memory: 1000 } });
	for (const length of [5000, undefined]) {
		expect(statuses(await deliver(queue, [noise(5000)], ENVELOPE, messageInfo({ length })))).toBe("K");
	}
	expect(hop.queue.messages.map(({ body }) => body.length)).toEqual([5000, 5000]);
});

test("large messages have no more connections than the limit, and the others wait in open", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { limits: { connections: 2 } });
	const info = () => messageInfo({ length: LARGE });
	const first = [await queue.open(info()), await queue.open(info())];
	let opened = 0;
	const later = [1, 2].map(async () => {
		const delivery = await queue.open(info());
		opened++;
		return delivery;
	});
	await turns();
	expect(opened).toBe(0);
	await first[0]?.abort(new Error("enough"));
	const third = await Promise.race(later);
	await turns();
	expect(opened).toBe(1);
	for (const delivery of [first[1], third]) {
		await delivery?.write(noise(LARGE));
		expect(statuses((await delivery?.commit(ENVELOPE)) ?? [])).toBe("K");
	}
	for (const delivery of await Promise.all(later)) await delivery.abort(new Error("enough"));
	expect(hop.mostConnections).toBeLessThanOrEqual(3); // one that was just ended may still be seen
});

test("a connection that cannot be made gives its place back", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { limits: { connections: 1 } });
	await hop.stop();
	for (let count = 0; count < 3; count++) {
		await expect(Promise.resolve(queue.open(messageInfo({ length: LARGE })))).rejects.toThrow("#4.4.1");
	}
});

test("a large message from a slow sender does not hold up small ones", async () => {
	const hop = await startHop();
	const front = await startFront(forwardTo(hop.port, { limits: { connections: 1 } }), { received: true });
	const slow = await TestClient.connect(front.port);
	slow.send(`${LARGE + 1}:\n${"x".repeat(LARGE - 1)}`);
	const waiting = await TestClient.connect(front.port); // for the only connection
	waiting.send(mail({ message: `\n${"y".repeat(LARGE)}` }));
	await hop.changes.until(() => hop.mostConnections === 1);
	const quick = await TestClient.connect(front.port);
	for (let count = 1; count <= 10; count++) {
		quick.send(mail());
		expect((await quick.receives(count)).at(-1)).toMatch(/^K/);
	}
	expect(waiting.responses).toEqual([]);
	slow.send(`x,${netstring("s")}${netstring(netstring("r"))}`);
	expect(await slow.receives(1)).toEqual([expect.stringMatching(/^K/)]);
	expect(await waiting.receives(1)).toEqual([expect.stringMatching(/^K/)]);
});

test("a next hop that reads slowly makes the sender wait", async () => {
	const server = await ScriptedServer.start((connection) => connection.socket.pause());
	const queue = forwardTo(server.port);
	const delivery = await queue.open(messageInfo({ length: 2 ** 30 }));
	let written = 0;
	const writing = (async () => {
		while (written < 2 ** 30) {
			await delivery.write(noise(65_536));
			written += 65_536;
		}
	})();
	expect(await settled(() => written)).toBeLessThan(64_000_000); // what the system's buffers take
	await delivery.abort(new Error("enough"));
	await expect(writing).rejects.toThrow("write() after");
});

test("an abort of a stored message waits for its file, and leaves none", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port);
	const delivery = await queue.open(messageInfo());
	await delivery.write(noise(200_000));
	const write = delivery.write(noise(2_000_000));
	const abort = delivery.abort(new Error("the client left"));
	await Promise.all([write, abort]);
	expect(openSpools()).toEqual([]);
});

test("a message whose file cannot be made is a Z that says nothing of paths", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port);
	vi.stubEnv("TMPDIR", "/nonexistent");
	onTestFinished(() => void vi.unstubAllEnvs());
	const delivery = await queue.open(messageInfo());
	await delivery.write(noise(200_000));
	const writing = (async () => {
		for (let count = 0; count < 3; count++) await delivery.write(noise(200_000));
	})();
	await expect(writing).rejects.toMatchObject({
		message: "cannot keep the message until it is sent (#4.3.0)",
		cause: { code: "ENOENT" },
	});
	await delivery.abort(new Error("no file"));
});
