/** The source of a maildir: what a settle does, what is left after a restart, the lock, and many files. */
import { setMaxListeners } from "node:events";
import { writeFileSync } from "node:fs";
import { mkdir, readdir, rename, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { QueueError } from "../../src/errors.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import { lock } from "../../src/queue/maildir/lock.js";
import { maildirQueue, maildirSource } from "../../src/queue/maildir.js";
import { MailBox, mailFile } from "../support/maildir-box.js";
import { sourceOf } from "../support/maildir-source.js";
import { deliver, noise } from "../support/queue-contract.js";
import { systemError, WatchedFileSystem } from "../support/queue-file-system.js";
import { messageInfo } from "../support/queue-message-info.js";
import { Gate } from "../support/server-signal.js";
import { nextOf, one, recipientsOf, taken } from "../support/source-contract.js";

const K = accepted();
const Z = deferred();
const D = rejected();

describe("a K", () => {
	it("resolves when the file is gone and the folder is synced, which many share", async () => {
		const box = await MailBox.numbered(20);
		const fileSystem = new WatchedFileSystem();
		const source = sourceOf(box, { fileSystem });
		const jobs = [];
		const taking = taken(source);
		for (let count = 0; count < 20; count++) jobs.push(await nextOf(taking));
		const gate = new Gate();
		const calls: string[] = [];
		let removed = 0;
		const allRemoved = new Gate();
		fileSystem.watch({
			async before({ name }) {
				if (name === "fsync") await gate.promise;
			},
			after({ name }) {
				calls.push(name);
				if (name === "unlink" && ++removed === 20) allRemoved.open();
			},
		});
		let settled = 0;
		const settling = jobs.map(async (job, index) => {
			await job.settle([index % 2 === 0 ? K : D]);
			settled++;
		});
		await allRemoved.promise;
		expect(await readdir(join(box.path, "new"))).toEqual([]);
		expect(settled).toBe(0);
		gate.open();
		await Promise.all(settling);
		const syncs = calls.filter((name) => name === "fsync").length;
		expect(syncs).toBeGreaterThanOrEqual(1);
		expect(syncs).toBeLessThan(20);
	});

	it.each(["unlink", "fsync"] as const)(
		"that could not be noted, by %s, rejects, may be said again, and is no reason to deliver again",
		async (failing) => {
			const box = await MailBox.numbered(1);
			const fileSystem = new WatchedFileSystem();
			let now = Date.now();
			const source = sourceOf(box, { fileSystem, now: () => now });
			const job = await one(source);
			const fail = ({ name }: { name: string }) => {
				if (name === failing) throw systemError("EIO");
			};
			fileSystem.watch({ before: fail });
			await expect(job.settle([K])).rejects.toMatchObject({
				code: "ERR_QMTP_QUEUE",
				cause: { code: "EIO" },
			});
			await box.write("new/1790000000.1.host", mailFile("b@example.com"));
			const taking = taken(source, { concurrency: 1 });
			const other = await nextOf(taking);
			expect(other.envelope.recipients).toEqual(["b@example.com"]);
			now += 300_000;
			const waiting = taking.next(); // it fails once more
			await expect(other.settle([K])).rejects.toThrow(QueueError);
			await box.write("new/1790000001.1.host", mailFile("c@example.com"));
			expect((await waiting).value.envelope.recipients).toEqual(["c@example.com"]);
			fileSystem.watch({});
			await job.settle([K]); // late, and it counts
			await (await waiting).value.settle([K]);
			await other.settle([K]);
			await expect(job.settle([K])).rejects.toMatchObject({ code: "ERR_QMTP_ENDED" });
			expect(await box.names()).toEqual([]);
		},
	);

	it("that could not be noted is noted later, when nobody says it again", async () => {
		const box = await MailBox.numbered(2);
		const fileSystem = new WatchedFileSystem();
		let now = Date.now();
		const source = sourceOf(box, { fileSystem, now: () => now });
		fileSystem.watch({
			before({ name }) {
				if (name === "unlink") throw systemError("EROFS");
			},
		});
		for (const response of [K, D])
			await expect((await one(source)).settle([response])).rejects.toThrow(QueueError);
		expect(await box.names()).toHaveLength(2);
		now += 300_000;
		const synced = new Gate();
		let removed = 0;
		fileSystem.watch({
			after({ name }) {
				if (name === "unlink") removed++;
				if (name === "fsync" && removed === 2) synced.open();
			},
		});
		const waiting = taken(source).next();
		await synced.promise;
		expect(await box.names()).toEqual([]);
		await box.write("new/1790000000.1.host", mailFile("b@example.com"));
		expect((await waiting).value.envelope.recipients).toEqual(["b@example.com"]);
	});

	it("removes no file that was written to, or replaced, since it was handed out: that comes anew", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", mailFile("one@example.com"));
		await box.write("new/1790000001.1.host", mailFile("two@example.com", "x\n"));
		const source = sourceOf(box);
		const taking = taken(source);
		const [first, second] = [await nextOf(taking), await nextOf(taking)];
		await box.write("tmp/other", mailFile("other@example.com"));
		await rename(join(box.path, "tmp/other"), join(box.path, "new/1790000000.1.host"));
		await box.write("new/1790000001.1.host", mailFile("two@example.com", "x\nand y\n"));
		await first.settle([K]);
		await second.settle([D]);
		const [other, more] = [await nextOf(taking), await nextOf(taking)];
		expect([other, more].map(({ envelope, size }) => [envelope.recipients[0], size])).toEqual([
			["other@example.com", 2],
			["two@example.com", 8],
		]);
		await other.settle([K]);
		await more.settle([K]);
		expect(await box.names()).toEqual([]);
	});
});

describe("a restart", () => {
	it("has everything tried at once, as if for the first time", async () => {
		const box = await MailBox.numbered(3);
		const first = sourceOf(box);
		const taking = taken(first);
		const jobs = [await nextOf(taking), await nextOf(taking), await nextOf(taking)];
		await jobs[0]?.settle([Z], Date.now() + 3_600_000);
		await jobs[1]?.settle([K]);
		await first.close();
		const second = sourceOf(box);
		const left = [await one(second), await one(second)];
		expect(left.map(({ id, attempts, queuedAt }) => ({ id, attempts, queuedAt }))).toEqual(
			[jobs[0], jobs[2]].map((job) => ({ id: job?.id, attempts: 0, queuedAt: job?.queuedAt })),
		);
	});
});

describe("the lock of a source", () => {
	it("keeps a second source out, and lets it in when the first is closed", async () => {
		const box = await MailBox.numbered(1);
		const [first, second] = [sourceOf(box), sourceOf(box)];
		await Promise.all([first.prepare(), first.prepare()]);
		await expect(taken(second).next()).rejects.toThrow(QueueError);
		await expect(second.prepare()).rejects.toMatchObject({
			message: "maildir is in use (#4.3.0)",
			cause: {
				message: `unable to lock ${box.path}/seriallock: somebody else delivers the mail in this maildir`,
			},
		});
		await first.close();
		await first.close();
		expect((await one(second)).envelope.recipients).toEqual(["p-0@example.com"]);
	});

	it("is had by one of those who try at the same time", async () => {
		const box = await MailBox.numbered(1);
		const sources = Array.from({ length: 5 }, () => sourceOf(box));
		const results = await Promise.allSettled(sources.map((source) => source.prepare()));
		expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
	});

	it("is that of qmtp maildir", async () => {
		const box = await MailBox.numbered(1);
		const held = await lock(join(box.path, "seriallock"), false, new AbortController().signal);
		const source = sourceOf(box);
		await expect(source.prepare()).rejects.toThrow("maildir is in use (#4.3.0)");
		held?.release();
		await source.prepare();
		expect(await lock(join(box.path, "seriallock"), false, new AbortController().signal)).toBeNull();
	});

	it("is told of if it cannot be taken", async () => {
		const box = await MailBox.numbered(1);
		await mkdir(join(box.path, "seriallock"));
		await expect(sourceOf(box).prepare()).rejects.toMatchObject({
			message: "maildir cannot be locked (#4.3.0)",
			cause: { message: expect.stringMatching(/^unable to lock .*\/seriallock: EISDIR/) },
		});
	});
});

describe("a source", () => {
	it.each(["new", "cur", "tmp", ""])(
		"of a directory without %s is refused, and makes nothing",
		async (folder) => {
			const box = await MailBox.create();
			await rm(join(box.path, folder), { recursive: true });
			const source = sourceOf(box);
			await expect(taken(source).next()).rejects.toMatchObject({
				code: "ERR_QMTP_QUEUE",
				message: "maildir is missing or no directory (#4.3.0)",
				cause: {
					message: `${box.path} is no maildir: there is no directory ${folder === "" ? "new" : folder} in it`,
				},
			});
			const there = await readdir(box.path).catch(() => []);
			expect(there).not.toContain("seriallock");
			await maildirQueue({ path: box.path }).prepare();
			await source.prepare();
		},
	);

	it("says when new/ is gone, and goes on when it is back", async () => {
		const box = await MailBox.create();
		const source = sourceOf(box);
		await source.prepare();
		await rename(join(box.path, "new"), join(box.path, "old"));
		await expect(taken(source).next()).rejects.toMatchObject({ cause: { code: "ENOENT" } });
		await rename(join(box.path, "old"), join(box.path, "new"));
		await box.write("new/1790000000.1.host", mailFile("a@example.com"));
		expect(await recipientsOf(source, 1)).toEqual(["a@example.com"]);
	});

	it("hands out what its queue stores, however many loops there are, and each once", async () => {
		const box = await MailBox.create();
		const queue = maildirQueue({ path: box.path });
		const source = sourceOf(box);
		const stop = new AbortController();
		setMaxListeners(0, stop.signal); // one for each loop
		const got: string[] = [];
		const count = 300;
		const loops = Array.from({ length: 12 }, async (_, loop) => {
			for await (const job of source.take({ concurrency: 1 + loop, signal: stop.signal })) {
				const name = job.envelope.recipients[0] as string;
				if (job.attempts === 0 && got.length % 3 === 0) {
					await job.settle([Z], Date.now());
					continue;
				}
				got.push(name);
				await job.settle([K]);
				if (got.length === count) stop.abort();
			}
		});
		for (let number = 0; number < count; number += 50) {
			const recipients = Array.from({ length: 50 }, (_, index) => `${number + index}@example.com`);
			await deliver(queue, [noise(100)], { sender: "", recipients }, messageInfo());
		}
		await Promise.all(loops);
		expect(new Set(got).size).toBe(count);
		expect(await box.names()).toEqual([]);
	});

	it.each([
		{ path: "" },
		{ path: "x", poll: 0 },
		{ path: "x", poll: 2 ** 31 },
		{ path: "x", onSkipped: "log" as never },
		{ path: "x", pol: 5 },
	])("refuses %o", (options) => {
		expect(() => maildirSource(options)).toThrowError(expect.objectContaining({ code: "ERR_QMTP_OPTION" }));
	});

	it("knows of the oldest ten thousand files alone, and comes to the others in time", async () => {
		const box = await MailBox.create();
		const folder = join(box.path, "new");
		const count = 10_050;
		const order = Array.from({ length: count }, (_, index) => (index * 7919) % count);
		for (const number of order) {
			writeFileSync(join(folder, `${1_790_000_000 + number}.1.host`), mailFile(String(number)));
		}
		const source = sourceOf(box, { poll: 1_000_000 }); // it looks again since there was more
		const taking = taken(source, { concurrency: 1 });
		const got: number[] = [];
		for (; got.length < 10; ) {
			const job = await nextOf(taking);
			got.push(Number(job.envelope.recipients[0]));
			await job.settle([K]);
		}
		expect(got).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
		// What it does not know comes when what it knows is used up, here since somebody removed it.
		const names = await readdir(folder);
		await Promise.all(
			names
				.filter((name) => Number(name.split(".")[0]) < 1_790_010_000)
				.map((name) => unlink(join(folder, name))),
		);
		for (; got.length < 60; ) {
			const job = await nextOf(taking);
			got.push(Number(job.envelope.recipients[0]));
			await job.settle([K]);
		}
		expect(got.slice(10)).toEqual(Array.from({ length: 50 }, (_, index) => 10_000 + index));
	});
});
