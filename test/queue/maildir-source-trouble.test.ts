/** The source of a maildir where disks, clocks, names, addresses and listeners are not what one hopes for. */
import { spawnSync } from "node:child_process";
import { appendFile, chmod, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished, test, vi } from "vitest";
import { accepted, deferred } from "../../src/protocol/response.js";
import { maildirSource } from "../../src/queue/maildir.js";
import { MailBox, mailFile } from "../support/maildir-box.js";
import { sourceOf } from "../support/maildir-source.js";
import { describeWithPrograms } from "../support/peers.js";
import { Gate } from "../support/server-signal.js";
import { nextOf, one, recipientsOf, taken } from "../support/source-contract.js";

const K = accepted();
const Z = deferred();

/** Lists what is told on console.error. */
function errors(): unknown[][] {
	const error = vi.spyOn(console, "error").mockImplementation(() => {});
	onTestFinished(() => error.mockRestore());
	return error.mock.calls;
}

describeWithPrograms("a disk that tells no types of files, and has a bad inode", { cc: "gcc" }, () => {
	it("keeps back that file alone, and names may be no UTF-8", async () => {
		const box = await MailBox.create();
		const shim = join(box.path, "odd-disk.so");
		const code = fileURLToPath(new URL("../support/maildir-odd-disk.c", import.meta.url));
		const built = spawnSync("cc", ["-shared", "-fPIC", "-o", shim, code, "-ldl"], { encoding: "utf8" });
		expect([built.status, built.stderr]).toEqual([0, ""]);
		await box.write("new/bad", mailFile("bad@example.com"));
		await box.write("new/1790000000.1.host", mailFile("a@example.com"));
		const name = Buffer.concat([Buffer.from(`${box.path}/new/`), Buffer.from([0xf6]), Buffer.from("st")]);
		await writeFile(name, mailFile("b@example.com"));
		const module = new URL("../../dist/queue/maildir.js", import.meta.url).href;
		const program = `import { maildirSource } from ${JSON.stringify(module)};
			import { readdirSync } from "node:fs";
			const path = process.argv[1];
			const onSkipped = (name, reason) => console.log("skipped", name, reason.slice(0, 3));
			const source = maildirSource({ path, onSkipped });
			try { readdirSync(path + "/new", { withFileTypes: true }); } catch { console.log("an odd disk"); }
			const taking = source.take();
			for (let count = 0; count < 2; count++) {
				const { value } = await taking.next();
				console.log(value.envelope.recipients[0]);
				await value.settle([{ status: "K", description: "ok" }]);
			}
			process.exit();`;
		const args = ["--input-type=module", "-e", program, box.path];
		const env = { ...process.env, LD_PRELOAD: shim };
		const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env });
		expect(stderr).toBe("");
		expect(stdout).toBe("an odd disk\nskipped bad EIO\na@example.com\nb@example.com\n");
		expect(await box.names()).toEqual(["new/bad"]);
	});
});

test("a folder that cannot be written to is refused before any mail is sent", async (context) => {
	const box = await MailBox.numbered(1);
	const path = join(box.path, "new");
	if (process.getuid?.() === 0) {
		const bound = spawnSync("mount", ["--bind", path, path]);
		context.skip(bound.status !== 0, "nothing can be mounted here");
		onTestFinished(() => void spawnSync("umount", [path]));
		expect(spawnSync("mount", ["-o", "remount,ro,bind", path]).status).toBe(0);
	} else {
		await chmod(path, 0o500);
		onTestFinished(() => chmod(path, 0o700));
	}
	await expect(sourceOf(box).prepare()).rejects.toMatchObject({
		code: "ERR_QMTP_QUEUE",
		message: expect.stringMatching(/^maildir is (not writable|on a read-only file system) \(#4\.3\.0\)$/),
		cause: { code: expect.stringMatching(/^(EACCES|EROFS)$/) },
	});
});

describe("a clock", () => {
	it("that is set back takes with it what waits", async () => {
		const box = await MailBox.numbered(2);
		let now = Date.now();
		const source = sourceOf(box, { now: () => now });
		const taking = taken(source);
		const [first, second] = [await nextOf(taking), await nextOf(taking)];
		now += 10 * 365 * 86_400_000;
		await first.settle([Z], now + 1000);
		now -= 10 * 365 * 86_400_000;
		await second.settle([Z], now + 2000);
		now += 1000;
		expect((await nextOf(taking)).id).toBe(first.id);
		now += 999;
		const waiting = taking.next();
		await box.write("new/1790000000.1.host", mailFile("a@example.com"));
		expect((await waiting).value.envelope.recipients).toEqual(["a@example.com"]);
		now += 1;
		expect((await nextOf(taking)).id).toBe(second.id);
	});

	it("that was ahead when a file was written does not keep it young", async () => {
		const box = await MailBox.numbered(1);
		const before = Date.now();
		await utimes(join(box.path, (await box.names())[0] as string), 4e9, 4e9);
		const source = sourceOf(box);
		const job = await one(source);
		expect(job.queuedAt).toBeGreaterThan(before - 60_000);
		expect(job.queuedAt).toBeLessThanOrEqual(Date.now() + 60_000);
		await job.settle([Z], before);
		expect((await one(source)).queuedAt).toBe(job.queuedAt);
		await source.close();
		const past = 1_000_000_000_000;
		expect((await one(sourceOf(box, { now: () => past }))).queuedAt).toBe(past);
	});
});

describe("a file", () => {
	it("that was not whole when it was seen comes when it is, and is told of once", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", "Return-Path: <s@exa");
		await box.write("new/1790000001.1.host", mailFile("b@example.com"));
		const source = sourceOf(box);
		const taking = taken(source);
		await (await nextOf(taking)).settle([K]);
		const path = join(box.path, "new/1790000000.1.host");
		await appendFile(path, "mple.org>\nDelivered-To: a@");
		await box.write("new/1790000002.1.host", mailFile("c@example.com"));
		await (await nextOf(taking)).settle([K]);
		await appendFile(path, "example.com\nx\n");
		await box.write("new/.1790000003.1.host", ""); // so that the folder is looked through
		const job = await nextOf(taking);
		expect(job.envelope).toEqual({ sender: "s@example.org", recipients: ["a@example.com"] });
		await job.settle([K]);
		expect(source.skipped.map(([name]) => name)).toEqual(["1790000000.1.host"]);
		expect(await box.names()).toEqual(["new/.1790000003.1.host"]);
	});

	it.each([
		["an empty recipient", mailFile("")],
		["a CR in its recipient", mailFile("a\r@example.com")],
		["a CR in its sender", mailFile("a@example.com", "x\n", "s\r@example.org")],
		["a NUL in its recipient", mailFile("a\0@example.com")],
	])("with %s is no mail, and stays", async (_, content) => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", content);
		await box.write("new/1790000001.1.host", mailFile("b@example.com"));
		const source = sourceOf(box);
		const job = await one(source);
		expect(job.envelope.recipients).toEqual(["b@example.com"]);
		await job.settle([K]);
		expect(source.skipped).toEqual([
			["1790000000.1.host", "its recipient is empty, or there is a CR or a NUL in an address"],
		]);
		expect(await box.names()).toEqual(["new/1790000000.1.host"]);
	});

	it("that is a link is not followed", async () => {
		const box = await MailBox.create();
		await box.write("cur/mail", mailFile("a@example.com"));
		await symlink(join(box.path, "cur/mail"), join(box.path, "new/1790000000.1.host"));
		await box.write("new/1790000001.1.host", mailFile("b@example.com"));
		const source = sourceOf(box);
		expect(await recipientsOf(source, 1)).toEqual(["b@example.com"]);
		expect(source.skipped).toEqual([]);
	});
});

describe("a listener", () => {
	it("that nobody gave writes names without what steers a terminal", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.\x1b]0;x\x07\nqmtp: forged", "no mail");
		await box.write("new/1790000001.1.host", mailFile("b@example.com"));
		const told = errors();
		const source = maildirSource({ path: box.path });
		onTestFinished(() => source.close());
		await one(source);
		expect(told).toEqual([
			[
				`qmtp: cannot deliver ${box.path}/new/1790000000.\\x1b]0;x\\x07\\x0aqmtp: forged: ` +
					"it does not begin with the lines Return-Path: <SENDER> and Delivered-To: RECIPIENT",
			],
		]);
	});

	it("that rejects does no harm", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", "no mail");
		await box.write("new/1790000001.1.host", mailFile("b@example.com"));
		const told = new Gate<unknown[]>();
		const error = vi.spyOn(console, "error").mockImplementation((...args) => told.open(args));
		onTestFinished(() => error.mockRestore());
		const made = new Error("made up");
		await one(sourceOf(box, { onSkipped: () => Promise.reject(made) as never }));
		expect(await told.promise).toEqual(["qmtp: onSkipped of a maildir threw:", made]);
	});
});

test("a prefix is that of our mail, and no part of the recipient", async () => {
	const box = await MailBox.create();
	await box.write("new/1790000000.1.host", mailFile("alias-a@example.com"));
	await box.write("new/1790000001.1.host", mailFile("other@example.com"));
	await box.write("new/1790000002.1.host", mailFile("alias-"));
	await box.write("new/1790000003.1.host", mailFile("alias-b@example.com"));
	const source = sourceOf(box, { prefix: "alias-" });
	const jobs = [await one(source), await one(source)];
	expect(jobs.map(({ envelope }) => envelope.recipients)).toEqual([["a@example.com"], ["b@example.com"]]);
	for (const job of jobs) await job.settle([K]);
	expect(source.skipped.map(([name]) => name)).toEqual(["1790000002.1.host"]);
	expect(await box.names()).toEqual(["new/1790000001.1.host", "new/1790000002.1.host"]);
	expect(() => maildirSource({ path: box.path, prefix: 1 as never })).toThrow("prefix must be a text");
});
