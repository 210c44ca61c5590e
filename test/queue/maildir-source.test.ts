/** The source of a maildir: which files are mail, in which order, and what becomes of the others. */
import { mkdir, rename, rm, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { accepted, deferred } from "../../src/protocol/response.js";
import { maildirSource } from "../../src/queue/maildir.js";
import { MailBox, mailFile } from "../support/maildir-box.js";
import { sourceOf } from "../support/maildir-source.js";
import { noise } from "../support/queue-contract.js";
import { readAll } from "../support/queue-spool.js";
import { nextOf, one, recipientsOf, taken } from "../support/source-contract.js";

const K = accepted();
const Z = deferred();

describe("the mail of a maildir", () => {
	it("is the regular files of new/ whose names do not begin with a dot", async () => {
		const box = await MailBox.create();
		await box.write("cur/1790000000.1.host:2,S", mailFile("cur@example.com"));
		await box.write("tmp/1790000000.2.host", mailFile("tmp@example.com"));
		await box.write("new/.1790000000.3.host", mailFile("dot@example.com"));
		await mkdir(join(box.path, "new/1790000000.4.host"));
		await symlink(join(box.path, "cur/1790000000.1.host:2,S"), join(box.path, "new/1790000000.5.host"));
		await box.write("new/1790000001.6.host", mailFile("new@example.com"));
		const source = sourceOf(box);
		const job = await one(source);
		expect(job.envelope).toEqual({ sender: "s@example.org", recipients: ["new@example.com"] });
		const waiting = taken(source).next();
		await job.settle([K]);
		await box.write("new/1790000002.7.host", mailFile("next@example.com"));
		expect((await waiting).value.envelope.recipients).toEqual(["next@example.com"]);
		expect(source.skipped).toEqual([]);
		expect(await box.names()).toEqual([
			"tmp/1790000000.2.host",
			"new/.1790000000.3.host",
			"new/1790000000.4.host",
			"new/1790000000.5.host",
			"new/1790000002.7.host",
			"cur/1790000000.1.host:2,S",
		]);
	});

	it("is in the order of the times in the names, and of the files where a name has none", async () => {
		const box = await MailBox.create();
		const now = Math.floor(Date.now() / 1000);
		await box.write(`new/${now - 300}.M000002P1Q1.host`, mailFile("b"), 0);
		await box.write(`new/${now - 300}.M000001P1Q1.host`, mailFile("a"), 0);
		await box.write(`new/${now - 100}.1.host`, mailFile("e"), 7000);
		await box.write("new/5.mail", mailFile("d"), 200);
		await box.write("new/copy", mailFile("c"), 250);
		await box.write(`new/${now}.1.host`, mailFile("f"), 0);
		expect(await recipientsOf(sourceOf(box), 6)).toEqual(["a", "b", "c", "d", "e", "f"]);
	});

	it("is as old as its file, whatever the name says", async () => {
		const box = await MailBox.create();
		await box.write("new/100000000.1.host", mailFile("a@example.com"), 60);
		const { queuedAt } = await one(sourceOf(box));
		expect(Math.abs(Date.now() - 60_000 - queuedAt)).toBeLessThan(10_000);
	});

	it("has the number in the name as its id, else one of the name that is the same in every process", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.M000001P1Q1234567890123456.host", mailFile("a"));
		await box.write("new/1790000001.M000001P1Q1.host", mailFile("b")); // who counts from 1
		await box.write("new/1790000002.99.host", mailFile("c"));
		const first = sourceOf(box);
		const ids = [(await one(first)).id, (await one(first)).id, (await one(first)).id];
		await first.close();
		expect(ids[0]).toBe("1234567890123456");
		for (const id of ids) expect(id).toMatch(/^\d{10,20}$/);
		expect(new Set(ids).size).toBe(3);
		const second = sourceOf(box);
		expect([(await one(second)).id, (await one(second)).id, (await one(second)).id]).toEqual(ids);
	});

	it("may have names that are no UTF-8", async () => {
		const box = await MailBox.create();
		const name = Buffer.concat([Buffer.from(`${box.path}/new/1790000000.1.h`), Buffer.from([0xfc, 0xff])]);
		await writeFile(name, mailFile("a@example.com"));
		const job = await one(sourceOf(box));
		await job.settle([K]);
		expect(await box.names()).toEqual([]);
	});

	it("has the addresses of qmail-local as they stand, and bounces have no sender", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", mailFile("a@example.com", "x", '"a b"@example.org'));
		await box.write("new/1790000000.2.host", mailFile("b@example.com", "x", ""));
		const source = sourceOf(box);
		expect((await one(source)).envelope.sender).toBe('"a b"@example.org');
		expect((await one(source)).envelope.sender).toBe("");
	});

	it("is read as a stream where it is large: a part of it takes a part of it in memory", async () => {
		const box = await MailBox.create();
		const size = 40 * 1024 * 1024;
		await box.write("new/1790000000.1.host", mailFile("a@example.com", ""));
		await truncate(join(box.path, "new/1790000000.1.host"), size);
		const job = await one(sourceOf(box));
		const head = mailFile("a@example.com", "").length;
		expect(job.size).toBe(size - head);
		let largest = 0;
		let read = 0;
		for await (const { length } of job.body) {
			largest = Math.max(largest, length);
			read += length;
		}
		expect(read).toBe(job.size);
		expect(largest).toBe(256 * 1024);
	});
});

describe("a file that is no mail", () => {
	it.each([
		["an empty one", ""],
		["one without the lines", "Subject: x\n\nhello\n"],
		["one with a sender alone", "Return-Path: <s@example.org>\nSubject: x\n\n"],
		["one that ends in its second line", "Return-Path: <s@example.org>\nDelivered-To: a@exam"],
		["one whose lines are in another order", "Delivered-To: a@example.com\nReturn-Path: <>\n\n"],
	])("stays, is told of once, and does not hold up the others: %s", async (_, content) => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", content);
		await box.write("new/1790000001.2.host", mailFile("b@example.com"));
		const source = sourceOf(box);
		const taking = taken(source);
		await (await nextOf(taking)).settle([K]);
		for (let number = 0; number < 3; number++) {
			const next = taking.next(); // the folder is looked through anew
			await box.write(`new/179000001${number}.2.host`, mailFile("c@example.com"));
			await (await next).value.settle([K]);
		}
		expect(source.skipped).toEqual([
			[
				"1790000000.1.host",
				"it does not begin with the lines Return-Path: <SENDER> and Delivered-To: RECIPIENT",
			],
		]);
		expect(await box.names()).toEqual(["new/1790000000.1.host"]);
		expect(await box.read("new/1790000000.1.host")).toBe(content);
	});

	it("is looked at again when it was gone in between", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", "no mail");
		await box.write("new/1790000001.1.host", mailFile("b@example.com"));
		const source = sourceOf(box);
		const taking = taken(source);
		await (await nextOf(taking)).settle([K]);
		expect(source.skipped).toHaveLength(1);
		const next = taking.next();
		await unlink(join(box.path, "new/1790000000.1.host"));
		await box.write("new/1790000002.1.host", mailFile("c@example.com"));
		const job = (await next).value; // found by a look that did not find the other
		const last = taking.next();
		await box.write("new/1790000000.1.host", mailFile("a@example.com"));
		await box.write("new/1790000003.1.host", mailFile("d@example.com"));
		await job.settle([K]);
		expect(["a@example.com", "d@example.com"]).toContain((await last).value.envelope.recipients[0]);
		expect((await recipientsOf(source, 1))[0]).toMatch(/^[ad]@/);
	});

	it("is told of on console.error if nobody asked, and a listener that throws does no harm", async () => {
		const box = await MailBox.create();
		await box.write("new/1790000000.1.host", "no mail");
		await box.write("new/1790000001.1.host", mailFile("b@example.com"));
		const error = vi.spyOn(console, "error").mockImplementation(() => {});
		onTestFinished(() => error.mockRestore());
		const deaf = maildirSource({ path: box.path });
		await one(deaf);
		await deaf.close();
		expect(error.mock.calls).toEqual([
			[expect.stringMatching(/^qmtp: cannot deliver \/.*\/new\/1790000000\.1\.host: it does not begin/)],
		]);
		const onSkipped = () => {
			throw new Error("made up");
		};
		await one(sourceOf(box, { onSkipped }));
		expect(error).toHaveBeenLastCalledWith("qmtp: onSkipped of a maildir threw:", expect.any(Error));
	});
});

describe("a file that goes away", () => {
	it("is no job any more, in silence", async () => {
		const box = await MailBox.numbered(3);
		const source = sourceOf(box);
		const job = await one(source); // all have been found
		await unlink(join(box.path, (await box.names())[1] as string));
		expect(await recipientsOf(source, 1)).toEqual(["p-2@example.com"]);
		await unlink(join(box.path, (await box.names())[0] as string));
		await job.settle([K]);
		expect(source.skipped).toEqual([]);
		expect(await box.names()).toHaveLength(1);
	});

	it("ends its job with a Z too", async () => {
		const box = await MailBox.numbered(1);
		let now = Date.now();
		const source = sourceOf(box, { now: () => now });
		const job = await one(source);
		await unlink(join(box.path, (await box.names())[0] as string));
		await job.settle([Z], now);
		now++;
		await box.write("new/1790000000.1.host", mailFile("b@example.com"));
		expect(await recipientsOf(source, 1)).toEqual(["b@example.com"]);
		expect(source.skipped).toEqual([]);
	});

	it("or that is another one, or shorter, makes reading a large message fail", async () => {
		const box = await MailBox.create();
		const path = join(box.path, "new/1790000000.1.host");
		const content = Buffer.concat([Buffer.from(mailFile("a@example.com", "")), noise(600_000)]);
		await writeFile(path, content);
		const { body } = await one(sourceOf(box));
		const reading = body[Symbol.asyncIterator]();
		await reading.next();
		await truncate(path, 300_000);
		await reading.next();
		await expect(reading.next()).rejects.toMatchObject({
			message: "cannot read the message (#4.3.0)",
			cause: { message: expect.stringMatching(/^the message has \d+ bytes instead of 600000$/) },
		});
		await writeFile(`${path}.new`, content);
		await rename(`${path}.new`, path);
		await expect(readAll(body)).rejects.toMatchObject({ cause: { message: "it is another file now" } });
		await unlink(path);
		await expect(readAll(body)).rejects.toMatchObject({ cause: { code: "ENOENT" } });
	});

	it("to come back as what cannot be opened is told of once, and tried every five minutes", async () => {
		const box = await MailBox.numbered(2);
		let now = Date.now();
		const source = sourceOf(box, { now: () => now });
		const taking = taken(source);
		const [job, other] = [await nextOf(taking), await nextOf(taking)];
		const path = join(box.path, (await box.names())[1] as string);
		await rename(path, `${box.path}/away`);
		await mkdir(path);
		await job.settle([Z], now);
		await other.settle([Z], now);
		for (let times = 0; times < 3; times++) {
			now += 300_000;
			await (await one(source)).settle([Z], now + 300_000); // the other has had its turn
		}
		expect(source.skipped).toEqual([[path.slice(path.lastIndexOf("/") + 1), "it is no regular file"]]);
		await rm(path, { recursive: true });
		await rename(`${box.path}/away`, path);
		now += 300_000;
		const both = [await one(source), await one(source)];
		expect(both.map(({ envelope }) => envelope.recipients[0]).sort()).toEqual([
			"p-0@example.com",
			"p-1@example.com",
		]);
		expect(both.map(({ attempts }) => attempts).sort()).toEqual([1, 4]);
	});
});
