/** How an SMTP door closes, and what it does with errors of its sockets. */
import { createServer } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { createSmtpServer } from "../../src/gateway/smtp.js";
import { memoryQueue } from "../../src/queue/memory.js";
import { openDoor } from "../support/gateway-smtp.js";
import { Gate, turns } from "../support/server-signal.js";

describe("close", () => {
	test("clients that send nothing get 421 and are gone, and no more are taken", async () => {
		const { door, client, greeted } = await openDoor();
		const clients = [await client(), await greeted(), await greeted()];
		await clients[2]?.askAll(["MAIL FROM:<>", "RCPT TO:<a@example.com>"]);
		await door.close();
		for (const dialogue of clients) {
			expect(await dialogue.reply()).toBe("421 Server shutting down");
			await dialogue.end();
		}
		const late = await client();
		expect(late.replies).toEqual([]);
	});

	test("a message under way is finished, queued and answered; then its client gets 421", async () => {
		const { door, greeted, queue } = await openDoor({ plan: { hold: true } });
		const dialogue = await greeted();
		await dialogue.envelope();
		dialogue.send("hello\r\n");
		await queue.called("write");
		let closed = false;
		const closing = door.close().then(() => {
			closed = true;
		});
		dialogue.send("world\r\n.\r\nMAIL FROM:<>\r\n");
		await queue.called("commit");
		await turns();
		expect(closed).toBe(false);
		queue.release();
		expect(await dialogue.reply()).toBe("250 ok");
		expect(await dialogue.reply()).toBe("421 Server shutting down");
		await closing;
		expect(queue.commits[0]?.text).toBe("hello\nworld\n");
	});

	test("a hook under way is answered; then its client gets 421", async () => {
		const gate = new Gate<undefined>();
		const asked = new Gate();
		const sender = () => {
			asked.open();
			return gate.promise;
		};
		const { door, greeted } = await openDoor({ hooks: { sender } });
		const dialogue = await greeted();
		const mail = dialogue.ask("MAIL FROM:<>");
		await asked.promise;
		const closing = door.close();
		gate.open(undefined);
		expect(await mail).toBe("250 Accepted");
		expect(await dialogue.reply()).toBe("421 Server shutting down");
		await closing;
	});

	test("what takes longer than it may is cut off, and its delivery is aborted", async () => {
		const { door, greeted, queue } = await openDoor({ timeouts: { close: 20 } });
		const dialogue = await greeted();
		await dialogue.envelope();
		dialogue.send("hello\r\n");
		await queue.called("write");
		const closing = door.close();
		expect(await dialogue.reply()).toMatch(/^421 /);
		await closing;
		await queue.called("abort");
		expect(queue.commits).toEqual([]);
	});

	test("twice is once, and a callback is called", async () => {
		const { door } = await openDoor();
		const callback = vi.fn();
		expect(door.close()).toBe(door.close(callback));
		await door.close();
		await turns(2);
		expect(callback).toHaveBeenCalledTimes(1);
	});

	test("of a door that never listened resolves", async () => {
		await createSmtpServer({ queue: memoryQueue() }).close();
		await createSmtpServer({ queue: memoryQueue() })[Symbol.asyncDispose]();
	});

	test("an idle client gets 421 after its time", async () => {
		const { greeted } = await openDoor({ timeouts: { idle: 1000 } });
		const dialogue = await greeted();
		expect(await dialogue.reply()).toMatch(/^421 Timeout/);
		await dialogue.end();
	});

	test("so does one that stops inside a message, and its delivery is aborted", async () => {
		const { greeted, queue } = await openDoor({ timeouts: { idle: 1000 } });
		const dialogue = await greeted();
		await dialogue.envelope();
		dialogue.send("hello\r\n");
		expect(await dialogue.reply()).toMatch(/^421 Timeout/);
		await queue.called("abort");
	});

	test("a client that waits for a commit is not idle", async () => {
		const { greeted, queue } = await openDoor({
			timeouts: { idle: 1000, commit: 2500 },
			plan: { hold: true },
		});
		expect(await (await greeted()).message()).toBe("451 the message was not stored in time (#4.3.0)");
		queue.release();
	});
});

describe("errors of sockets", () => {
	test("a client that resets its connection inside a message ends nothing but that", async () => {
		const { greeted, queue, faults } = await openDoor();
		const dialogue = await greeted();
		await dialogue.envelope();
		dialogue.send("hello");
		dialogue.socket.resetAndDestroy();
		await queue.called("abort");
		expect(await (await greeted()).message()).toBe("250 ok");
		expect(faults).toEqual([]);
	});

	test("an address that is in use is an error event", async () => {
		const listener = createServer();
		await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
		const door = createSmtpServer({ queue: memoryQueue() });
		const error = new Promise<Error>((resolve) => door.once("error", resolve));
		door.listen((listener.address() as { port: number }).port, "127.0.0.1");
		expect(await error).toMatchObject({ code: "EADDRINUSE" });
		listener.close();
	});

	test("an error that nobody listens to is thrown if nothing listens, as smtp-server does", () => {
		const door = createSmtpServer({ queue: memoryQueue() });
		expect(() => door.emit("error", new Error("in use"))).toThrow("in use");
	});

	test("else it is a fault, and an unheard fault goes to console.error", async () => {
		const write = vi.spyOn(console, "error").mockImplementation(() => {});
		try {
			const { door, faults } = await openDoor();
			door.emit("error", new Error("accept"));
			expect(faults).toMatchObject([{ error: { message: "accept" } }]);
			door.removeAllListeners("fault");
			door.emit("error", new Error("accept"));
			expect(write).toHaveBeenCalledWith("qmtp: fault:", expect.objectContaining({ message: "accept" }));
		} finally {
			write.mockRestore();
		}
	});
});
