/** What a spool refuses, and what it clears away. */
import { mkdir, rm, statfs, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.js";
import { accepted } from "../../src/protocol/response.js";
import { spoolQueue } from "../../src/queue/spool.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { all, TestSpool } from "../support/queue-spool.js";

const ENVELOPE = { sender: "s@example.org", recipients: ["a@example.com"] };
const NOBODY = 99_999_999; // no process has this number: the largest that Linux gives is 4194304

let spool: TestSpool;
beforeEach(async () => {
	spool = await TestSpool.create();
});
afterEach(() => spool.remove());

describe("the limits", () => {
	it("refuse a body that is too large, at its length and as it comes", async () => {
		const queue = spool.queue({ maxBytesPerMessage: 1000 });
		await deliver(queue, [noise(1000)], ENVELOPE, messageInfo({ length: 1000 }));
		const tooLarge = expect.objectContaining({ permanent: true, message: "message too large (#5.3.4)" });
		expect(() => queue.open(messageInfo({ length: 1001 }))).toThrow(tooLarge);
		await expect(deliver(queue, [noise(1000), noise(1)], ENVELOPE)).rejects.toEqual(tooLarge);
		await queue.open(messageInfo({ length: 1001, exact: false })); // it may shrink
		expect(await queue.stats()).toMatchObject({ messages: 1 });
	});

	it("take as many recipients as they allow, and have the others come again", async () => {
		const queue = spool.queue({ maxRecipients: 2 });
		const recipients = ["a", "b", "c", "d"];
		const responses = await deliver(queue, [bytesOf("x\n")], { sender: "", recipients });
		expect(statuses(responses)).toBe("KKZZ");
		expect(responses[2]?.description).toContain("#4.5.3");
		expect((await spool.stored()).map(({ recipient }) => recipient)).toEqual(["a", "b"]);
	});

	it("count a large body once against the disk, which has it already when it is committed", async () => {
		await mkdir(spool.path);
		const { bavail, bsize } = await statfs(spool.path);
		const size = 64 * 1024 * 1024;
		const queue = spool.queue({ minFree: bavail * bsize - 1.5 * size });
		const pieces = Array.from({ length: 64 }, () => noise(size / 64));
		const responses = await deliver(queue, pieces, ENVELOPE, messageInfo({ length: size }));
		expect(statuses(responses)).toBe("K");
	});

	it("refuse a message whose body somebody has removed before it was stored", async () => {
		const queue = spool.queue();
		const delivery = await queue.open(messageInfo());
		await delivery.write(noise(400_000));
		while ((await spool.bodies()).length === 0) await new Promise((resolve) => setImmediate(resolve));
		for (const name of await spool.bodies()) await rm(join(spool.path, "bodies", name));
		await expect(delivery.commit(ENVELOPE)).rejects.toMatchObject({
			code: "ERR_QMTP_QUEUE",
			permanent: false,
		});
		expect(await queue.stats()).toMatchObject({ messages: 0 });
	});

	it("refuse addresses that cannot be encoded or are longer than any", async () => {
		const queue = spool.queue();
		const recipients = ["ok@example.com", "\ud800@example.com", "x".repeat(70_000)];
		const responses = await deliver(queue, [noise(300_000)], { sender: "", recipients });
		expect(statuses(responses)).toBe("KDD");
		expect(responses[1]?.description).toContain("#5.1.3");
		const refused = await deliver(queue, [noise(300_000)], { sender: "\udc00", recipients });
		expect(statuses(refused)).toBe("DDD");
		expect(refused[0]?.description).toContain("#5.1.7");
		expect((await spool.stored()).map(({ recipient }) => recipient)).toEqual(["ok@example.com"]);
		expect(await spool.leftOvers()).toEqual([]);
	});

	it("bound an envelope as a whole", async () => {
		const recipients = Array.from({ length: 100 }, (_, number) => `${number}${"x".repeat(60_000)}`);
		const told = statuses(await deliver(spool.queue(), [bytesOf("x\n")], { sender: "", recipients }));
		expect(told).toMatch(/^K{60,}Z{25,}$/);
	});

	it("have the spool take no more than maxBytes, and more again when mail was taken out", async () => {
		const queue = spool.queue({ maxBytes: 1_000_000 });
		for (let count = 0; count < 3; count++) await deliver(queue, [noise(300_000)], ENVELOPE);
		const full = { code: "ERR_QMTP_QUEUE_FULL", message: "insufficient disk space (#4.3.1)" };
		await expect(deliver(queue, [noise(300_000)], ENVELOPE)).rejects.toMatchObject(full);
		expect(() => queue.open(messageInfo({ length: 300_000 }))).toThrow(expect.objectContaining(full));
		expect(await spool.leftOvers()).toEqual([]);
		for (const { id } of await all(queue)) expect(await queue.remove(id)).toBe("done");
		expect(await queue.stats()).toEqual({ messages: 0, due: 0, bytes: 0 });
		const again = spool.queue({ maxBytes: 1_000_000 }); // the first looks once a second
		expect(statuses(await deliver(again, [noise(300_000)], ENVELOPE))).toBe("K");
	});

	it("leave minFree bytes of the disk free", async () => {
		const queue = spool.queue({ minFree: Number.MAX_SAFE_INTEGER });
		const full = { code: "ERR_QMTP_QUEUE_FULL" };
		await expect(deliver(queue, [bytesOf("x\n")], ENVELOPE)).rejects.toMatchObject(full);
	});

	it("leave nothing of a message whose id is there, whoever looks", async () => {
		let time = 1000;
		const queue = spool.queue({ now: () => time });
		await deliver(queue, [bytesOf("first\n")], ENVELOPE, messageInfo({ id: "7" }));
		time = 2000;
		await expect(deliver(queue, [noise(10)], ENVELOPE, messageInfo({ id: "7" }))).rejects.toThrow("#4.3.0");
		expect(await all(queue)).toHaveLength(1);
		const jobs = queue.take();
		const { value: job } = await jobs.next();
		expect(job).toMatchObject({ id: "7", queuedAt: 1000 });
		await job?.settle([accepted()]);
		const none = jobs.next(); // looks for more, and comes upon the other's place
		while ((await queue.stats()).due > 0) await new Promise(setImmediate);
		expect(await queue.stats()).toMatchObject({ messages: 0 });
		await queue.close();
		expect(await none).toEqual({ done: true, value: undefined });
	});

	it("refuse an id that is there, and one that is none", async () => {
		const queue = spool.queue();
		const info = messageInfo();
		await deliver(queue, [bytesOf("first\n")], ENVELOPE, info);
		await expect(deliver(queue, [bytesOf("second\n")], ENVELOPE, info)).rejects.toThrow("#4.3.0");
		const twice = await Promise.allSettled(
			[1, 2].map(() => deliver(queue, [noise(300_000)], ENVELOPE, messageInfo({ id: "77" }))),
		);
		expect(twice.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
		expect((await spool.stored()).map(({ body }) => body.length)).toEqual([6, 300_000]);
		for (const id of ["", "x", "../1", "1".repeat(101)]) {
			expect(() => queue.open(messageInfo({ id }))).toThrow("#5.3.0");
		}
	});

	it.each([
		{ path: "" },
		{ path: "a\0b" },
		{ maxBytesPerMessage: 0 },
		{ maxRecipients: 1.5 },
		{ maxBytes: -1 },
		{ minFree: -1 },
		{ lease: 0 },
		{ poll: 2 ** 31 },
		{ lines: "lf" },
	])("refuse the options %o", (options) => {
		expect(() => spoolQueue({ path: "x", ...options })).toThrow(UsageError);
	});
});

describe("a spool of another form", () => {
	it("is not opened, and what is in it stays", async () => {
		await spool.queue().prepare();
		await spool.remake();
		const cause = expect.objectContaining({ message: expect.stringMatching(/must empty it$/) });
		const wrong = { code: "ERR_QMTP_QUEUE", cause };
		await expect(spool.queue().prepare()).rejects.toMatchObject(wrong);
	});
});

describe("the bodies that crashed deliveries left", () => {
	it("stay while nobody can say whose they are, and keep no spool from being opened", async () => {
		const queue = spool.queue();
		await deliver(queue, [bytesOf("x\n")], ENVELOPE, messageInfo({ id: "1" }));
		await queue.close();
		await spool.damage("1", "messages");
		const name = `1.P${NOBODY}`;
		await writeFile(join(spool.path, "bodies", name), "x");
		expect(await spool.queue().stats()).toMatchObject({ messages: 1 });
		expect(await spool.bodies()).toEqual([name]);
	});

	const old = new Date(Date.now() - 37 * 60 * 60 * 1000);

	it("are removed when the spool is opened, and no others", async () => {
		const queue = spool.queue();
		await deliver(queue, [noise(300_000)], ENVELOPE, messageInfo({ id: "500" }));
		const delivery = await queue.open(messageInfo({ id: "501" }));
		await delivery.write(noise(300_000));
		await delivery.write(noise(1));
		await queue.close(); // with a delivery under way, as no program should; its file stays
		const bodies = join(spool.path, "bodies");
		for (const name of [`1.P${NOBODY}`, `2.P${process.ppid}`, "notes.txt", "old.txt"]) {
			await writeFile(join(bodies, name), "x");
		}
		await writeFile(join(bodies, `3.P${process.ppid}`), "x");
		for (const name of [`3.P${process.ppid}`, "old.txt", `500.P${process.pid}`]) {
			await utimes(join(bodies, name), old, old);
		}
		await mkdir(join(bodies, "directory"));
		await spool.queue().prepare();
		expect((await spool.bodies()).sort()).toEqual(
			[`2.P${process.ppid}`, `500.P${process.pid}`, `501.P${process.pid}`, "directory", "notes.txt"].sort(),
		);
		await delivery.abort(new Error("too late"));
		expect(await spool.bodies()).toHaveLength(4);
		expect((await spool.stored()).map(({ body }) => body.length)).toEqual([300_000]);
	});

	it("are those of an earlier process of our number, too", async () => {
		const queue = spool.queue();
		await queue.prepare();
		await queue.close();
		const path = join(spool.path, "bodies", `1.P${process.pid}`);
		await writeFile(path, "x");
		const before = new Date(Date.now() - process.uptime() * 1000 - 60_000);
		await utimes(path, before, before);
		await spool.queue().prepare();
		expect(await spool.bodies()).toEqual([]);
	});
});

describe("the directory", () => {
	it("is made when it is missing, and one that cannot be is a fault that says so", async () => {
		await spool.queue({ path: join(spool.path, "deep", "down") }).prepare();
		await writeFile(join(spool.path, "file"), "");
		const queue = spool.queue({ path: join(spool.path, "file", "spool") });
		await expect(queue.prepare()).rejects.toMatchObject({
			message: "spool is missing or no directory (#4.3.0)",
			cause: expect.objectContaining({ code: "ENOTDIR" }),
		});
	});

	it("is refused when its database is none", async () => {
		await mkdir(spool.path);
		await writeFile(join(spool.path, "spool.mdb"), noise(100_000));
		await expect(spool.queue().prepare()).rejects.toMatchObject({ code: "ERR_QMTP_QUEUE" });
	});
});
