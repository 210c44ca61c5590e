import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import { nodeFileSystem } from "../../src/queue/maildir/file-system.js";
import { type MaildirQueueOptions, maildirQueue } from "../../src/queue/maildir.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise, queueContract, statuses } from "../support/queue-contract.js";
import { TestMaildir } from "../support/queue-maildir.js";
import { messageInfo } from "../support/queue-message-info.js";

queueContract("maildirQueue", async () => {
	const maildir = await TestMaildir.create();
	return {
		queue: maildirQueue({ path: maildir.path }),
		stored: () => maildir.stored(),
		leftOvers: () => maildir.names("tmp"),
		dispose: () => maildir.remove(),
	};
});

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };

let maildir: TestMaildir;
beforeEach(async () => {
	maildir = await TestMaildir.create();
});
afterEach(() => maildir.remove());

function queueWith(options: Partial<MaildirQueueOptions> = {}) {
	return maildirQueue({ path: maildir.path, ...options });
}

describe("a file of a maildir queue", () => {
	it("is what serialqmtp reads, byte for byte", async () => {
		const body = "Received: from x by y with QMTP\nSubject: a\r\n\0\xff\n\nno LF at the end";
		const envelope = { sender: '"a b"@example.org', recipients: ["alias-you@example.com"] };
		await deliver(queueWith(), [bytesOf(body)], envelope);
		expect((await maildir.files()).map((file) => file.toString("latin1"))).toEqual([
			`Return-Path: <"a b"@example.org>\nDelivered-To: alias-you@example.com\n${body}`,
		]);
	});

	it.each([
		["utf-8", "Return-Path: <j\xc3\xbcrgen@x>\nDelivered-To: \xc3\xbcber@y\nbody"],
		["latin1", "Return-Path: <j\xfcrgen@x>\nDelivered-To: \xfcber@y\nbody"],
	] as const)("holds addresses as they were on the wire: %s", async (addressEncoding, expected) => {
		const envelope = { sender: "j\xfcrgen@x", recipients: ["\xfcber@y"] };
		await deliver(queueWith(), [bytesOf("body")], envelope, messageInfo({ addressEncoding }));
		expect((await maildir.files()).map((file) => file.toString("latin1"))).toEqual([expected]);
	});

	it("has a unique name of this host, and is nobody else's to read", async () => {
		const before = Math.floor(Date.now() / 1000);
		await deliver(queueWith(), [bytesOf("x\n")], { ...ENVELOPE, recipients: ["a", "b", "c"] });
		const names = await maildir.names("new");
		expect(new Set(names).size).toBe(3);
		for (const name of names) {
			const [, seconds, microseconds, pid, host] = /^(\d+)\.M(\d{6})P(\d+)Q\d+\.(.+)$/.exec(name) ?? [];
			expect(Number(seconds)).toBeGreaterThanOrEqual(before);
			expect(Number(microseconds)).toBeLessThan(1_000_000);
			expect(pid).toBe(String(process.pid));
			expect(host).toBe(hostname().replaceAll("/", "\\057").replaceAll(":", "\\072"));
			expect((await stat(join(maildir.path, "new", name))).mode & 0o777).toBe(0o600);
		}
	});

	it("has a host in its name that neither ends the path nor begins flags", async () => {
		await deliver(queueWith({ hostname: "a/b:2,S" }), [bytesOf("x\n")], ENVELOPE);
		expect(await maildir.names("new")).toEqual([expect.stringMatching(/^[^/:]*\.a\\057b\\0722,S$/)]);
	});

	it("gets another name if its name is taken", async () => {
		const tried: string[] = [];
		const fileSystem = {
			...nodeFileSystem,
			open: async (path: string, flags: string, mode?: number) => {
				if (flags === "wx" && tried.push(path) <= 3) await writeFile(path, "somebody else's");
				return nodeFileSystem.open(path, flags, mode);
			},
		};
		expect(statuses(await deliver(queueWith({ fileSystem }), [bytesOf("x\n")], ENVELOPE))).toBe("K");
		expect(new Set(tried).size).toBe(4);
		for (const path of tried.slice(0, 3)) expect(await readFile(path, "utf8")).toBe("somebody else's");
	});
});

describe("the folders of a maildir queue", () => {
	it("are made with those above them, for their owner only", async () => {
		const path = join(maildir.path, "deep", "down");
		await deliver(maildirQueue({ path }), [bytesOf("x\n")], ENVELOPE);
		for (const folder of ["..", ".", "tmp", "new", "cur"]) {
			expect((await stat(join(path, folder))).mode & 0o777).toBe(0o700);
		}
	});

	it("stay as they are, with the mail in them", async () => {
		await mkdir(join(maildir.path, "new"), { recursive: true, mode: 0o755 });
		await writeFile(join(maildir.path, "new", "1.old"), "Return-Path: <>\nDelivered-To: x\nold\n");
		await deliver(queueWith(), [bytesOf("x\n")], ENVELOPE);
		expect(await maildir.names("new")).toEqual(["1.old", expect.stringContaining(".M")]);
		expect((await stat(join(maildir.path, "new"))).mode & 0o777).toBe(0o755);
	});

	it("are made again when somebody removed them", async () => {
		const queue = queueWith();
		await deliver(queue, [bytesOf("x\n")], ENVELOPE);
		await maildir.remove();
		const lost = deliver(queue, [bytesOf("x\n")], ENVELOPE);
		await expect(lost).rejects.toThrow("maildir is missing or no directory (#4.3.0)");
		expect(statuses(await deliver(queue, [bytesOf("x\n")], ENVELOPE))).toBe("K");
	});

	it("cannot be made under a file, which is told without its path", async () => {
		await writeFile(maildir.path, "a file");
		for (const path of [maildir.path, join(maildir.path, "below"), join(maildir.path, "far", "below")]) {
			const opened = Promise.resolve(maildirQueue({ path }).open(messageInfo()));
			const error = await opened.then(
				() => null,
				(reason: QueueError) => reason,
			);
			expect(error).toBeInstanceOf(QueueError);
			expect(error).toMatchObject({ code: "ERR_QMTP_QUEUE", permanent: false });
			expect(error?.message).toBe("maildir is missing or no directory (#4.3.0)");
			expect(error?.cause).toMatchObject({ code: "ENOTDIR" });
		}
	});

	it("are looked for again after a failure", async () => {
		await writeFile(maildir.path, "a file");
		const queue = queueWith();
		await expect(queue.open(messageInfo())).rejects.toThrow(QueueError);
		await maildir.remove();
		expect(statuses(await deliver(queue, [bytesOf("x\n")], ENVELOPE))).toBe("K");
	});
});

describe("addresses that cannot be stored", () => {
	it.each(["a\nb@x", "a\rb@x", "a\0b@x", "\ud800@x"])(
		"are refused for that recipient alone: %j",
		async (bad) => {
			const recipients = ["a@x", bad, "b@x"];
			const responses = await deliver(queueWith(), [bytesOf("x\n")], { ...ENVELOPE, recipients });
			expect(statuses(responses)).toBe("KDK");
			expect(responses[1]?.description).toContain("(#5.1.3)");
			expect((await maildir.stored()).map(({ recipient }) => recipient)).toEqual(["a@x", "b@x"]);
		},
	);

	it.each(["a\nb@x", "a\rb@x", "a\0b@x"])("are refused for all if it is the sender's: %j", async (sender) => {
		const responses = await deliver(queueWith(), [noise(300_000)], { sender, recipients: ["a@x", "b@x"] });
		expect(statuses(responses)).toBe("DD");
		for (const { description } of responses) expect(description).toContain("(#5.1.7)");
		expect(await maildir.names("new")).toEqual([]);
		expect(await maildir.names("tmp")).toEqual([]);
	});

	it("are refused where Latin-1 does not have the character", async () => {
		const info = messageInfo({ addressEncoding: "latin1" });
		const envelope = { ...ENVELOPE, recipients: ["\u0100@x", "\xff@x"] };
		expect(statuses(await deliver(queueWith(), [bytesOf("x\n")], envelope, info))).toBe("DK");
	});
});

describe("the limits of a maildir queue", () => {
	const recipients = ["r1@x", "r2@x", "r3@x", "r4@x"];
	const head = "Return-Path: <s@x>\nDelivered-To: r1@x\n".length;

	it.each([100, 300_000])("stores maxCopies copies of %i bytes, and defers the rest", async (size) => {
		const queue = queueWith({ maxCopies: 2 });
		const envelope = { sender: "s@x", recipients: ["bad\n@x", ...recipients] };
		const responses = await deliver(queue, [noise(size)], envelope);
		expect(statuses(responses)).toBe("DKKZZ");
		expect(responses[4]?.description).toContain("(#4.5.3)");
		expect((await maildir.stored()).map(({ recipient }) => recipient)).toEqual(["r1@x", "r2@x"]);
		expect(await maildir.names("tmp")).toEqual([]);
	});

	it("has a default of 100 copies", async () => {
		const many = Array.from({ length: 102 }, (_, number) => `r${number}@x`);
		const responses = await deliver(queueWith(), [bytesOf("x\n")], { sender: "s@x", recipients: many });
		expect(statuses(responses)).toBe(`${"K".repeat(100)}ZZ`);
		expect((await maildir.stored()).map(({ recipient }) => recipient)).toEqual(many.slice(0, 100));
	});

	it("stores as many copies as maxBytesPerMessage holds, and defers the rest", async () => {
		const maxBytesPerMessage = 3 * (head + 1000);
		const envelope = { sender: "s@x", recipients };
		expect(statuses(await deliver(queueWith({ maxBytesPerMessage }), [noise(1000)], envelope))).toBe("KKKZ");
		expect(statuses(await deliver(queueWith({ maxBytesPerMessage }), [noise(1001)], envelope))).toBe("KKZZ");
		expect(await maildir.names("new")).toHaveLength(5);
	});

	it("lets no recipient overtake one that did not fit", async () => {
		const maxBytesPerMessage = 2 * (head + 1000);
		const envelope = { sender: "s@x", recipients: ["r1@x", "longer@x", "r3@x"] };
		expect(statuses(await deliver(queueWith({ maxBytesPerMessage }), [noise(1000)], envelope))).toBe("KZZ");
	});

	it("rejects a message for ever that is larger than maxBytesPerMessage", async () => {
		const queue = queueWith({ maxBytesPerMessage: 1000 });
		const tooLarge = expect.objectContaining({ permanent: true, message: "message too large (#5.3.4)" });
		expect(() => queue.open(messageInfo({ length: 1001 }))).toThrow(tooLarge);
		const delivery = await queue.open(messageInfo({ length: 1001, exact: false }));
		await delivery.write(noise(1000));
		expect(() => delivery.write(noise(1))).toThrow(tooLarge);
		await delivery.abort(new Error("too large"));
		const responses = await deliver(queue, [noise(1000)], { sender: "s@x", recipients });
		expect(statuses(responses)).toBe("DDDD"); // with its head it is too large
		expect(await maildir.names("new")).toEqual([]);
	});

	it.each([
		{ maxCopies: 0 },
		{ maxCopies: 1.5 },
		{ maxBytesPerMessage: Number.NaN },
		{ minFree: -1 },
		{ hostname: "" },
		{ path: "" },
		{ path: "a\0b" },
	])("refuses the options %j", (options) => {
		expect(() => queueWith(options)).toThrow(UsageError);
	});
});

describe("minFree", () => {
	// 10,000 bytes are free.
	const fileSystem = {
		...nodeFileSystem,
		statfs: async (path: string) => ({ ...(await nodeFileSystem.statfs(path)), bavail: 100, bsize: 100 }),
	};

	it("refuses a message by its declared length", async () => {
		const queue = queueWith({ minFree: 4000, fileSystem });
		await queue.open(messageInfo({ length: 6000 }));
		const refused = Promise.resolve(queue.open(messageInfo({ length: 6001 })));
		await expect(refused).rejects.toThrow("insufficient disk space (#4.3.1)");
		await expect(refused).rejects.toMatchObject({ code: "ERR_QMTP_QUEUE_FULL", permanent: false });
	});

	it("counts a large body twice, since its file in tmp/ is copied", async () => {
		const plenty = {
			...nodeFileSystem,
			statfs: async (path: string) => ({ ...(await nodeFileSystem.statfs(path)), bavail: 1000, bsize: 1000 }),
		};
		const queue = queueWith({ minFree: 0, fileSystem: plenty });
		await queue.open(messageInfo({ length: 500_000 }));
		await expect(queue.open(messageInfo({ length: 500_001 }))).rejects.toThrow("(#4.3.1)");
	});

	it("refuses what does not fit when the recipients are known", async () => {
		const queue = queueWith({ minFree: 4000, fileSystem });
		const recipients = ["r1@x", "r2@x", "r3@x"];
		const responses = await deliver(queue, [noise(2500)], { sender: "s@x", recipients });
		expect(statuses(responses)).toBe("KKZ");
		expect(responses[2]?.description).toBe("insufficient disk space (#4.3.1)");
		expect(statuses(await deliver(queue, [noise(7000)], { sender: "s@x", recipients }))).toBe("ZZZ");
		expect(await maildir.names("new")).toHaveLength(2);
		expect(await maildir.names("tmp")).toEqual([]);
	});

	it("asks the real file system too", async () => {
		const body = bytesOf("x\n");
		expect(statuses(await deliver(queueWith({ minFree: 1 }), [body], ENVELOPE))).toBe("K");
		const queue = queueWith({ minFree: Number.MAX_SAFE_INTEGER });
		await expect(queue.open(messageInfo({ length: 0 }))).rejects.toThrow("(#4.3.1)");
	});
});

describe("a maildir queue", () => {
	it("has its path, absolute", () => {
		expect(maildirQueue({ path: "some/mail" }).path).toBe(join(process.cwd(), "some/mail"));
	});

	it("refuses use after the end", async () => {
		const queue = queueWith();
		const delivery = await queue.open(messageInfo());
		await delivery.commit(ENVELOPE);
		expect(() => delivery.write(bytesOf("x"))).toThrow(ENDED);
		await expect(delivery.commit(ENVELOPE)).rejects.toThrow(ENDED);
		await delivery.abort(new Error("late"));
		expect(await maildir.names("new")).toHaveLength(1);
		const aborted = await queue.open(messageInfo());
		await aborted.abort(new Error("the client left"));
		expect(() => aborted.write(bytesOf("x"))).toThrow(ENDED);
		await expect(aborted.commit(ENVELOPE)).rejects.toThrow(ENDED);
		await queue.close();
		expect(() => queue.open(messageInfo())).toThrow(QueueError);
	});

	it("answers a message without recipients with no response", async () => {
		expect(await deliver(queueWith(), [noise(300_000)], { ...ENVELOPE, recipients: [] })).toEqual([]);
		expect(await maildir.names("tmp")).toEqual([]);
	});

	it("stores mail that outlives the process that took it", async (context) => {
		const dist = fileURLToPath(new URL("../../dist/queue/maildir.js", import.meta.url));
		context.skip(!existsSync(dist), "dist is not built: run npm test");
		const program = `
			import { maildirQueue } from ${JSON.stringify(dist)};
			const queue = maildirQueue({ path: process.argv[1] });
			const delivery = await queue.open({ id: "7", addressEncoding: "utf-8", exact: true });
			await delivery.write(Buffer.alloc(300_000, "kept "));
			const lost = await queue.open({ id: "8", addressEncoding: "utf-8", exact: true });
			await lost.write(Buffer.alloc(300_000, "lost "));
			const responses = await delivery.commit({ sender: "s@x", recipients: ["a@x", "b@x"] });
			process.stdout.write(responses.map(({ status }) => status).join(""), () => process.kill(process.pid, "SIGKILL"));
		`;
		const child = spawnSync(process.execPath, ["--input-type=module", "-e", program, maildir.path], {
			encoding: "utf8",
		});
		expect(child).toMatchObject({ stdout: "KK", stderr: "", signal: "SIGKILL" });
		const body = Buffer.alloc(300_000, "kept ");
		expect(await maildir.stored()).toEqual(
			["a@x", "b@x"].map((recipient) => ({ sender: "s@x", recipient, body })),
		);
		expect(await maildir.names("tmp")).toHaveLength(1); // of the message under way
		await deliver(queueWith(), [bytesOf("x\n")], ENVELOPE);
		expect(await maildir.names("tmp")).toEqual([]);
	});
});

const ENDED = expect.objectContaining({ code: "ERR_QMTP_ENDED" });
