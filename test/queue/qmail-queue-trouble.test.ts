/** Children that read too little, too slowly or too long, and messages that are thrown away. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { QmailQueue } from "../../src/queue/qmail-queue.js";
import type { Delivery } from "../../src/queue/queue.js";
import { bytesOf } from "../support/bytes.js";
import { cut, deliver, noise, statuses, writeUntilWait } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { children, descriptors, isAlive, QmailHome, READ_ALL } from "../support/queue-qmail.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };
const PIECE = 16_384;
const LEFT = new Error("the client left");

let home: QmailHome;
let before: number;
beforeEach(() => {
	home = new QmailHome();
	before = descriptors();
});
afterEach(async () => {
	await home.remove();
	expect(children()).toEqual([]);
	expect(descriptors()).toBeLessThanOrEqual(before);
});

async function open(queue: QmailQueue): Promise<Delivery> {
	return await queue.open(messageInfo());
}

async function answer(queue: QmailQueue, size: number): Promise<string> {
	const [response] = await deliver(queue, cut(noise(size), 65_536), ENVELOPE);
	return `${response?.status}${response?.description}`;
}

describe("a child that dies early", () => {
	const REJECTED = "Dmail server permanently rejected message (#5.3.0)";
	const READ_ERROR = "Zqq read error (#4.3.0)";
	const sizes = [0, 1, 1024 * 1024, 5 * 1024 * 1024];

	it.each(sizes)("has its exit code count, though it read nothing of %i bytes", async (size) => {
		expect(await answer(home.queue("exit 31"), size)).toBe(REJECTED);
	});

	it.each(sizes)("has its exit code count, though it read only a part of %i bytes", async (size) => {
		expect(await answer(home.queue("head -c 300000 >/dev/null; exit 31"), size)).toBe(REJECTED);
	});

	it("has its text count", async () => {
		const queue = home.queue("printf Dvirus >&6; exit 82");
		expect(await answer(queue, 1024 * 1024)).toBe("Dvirus");
	});

	it.each(sizes)("cannot say that it took %i bytes of which it read nothing", async (size) => {
		const queue = home.queue("exit 0");
		for (let count = 0; count < 10; count++) expect(await answer(queue, size)).toBe(READ_ERROR);
	});

	it.each(sizes)("cannot say that it took %i bytes without their envelope", async (size) => {
		const queue = home.queue("cat >/dev/null; exit 0");
		for (let count = 0; count < 10; count++) expect(await answer(queue, size)).toBe(READ_ERROR);
	});

	it("cannot say that it took a message with a part of its envelope", async () => {
		const queue = home.queue("cat >/dev/null; head -c 1000 <&1 >/dev/null; exit 0");
		const recipients = Array.from({ length: 1000 }, (_, number) => `r${number}@example.com`);
		const responses = await deliver(queue, [bytesOf("x\n")], { sender: "", recipients });
		expect(responses).toEqual(recipients.map(() => ({ status: "Z", description: READ_ERROR.substring(1) })));
	});

	it("cannot say that it took a large message if it reads only the envelope, which is empty then", async () => {
		const queue = home.queue("exec 0<&-; cat <&1 >envelope; exit 0");
		expect(await answer(queue, 1024 * 1024)).toBe(READ_ERROR);
		expect(await home.text("envelope")).toBe("");
	});

	it("makes no write fail or wait any more", async () => {
		const queue = home.queue("exit 31");
		const delivery = await open(queue);
		await writeUntilWait(delivery, () => noise(PIECE), 1000).wait;
		expect(writeUntilWait(delivery, () => noise(PIECE), 1000)).toEqual({ wait: undefined, writes: 1000 });
		expect(statuses(await delivery.commit(ENVELOPE))).toBe("D");
	});

	it("may be aborted", async () => {
		const queue = home.queue("exit 31");
		const delivery = await open(queue);
		await writeUntilWait(delivery, () => noise(PIECE), 1000).wait;
		await delivery.abort(LEFT);
	});
});

describe("a child that reads slowly", () => {
	it("makes a write wait when the pipe is full, so that memory is bounded", async () => {
		const gate = home.gate("gate");
		const queue = home.queue("read -r line <gate; cat >body; cat <&1 >/dev/null");
		const delivery = await open(queue);
		const body = cut(noise(3_000_000), PIECE);
		const { wait, writes } = writeUntilWait(delivery, () => body[0] as Uint8Array, 1000);
		expect(wait).toBeInstanceOf(Promise);
		expect(writes * PIECE).toBeLessThan(1024 * 1024);
		await gate.open();
		await wait;
		for (const piece of body) await delivery.write(piece);
		expect(statuses(await delivery.commit(ENVELOPE))).toBe("K");
		expect((await home.text("body")).length).toBe(writes * PIECE + 3_000_000);
	});

	it("makes no write wait while it keeps up", async () => {
		const queue = home.queue("while read -r line; do echo >>lines; done; cat <&1 >/dev/null");
		const delivery = await open(queue);
		expect(delivery.write(bytesOf(`${"x".repeat(65_535)}\n`))).toBeUndefined();
		await home.line("lines");
		expect(delivery.write(bytesOf(`${"x".repeat(65_535)}\n`))).toBeUndefined();
		expect(statuses(await delivery.commit(ENVELOPE))).toBe("K");
	});

	it("has its time anew for each piece of a large write", async () => {
		const slowly = "for piece in 1 2 3 4 5 6 7 8 9; do head -c 262144 >/dev/null; sleep 0.2; done";
		const queue = home.queue(`${slowly}; cat >/dev/null; cat <&1 >/dev/null`, { timeout: 1500 });
		expect(statuses(await deliver(queue, [noise(3_000_000)], ENVELOPE))).toBe("K");
	});
});

describe("a child that keeps us waiting", () => {
	const TIMEOUT = expect.objectContaining({
		name: "QueueError",
		code: "ERR_QMTP_QUEUE",
		message: "qq timeout (#4.3.0)",
		cause: expect.objectContaining({ message: expect.stringContaining("SIGKILL") }),
	});

	it.each([
		["does not read", ""],
		["ignores all signals", "trap '' TERM INT HUP QUIT"],
	])("is killed with what it started: it %s", async (_, first) => {
		const queue = home.queue(
			`${first}\nsleep 600 & echo $! >other; echo $$ >pid; while :; do sleep 600; done`,
			{
				timeout: 200,
			},
		);
		const delivery = await open(queue);
		const pids = [Number(await home.line("pid")), Number(await home.line("other"))];
		const { wait } = writeUntilWait(delivery, () => noise(PIECE), 1000);
		expect(pids.map(isAlive)).toEqual([true, true]);
		await wait;
		expect(writeUntilWait(delivery, () => noise(PIECE), 1000)).toEqual({ wait: undefined, writes: 1000 });
		await expect(delivery.commit(ENVELOPE)).rejects.toThrow(TIMEOUT);
		expect(pids.map(isAlive)).toEqual([false, false]);
	});

	it("is killed while a large write waits", async () => {
		const queue = home.queue("exec sleep 600", { timeout: 200 });
		await expect(deliver(queue, [noise(3_000_000)], ENVELOPE)).rejects.toThrow(TIMEOUT);
	});

	it.each([
		["the rest of the message", "sleep 600", 100_000],
		["the envelope", "cat >/dev/null; sleep 600", 100_000],
		["its own end", `${READ_ALL}; echo >end; sleep 600`, 10],
		[
			"its own end, with its pipes closed",
			"cat >/dev/null; cat <&1 >/dev/null; exec <&- >&- 6>&-; sleep 600",
			10,
		],
	])("is killed after the commit: for %s", async (_, script, size) => {
		const queue = home.queue(`echo $$ >pid; ${script}`, { timeout: 200 });
		const delivery = await open(queue);
		const pid = Number(await home.line("pid"));
		await delivery.write(noise(size));
		await expect(delivery.commit(ENVELOPE)).rejects.toThrow(TIMEOUT);
		expect(isAlive(pid)).toBe(false);
	});

	it("may be aborted when it was killed", async () => {
		const queue = home.queue("exec sleep 600", { timeout: 200 });
		const delivery = await open(queue);
		await writeUntilWait(delivery, () => noise(PIECE), 1000).wait;
		await delivery.abort(LEFT);
	});

	it("has its time only while we wait for it, and not for the client", async () => {
		const queue = home.queue(READ_ALL, { timeout: 1000 });
		const slow = home.queue("", { command: home.script("slow", "exec sleep 600"), timeout: 1300 });
		const delivery = await open(queue);
		await delivery.write(bytesOf("x\n"));
		await expect(deliver(slow, [bytesOf("x\n")], ENVELOPE)).rejects.toThrow(TIMEOUT); // meanwhile
		await delivery.write(bytesOf("y\n"));
		expect(statuses(await delivery.commit(ENVELOPE))).toBe("K");
	});
});

describe("a child that leaves its pipes to another", () => {
	it("has ended a second after its exit", async () => {
		const queue = home.queue(`${READ_ALL}; sleep 600 & echo $! >other; printf Dtext >&6; exit 82`);
		expect(await answer(queue, 10)).toBe("Dtext");
		const other = Number(await home.line("other"));
		expect(isAlive(other)).toBe(true); // its group may be another's by now, so nobody kills it
		process.kill(other, "SIGKILL");
	});
});

describe("an abort", () => {
	const CLEAN = "cat >body; cat <&1 >envelope; echo cleaned >end; exit 54";

	it.each([0, 1, 10])(
		"lets the child clean up: it sees the end of both pipes, after %i writes",
		async (count) => {
			const queue = home.queue(CLEAN);
			const delivery = await open(queue);
			for (let number = 0; number < count; number++) await delivery.write(noise(PIECE));
			await delivery.abort(LEFT);
			expect(await home.text("end")).toBe("cleaned\n");
			expect(await home.text("envelope")).toBe("");
		},
	);

	it("cuts a write that waits, and lets it go", async () => {
		const gate = home.gate("gate");
		const queue = home.queue(`read -r line <gate; ${CLEAN}`);
		const delivery = await open(queue);
		const { wait } = writeUntilWait(delivery, () => noise(PIECE), 1000);
		const aborted = delivery.abort(LEFT);
		await wait; // before the child reads anything
		await gate.open();
		await aborted;
		expect(await home.text("envelope")).toBe("");
	});

	it("cuts a large write that waits, and all of it that is still to come", async () => {
		const gate = home.gate("gate");
		const queue = home.queue(`read -r line <gate; ${CLEAN}`);
		const delivery = await open(queue);
		const wait = delivery.write(noise(5_000_000));
		const aborted = delivery.abort(LEFT);
		await wait;
		await gate.open();
		await aborted;
		expect((await home.text("body")).length).toBeLessThan(1_000_000);
	});

	it("kills a child that does not end, with what it has started", async () => {
		const queue = home.queue("trap '' TERM; sleep 600 & echo $! >other; echo $$ >pid; wait");
		const delivery = await open(queue);
		const pids = [Number(await home.line("pid")), Number(await home.line("other"))];
		await delivery.abort(LEFT);
		expect(pids.map(isAlive)).toEqual([false, false]);
	});

	it("kills it even if a write was waiting", async () => {
		const queue = home.queue("exec sleep 600");
		const delivery = await open(queue);
		const { wait } = writeUntilWait(delivery, () => noise(PIECE), 1000);
		await Promise.all([delivery.abort(LEFT), delivery.abort(LEFT), wait]);
		await delivery.abort(LEFT);
	});

	it("does nothing once the commit was called", async () => {
		const gate = home.gate("gate");
		const queue = home.queue(`${READ_ALL}; read -r line <gate`);
		const delivery = await open(queue);
		await delivery.write(bytesOf("x\n"));
		const committed = delivery.commit(ENVELOPE);
		await delivery.abort(LEFT);
		await gate.open();
		expect(statuses(await committed)).toBe("K");
		await delivery.abort(LEFT);
	});

	it("may come for a message that had to wait for its turn", async () => {
		const queue = home.queue(CLEAN, { concurrency: 1 });
		const first = await open(queue);
		const second = open(queue);
		await first.abort(LEFT);
		await (await second).abort(LEFT);
	});
});
