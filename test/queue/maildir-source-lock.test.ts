/** The lock of a maildir's source: copies of the module, threads, and a lock whose file is another one by now. */
import { spawnSync } from "node:child_process";
import { cp, mkdir, mkdtemp, rename, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it, onTestFinished } from "vitest";
import { QueueError } from "../../src/errors.js";
import { accepted, deferred } from "../../src/protocol/response.js";
import { lock } from "../../src/queue/maildir/lock.js";
import { MailBox, mailFile } from "../support/maildir-box.js";
import { sourceOf } from "../support/maildir-source.js";
import { nextOf, one, taken } from "../support/source-contract.js";

const DIST = new URL("../../dist/", import.meta.url);
const K = accepted();
const IN_USE = "maildir is in use (#4.3.0)";
const LOST = "maildir is locked no more (#4.3.0)";

/** The package a second time. */
async function copyOfDist(): Promise<URL> {
	const directory = await mkdtemp(join(tmpdir(), "qmtp-copy-"));
	onTestFinished(() => rm(directory, { recursive: true }));
	for (const name of ["dist", "src"])
		await cp(new URL(`../${name}`, DIST), join(directory, name), { recursive: true });
	await cp(new URL("../package.json", DIST), join(directory, "package.json"));
	return pathToFileURL(`${directory}/dist/`);
}

/** A thread that takes the lock as soon as it is told to; what it got, and how to end it. */
function lockingThread(path: string): { go(): Promise<string>; end(): Promise<unknown> } {
	const module = new URL("queue/maildir.js", DIST).href;
	const code = `
		const { parentPort, workerData } = require("node:worker_threads");
		parentPort.once("message", async () => {
			const { maildirSource } = await import(${JSON.stringify(module)});
			const got = maildirSource({ path: workerData }).prepare().then(() => "taken", ({ message }) => message);
			parentPort.postMessage(await got);
			setInterval(() => {}, 1000);
		});`;
	const worker = new Worker(code, { eval: true, workerData: path });
	onTestFinished(() => void worker.terminate());
	const go = () => new Promise<string>((resolve) => worker.once("message", resolve).postMessage("go"));
	return { go, end: () => worker.terminate() };
}

describe("the lock of a source", () => {
	it("keeps out other copies of the package in the process", async () => {
		const box = await MailBox.numbered(1);
		const [first, second] = await Promise.all(
			[DIST, await copyOfDist()].map((dist) => import(new URL("queue/maildir.js", dist).href)),
		);
		expect(first.maildirSource).not.toBe(second.maildirSource);
		const holder = first.maildirSource({ path: box.path });
		await holder.prepare();
		const other = second.maildirSource({ path: box.path });
		await expect(other.prepare()).rejects.toThrow(IN_USE);
		await expect(sourceOf(box).prepare()).rejects.toThrow(IN_USE);
		await holder.close();
		await other.prepare();
		await other.close();
	});

	it("keeps out other threads, whoever is first", async () => {
		const box = await MailBox.numbered(1);
		const [first, second] = [lockingThread(box.path), lockingThread(box.path)];
		expect(await first.go()).toBe("taken");
		const source = sourceOf(box);
		await expect(source.prepare()).rejects.toThrow(IN_USE);
		await first.end();
		await source.prepare();
		expect(await second.go()).toBe(IN_USE);
	});

	it("keeps out the main thread, where a descriptor that was handed down would be seen", async () => {
		const box = await MailBox.numbered(1);
		const module = JSON.stringify(new URL("queue/maildir.js", DIST).href);
		const worker = `Promise.all([import("node:worker_threads"), import(${module})]).then(
			async ([{ parentPort, workerData }, { maildirSource }]) => {
				await maildirSource({ path: workerData }).prepare();
				parentPort.postMessage("locked");
				setInterval(() => {}, 1000);
			});`;
		const main = `import { Worker } from "node:worker_threads";
			import { maildirSource } from ${module};
			const path = process.argv[1];
			const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData: path });
			await new Promise((resolve) => worker.once("message", resolve));
			console.log(await maildirSource({ path }).prepare().then(() => "both", ({ message }) => message));
			process.exit();`;
		const args = ["--input-type=module", "-e", main, box.path];
		expect(spawnSync(process.execPath, args, { encoding: "utf8" })).toMatchObject({
			stdout: `${IN_USE}\n`,
			stderr: "",
		});
	});

	it("is no pipe", async () => {
		const box = await MailBox.numbered(1);
		expect(spawnSync("mkfifo", [join(box.path, "seriallock")]).status).toBe(0);
		await expect(sourceOf(box).prepare()).rejects.toMatchObject({
			message: "maildir cannot be locked (#4.3.0)",
			cause: { message: expect.stringMatching(/^unable to lock .*\/seriallock: it is no regular file$/) },
		});
	});

	it("is let go of once", async () => {
		const box = await MailBox.numbered(1);
		const path = join(box.path, "seriallock");
		const first = await lock(path, false, new AbortController().signal);
		first?.release();
		const second = await lock(path, false, new AbortController().signal);
		first?.release();
		expect(await lock(path, false, new AbortController().signal)).toBeNull();
		second?.release();
	});
});

describe("a source whose lock is another file by now", () => {
	it("hands out and removes nothing when the file is gone, until it is back", async () => {
		const box = await MailBox.numbered(3);
		const source = sourceOf(box);
		const taking = taken(source);
		const job = await nextOf(taking);
		const path = join(box.path, "seriallock");
		await rename(path, join(box.path, "away"));
		await expect(job.settle([K])).rejects.toMatchObject({
			message: LOST,
			cause: {
				message: `${path} is not the file that was locked: somebody else may have the mail`,
			},
		});
		await expect(taking.next()).rejects.toThrow(QueueError);
		await expect(taken(source).next()).rejects.toThrow(LOST);
		expect(await box.names()).toHaveLength(3);
		await rename(join(box.path, "away"), path);
		await job.settle([K]);
		expect((await one(source)).envelope.recipients).toEqual(["p-1@example.com"]);
		expect(await box.names()).toHaveLength(2);
	});

	it("says so when it looks for mail", async () => {
		const box = await MailBox.numbered(1);
		const source = sourceOf(box);
		const taking = taken(source);
		await (await nextOf(taking)).settle([K]);
		const waiting = taking.next();
		await unlink(join(box.path, "seriallock"));
		await expect(waiting).rejects.toThrow(LOST);
	});

	it("leaves the maildir alone that stands in the place of the one that was moved", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", mailFile("one@example.com"));
		const source = sourceOf(box);
		const taking = taken(source);
		const job = await nextOf(taking);
		await rename(box.path, `${box.path}.old`);
		onTestFinished(() => rm(`${box.path}.old`, { recursive: true }));
		for (const folder of ["", "new", "cur", "tmp"]) await mkdir(join(box.path, folder));
		await box.write("new/1790000000.1.host", mailFile("two@example.com"));
		await expect(job.settle([K])).rejects.toThrow(LOST);
		await expect(taking.next()).rejects.toThrow(LOST);
		expect(await box.names()).toEqual(["new/1790000000.1.host"]);
		const other = sourceOf(box);
		expect((await one(other)).envelope.recipients).toEqual(["two@example.com"]);
	});

	it("takes a settle that comes after close()", async () => {
		const box = await MailBox.numbered(2);
		const source = sourceOf(box);
		const taking = taken(source);
		const [first, second] = [await nextOf(taking), await nextOf(taking)];
		await source.close();
		await first.settle([K]);
		await second.settle([deferred()]);
		expect(await box.names()).toHaveLength(1);
	});
});
