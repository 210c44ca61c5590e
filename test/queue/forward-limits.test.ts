/** How much the queue that forwards has under way, and who waits for whom. */
import { expect, onTestFinished, test, vi } from "vitest";
import { Memory } from "../../src/queue/forward/memory.js";
import { netstring } from "../support/bytes.js";
import { ScriptedServer } from "../support/client-server.js";
import { forwardTo, openSpools, startFront, startHop } from "../support/forward-hop.js";
import { deliver, noise, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { mail, TestClient } from "../support/server-client.js";
import { settled } from "../support/server-signal.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };
const LARGE = 300_000;

test("memory is given while there is some, and what was given back can be taken again", () => {
	const memory = new Memory(10);
	expect([memory.take(6), memory.take(5), memory.take(4), memory.take(1)]).toEqual([
		true,
		false,
		true,
		false,
	]);
	memory.give(6);
	expect([memory.take(7), memory.take(6)]).toEqual([false, true]);
});

test("a message does not wait for memory that others hold: it goes to a file, and out before them", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { limits: { memory: 1000 } });
	const slow = await queue.open(messageInfo({ length: 1000 }));
	await slow.write(noise(10));
	for (const length of [300, undefined]) {
		const quick = await queue.open(messageInfo({ length }));
		await quick.write(noise(300));
		await vi.waitFor(() => expect(openSpools()).toHaveLength(1));
		expect(statuses(await quick.commit(ENVELOPE))).toBe("K");
		expect(openSpools()).toEqual([]);
	}
	await slow.write(noise(990));
	expect(statuses(await slow.commit(ENVELOPE))).toBe("K");
	expect(hop.queue.messages.map(({ body }) => body.length)).toEqual([300, 300, 1000]);
});

test("a message larger than all the memory is streamed or goes to a file, and is not refused", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { limits: { memory: 1000 } });
	for (const length of [5000, undefined]) {
		expect(statuses(await deliver(queue, [noise(5000)], ENVELOPE, messageInfo({ length })))).toBe("K");
	}
	expect(hop.queue.messages.map(({ body }) => body.length)).toEqual([5000, 5000]);
});

test("large messages have no more connections than the limit while they arrive; the others are stored and do not wait", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { limits: { connections: 2 } });
	const info = () => messageInfo({ length: LARGE });
	const slow = [await queue.open(info()), await queue.open(info())];
	for (const delivery of slow) await delivery.write(noise(10));
	for (let count = 0; count < 3; count++) {
		expect(statuses(await deliver(queue, [noise(LARGE)], ENVELOPE, info()))).toBe("K");
	}
	expect(hop.mostConnections).toBe(3); // two for the slow ones, and one that the stored ones shared
	for (const delivery of slow) {
		await delivery.write(noise(LARGE - 10));
		expect(statuses(await delivery.commit(ENVELOPE))).toBe("K");
	}
});

test("a connection that cannot be made gives its place back", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { limits: { connections: 1 } });
	await hop.stop();
	for (let count = 0; count < 3; count++) {
		await expect(Promise.resolve(queue.open(messageInfo({ length: LARGE })))).rejects.toThrow("#4.4.1");
	}
});

test("a large message from a slow sender holds up neither small ones nor large ones", async () => {
	const hop = await startHop();
	const front = await startFront(forwardTo(hop.port, { limits: { connections: 1 } }), { received: true });
	const slow = await TestClient.connect(front.port);
	slow.send(`${LARGE + 1}:\n${"x".repeat(LARGE - 1)}`);
	await hop.changes.until(() => hop.mostConnections === 1); // the only one for large messages
	const large = await TestClient.connect(front.port);
	large.send(mail({ message: `\n${"y".repeat(LARGE)}` }));
	expect(await large.receives(1)).toEqual([expect.stringMatching(/^K/)]);
	const quick = await TestClient.connect(front.port);
	for (let count = 1; count <= 10; count++) {
		quick.send(mail());
		expect((await quick.receives(count)).at(-1)).toMatch(/^K/);
	}
	slow.send(`x,${netstring("s")}${netstring(netstring("r"))}`);
	expect(await slow.receives(1)).toEqual([expect.stringMatching(/^K/)]);
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
