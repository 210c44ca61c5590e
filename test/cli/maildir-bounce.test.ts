/** `qmtp maildir -b`: what is sent back, to whom, and when the mail is removed. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { quoteAddress } from "../../src/cli/maildir/quote.js";
import { response, ScriptedServer } from "../support/client-server.js";
import { MailBox, mailFile } from "../support/maildir-box.js";
import { run } from "../support/program.js";

/** Runs `-b` with a server that answers each package with `answer`. */
async function bounce(box: MailBox, bounces: MailBox, answer: string, ...options: string[]) {
	const server = await ScriptedServer.start((connection) => connection.answerAll(() => response(answer)));
	const queue = ["-b", "--bounce-queue", `maildir:${bounces.path}`, "--control", "/nonexistent", ...options];
	return run(["maildir", ...queue, box.path, "p-", "127.0.0.1", String(server.port)]);
}

/** The only bounce. */
async function only(bounces: MailBox): Promise<string> {
	const names = await bounces.names();
	expect(names).toHaveLength(1);
	return await bounces.read(names[0] as string);
}

const DATE = /\nDate: \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d -0000\n/;

describe("qmtp maildir -b", () => {
	test("sends mail with a D back to its sender, and removes it", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		await box.write("new/1", mailFile("p-\xfcr@example.com", "Subject: \xff\r\n\n\0end", "a b@example.org"));
		const { code, stderr } = await bounce(box, bounces, "Dno such \xfc (#5.1.1)");
		expect(code).toBe(0);
		expect(stderr).toMatch(
			/^maildirserial: info: new\/1 bounced: 127\.0\.0\.1 said: no such \? \(#5\.1\.1\)\nmaildirserial: info: returned new\/1: qp \d+\n$/,
		);
		const text = await only(bounces);
		expect(text).toMatch(DATE);
		expect(text.replace(DATE, "\nDate: ...\n")).toBe(
			[
				"Return-Path: <>",
				"Delivered-To: a b@example.org",
				"Date: ...",
				"From: MAILER-DAEMON@me",
				'To: "a b"@example.org',
				"Subject: failure notice",
				"",
				"Hi. This is the maildirbounce program at me.",
				"I'm afraid I wasn't able to deliver your message to the following address.",
				"This is a permanent error; I've given up. Sorry it didn't work out.",
				"",
				"<\xfcr@example.com>:",
				"127.0.0.1 said: no such ? (#5.1.1)",
				"",
				"--- Below this line is a copy of the message.",
				"",
				'Return-Path: <"a b"@example.org>',
				"Subject: \xff\r",
				"",
				"\0end",
			].join("\n"),
		);
		expect(await box.names()).toEqual([]);
	});

	test("sends a bounce that bounces to the postmaster", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		await box.write("new/1", mailFile("p-r@example.com", "x\n", ""));
		const { code } = await bounce(box, bounces, "Dno");
		expect(code).toBe(0);
		const text = await only(bounces);
		expect(text).toMatch(/^Return-Path: <#@\[\]>\nDelivered-To: postmaster@me\n/);
		expect(text).toContain("\nTo: postmaster@me\n");
		expect(text).toContain(
			[
				"Hi. This is the maildirbounce program at me.",
				"I tried to deliver a bounce message to this address, but the bounce bounced!",
				"",
				"<r@example.com>:",
				"127.0.0.1 said: no",
				"",
				"--- Below this line is the original bounce.",
				"",
				"Return-Path: <>",
				"x",
				"",
			].join("\n"),
		);
		expect(await box.names()).toEqual([]);
	});

	test("discards what would bounce a third time", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		await box.write("new/1", mailFile("p-r@example.com", "x\n", "#@[]"));
		expect(await bounce(box, bounces, "Dno")).toEqual({
			code: 0,
			stdout: "",
			stderr: [
				"maildirserial: info: new/1 bounced: 127.0.0.1 said: no\n",
				"maildirserial: info: discarding new/1: triple bounce\n",
			].join(""),
		});
		expect([await bounces.names(), await box.names()]).toEqual([[], []]);
	});

	test("keeps mail with a Z until it is too old", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		await box.write("new/old", mailFile("p-r@example.com"), 700);
		await box.write("new/young", mailFile("p-r@example.com"), 500);
		const { code, stderr } = await bounce(box, bounces, "Zlater", "-t", "600");
		expect(code).toBe(111);
		expect(stderr).toContain("maildirserial: info: new/old bounced: 127.0.0.1 said: later\n");
		expect(stderr).toContain("maildirserial: info: new/young failed temporarily: 127.0.0.1 said: later\n");
		expect(await only(bounces)).toContain(
			"\n127.0.0.1 said: later\nThis message is too old. Giving up.\n\n--- Below",
		);
		expect(await box.names()).toEqual(["new/young"]);
	});

	test("sends a large message back as it is", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		const body = "0123456789abcde\n".repeat(100_000);
		await box.write("new/1", mailFile("p-r@example.com", body));
		expect((await bounce(box, bounces, "Dno")).code).toBe(0);
		expect((await only(bounces)).endsWith(`\nReturn-Path: <s@example.org>\n${body}`)).toBe(true);
	});

	test("does not bounce mail without an answer, however old it is", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		await box.write("new/1", mailFile("p-r@example.com"));
		const { code, stderr } = await bounce(box, bounces, "Xrubbish", "-t", "0");
		expect(code).toBe(111);
		expect(stderr).not.toContain("bounced");
		expect([await bounces.names(), await box.names()]).toEqual([[], ["new/1"]]);
	});

	test("keeps mail whose bounce is not taken", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		await box.write("new/1", mailFile("p-r@example.com", "x\n", "a\rb@example.org"), 30);
		await box.write("new/2", mailFile("p-r@example.com", "x\n", "a\0b@example.org"), 20);
		await box.write("new/3", mailFile("p-r@example.com"), 10);
		const { code, stderr } = await bounce(box, bounces, "Dno");
		expect(code).toBe(111);
		expect(stderr).toMatch(/warning: unable to bounce new\/1: qq failed: [^\n]+ \(#5\.1\.3\)\n/);
		expect(stderr).toContain("maildirserial: warning: unable to bounce new/2: bad file format\n");
		expect(stderr).toContain("maildirserial: info: returned new/3: qp ");
		expect(await box.names()).toEqual(["new/1", "new/2"]);
	});

	test("keeps mail when the queue of bounces has gone", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		await box.write("new/1", mailFile("p-r@example.com"));
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await rm(bounces.path, { recursive: true });
			await writeFile(bounces.path, "a file");
			await connection.answerAll(() => response("Dno"));
		});
		const queue = ["-b", "--bounce-queue", `maildir:${bounces.path}`];
		const args = ["maildir", ...queue, box.path, "p-", "127.0.0.1", String(server.port)];
		const { code, stderr } = await run(args);
		expect(code).toBe(111);
		expect(stderr).toMatch(/warning: unable to bounce new\/1: qq failed: [^\n]+\(#4\.3\.0\)\n$/);
		expect(await box.names()).toEqual(["new/1"]);
	});

	test("reads who sends bounces in qmail's control files", async () => {
		const [box, bounces] = [await MailBox.create(), await MailBox.create()];
		const control = join(box.path, "control");
		await mkdir(control);
		const files = { me: "host.example \nmore", bouncefrom: "mailer daemon", doublebounceto: "dead" };
		for (const [name, text] of Object.entries(files)) await writeFile(join(control, name), text);
		await box.write("new/1", mailFile("p-r@example.com", "x\n", ""));
		expect((await bounce(box, bounces, "Dno", "--control", control)).code).toBe(100); // given twice
		const server = await ScriptedServer.start((connection) => connection.answerAll(() => response("Dno")));
		const options = ["-b", "--bounce-queue", `maildir:${bounces.path}`, "--control", control];
		const send = () => run(["maildir", ...options, box.path, "p-", "127.0.0.1", String(server.port)]);
		expect((await send()).code).toBe(0);
		const text = await only(bounces);
		expect(text).toContain('\nFrom: "mailer daemon"@host.example\nTo: dead@host.example\n');
		expect(text).toContain(" program at host.example.\n");

		await rm((await bounces.names()).map((name) => join(bounces.path, name))[0] as string);
		await writeFile(join(control, "bouncehost"), "bounces.example");
		await writeFile(join(control, "doublebouncehost"), "double.example");
		await box.write("new/1", mailFile("p-r@example.com", "x\n", ""));
		expect((await send()).code).toBe(0);
		expect(await only(bounces)).toContain('"mailer daemon"@bounces.example\nTo: dead@double.example\n');
	});
});

describe("addresses in header fields", () => {
	const cases: [string, string][] = [
		["", ""],
		["a@example.org", "a@example.org"],
		["a.b+c=d@example.org", "a.b+c=d@example.org"],
		["a b@example.org", '"a b"@example.org'],
		[".a@example.org", '".a"@example.org'],
		["a..b@example.org", '"a..b"@example.org'],
		["a.@example.org", '"a."@example.org'],
		["@example.org", '""@example.org'],
		['a"b\\c\rd@example.org', '"a\\"b\\\\c\\\rd"@example.org'],
		["a@b@example.org", '"a@b"@example.org'],
		["\xfc@example.org", '"\xfc"@example.org'],
		["local", "local"],
	];
	for (const [address, quoted] of cases) {
		test(`${JSON.stringify(address)} is written ${JSON.stringify(quoted)}`, () => {
			expect(quoteAddress(address)).toBe(quoted);
		});
	}
});
