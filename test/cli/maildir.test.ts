/** `qmtp maildir` with servers that do right: what is sent, what is not, and what is left. */
import { mkdir, readdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { acceptingServer, response, ScriptedServer } from "../support/client-server.js";
import { delayedLink } from "../support/link.js";
import { MailBox, mailFile, numberedMail } from "../support/maildir-box.js";
import { run, withServer } from "../support/program.js";
import { readCopy } from "../support/queue-maildir.js";

/** Runs the program on a maildir, with `p-` as prefix. */
function send(box: MailBox, port: number | string, ...options: string[]) {
	return run(["maildir", ...options, box.path, "p-", "127.0.0.1", String(port)]);
}

describe("qmtp maildir", () => {
	test("sends mail of our own queue, oldest first, over one connection, and removes it", async () => {
		const box = await MailBox.numbered(30);
		const names = await box.names();
		const server = await acceptingServer();
		const { code, stdout, stderr } = await send(box, server.port);
		expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
		const log = names.map(
			(name, index) => `maildirserial: info: ${name} succeeded: 127.0.0.1 said: for ${index}@example.com\n`,
		);
		expect(stderr).toBe(log.join(""));
		expect(server.connections).toHaveLength(1);
		expect(server.connections[0]?.packages).toEqual(
			names.map((_, index) => ({
				encoding: "lf",
				body: numberedMail(index).body,
				sender: "s@example.org",
				recipients: [`${index}@example.com`],
			})),
		);
		expect(await box.names()).toEqual([]);
	});

	test("sends addresses and messages byte for byte, whatever and how large they are", async () => {
		const large = Buffer.alloc(20_000_000, "0123456789abcdef\0\r\n\xff", "latin1");
		const bodies = ["", "no line end", "\0\0\n\0", "a\r\nb\r\n", "\n", "\xff\xfe\x80", large, "last\n"];
		const mails = bodies.map((body, index) => ({
			sender: ['"a b"@example.org', "", "\xe4@example.org"][index % 3] as string,
			recipient: `p-\xfc${index}@example.com`,
			body,
		}));
		const box = await MailBox.with(mails);
		const server = await acceptingServer();
		expect((await send(box, server.port)).code).toBe(0);
		expect(server.connections[0]?.packages).toEqual(
			mails.map(({ sender, recipient, body }) => ({
				encoding: "lf",
				body: typeof body === "string" ? body : body.toString("latin1"),
				sender,
				recipients: [recipient.slice(2)],
			})),
		);
	});

	test("our own server stores what our own server stored before", async () => {
		const body = Buffer.alloc(300_000, "line\n");
		const box = await MailBox.with([{ recipient: "p-r@example.com", body }, numberedMail(1)]);
		const target = await MailBox.create();
		await withServer(["--queue", `maildir:${target.path}`], async ({ port }) => {
			expect((await send(box, port)).code).toBe(0);
		});
		const stored = await Promise.all((await target.names()).map((name) => target.read(name)));
		const copies = stored.map((file) => readCopy(Buffer.from(file, "latin1")));
		const found = copies.find(({ recipient }) => recipient === "r@example.com");
		expect(copies).toHaveLength(2);
		expect(
			Buffer.from(found?.body ?? [])
				.subarray(-body.length)
				.equals(body),
		).toBe(true);
	});

	test("a hundred messages over a long way take at most four round trips", async () => {
		const box = await MailBox.numbered(100);
		const server = await acceptingServer();
		const link = await delayedLink(server.port, 200);
		expect((await send(box, link.port)).code).toBe(0);
		expect(server.bodies).toHaveLength(100);
		expect(link.connections).toBe(1);
		expect(link.roundTrips).toBeGreaterThan(1.9); // the way is as long as it is said to be
		expect(link.roundTrips).toBeLessThanOrEqual(4);
	});

	test("an empty maildir is done without a connection", async () => {
		const box = await MailBox.create();
		const server = await acceptingServer();
		expect(await send(box, server.port)).toEqual({ code: 0, stdout: "", stderr: "" });
		expect(server.connections).toEqual([]);
	});

	test("mail that comes meanwhile is sent too", async () => {
		const box = await MailBox.numbered(1);
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await box.write("new/late", mailFile("p-late@example.com", "late\n"));
			await connection.answerAll();
		});
		expect((await send(box, server.port)).code).toBe(0);
		expect(server.bodies).toEqual([numberedMail(0).body, "late\n"]);
		expect(await box.names()).toEqual([]);
	});
});

describe("the files that qmtp maildir sends", () => {
	test("are those of new and cur by their age, without dot files and those of this second", async () => {
		const box = await MailBox.create();
		await box.write("cur/b:2,S", mailFile("p-1@example.com", "1"), 30);
		await box.write("new/a", mailFile("p-2@example.com", "2"), 20);
		await box.write("cur/0:2,", mailFile("p-3@example.com", "3"), 10);
		await box.write("new/.dot", mailFile("p-4@example.com", "4"));
		await box.write("new/future", mailFile("p-5@example.com", "5"), -1000);
		await box.write("tmp/c", mailFile("p-6@example.com", "6"));
		const server = await acceptingServer();
		expect((await send(box, server.port)).code).toBe(0);
		expect(server.bodies).toEqual(["1", "2", "3"]);
		expect(await box.names()).toEqual(["tmp/c", "new/.dot", "new/future"]);
	});

	test("have names of any bytes, which cannot forge a line of the log", async () => {
		const box = await MailBox.create();
		await box.write("new/a\nmaildirserial: info: \x1b[2J", mailFile("p-1@example.com"));
		const server = await acceptingServer();
		const { code, stderr } = await send(box, server.port);
		expect(code).toBe(0);
		expect(stderr).toBe(
			"maildirserial: info: new/a?maildirserial: info: ?[2J succeeded: 127.0.0.1 said: for 1@example.com\n",
		);
		expect(await box.names()).toEqual([]);
	});

	test("in tmp are removed when nobody has read them for 36 hours", async () => {
		const box = await MailBox.create();
		await box.write("tmp/old", "x", 129_700);
		await box.write("tmp/.old", "x", 129_700);
		await box.write("tmp/young", "x", 129_500);
		expect((await send(box, 9)).code).toBe(0);
		expect(await readdir(join(box.path, "tmp"))).toEqual([".old", "young"]);
	});

	const cases: [string, string, string, string | null][] = [
		["the prefix is cut off", "p-", mailFile("p-r@example.com"), "r@example.com"],
		["what follows the prefix may be nothing", "p-", mailFile("p-"), ""],
		["no prefix takes all", "", mailFile("p-r@example.com"), "p-r@example.com"],
		["another recipient is passed over in silence", "p-", mailFile("P-r@example.com"), null],
		["a file of another recipient may be malformed", "p-", "x\nDelivered-To: r@example.com\n", null],
		["a CR at the end of the recipient belongs to it", "p-", mailFile("p-r@x\r"), "r@x\r"],
		["a prefix may hold any characters", "p-ü", mailFile("p-\xc3\xbcr@x"), "r@x"],
	];
	for (const [name, prefix, file, recipient] of cases) {
		test(name, async () => {
			const box = await MailBox.create();
			await box.write("new/1", file);
			const server = await acceptingServer();
			const { code, stderr } = await run(["maildir", box.path, prefix, "127.0.0.1", String(server.port)]);
			expect(code).toBe(0);
			const recipients = server.connections.flatMap(({ packages }) => packages.flatMap((p) => p.recipients));
			expect(recipients).toEqual(recipient === null ? [] : [recipient]);
			if (recipient === null) expect(stderr).toBe("");
			expect(await box.names()).toEqual(recipient === null ? ["new/1"] : []);
		});
	}

	const malformed: [string, string, string][] = [
		["p-", "CR LF", "Return-Path: <s@x>\r\nDelivered-To: p-r@x\r\nbody\r\n"],
		["p-", "another first line", "return-path: <s@x>\nDelivered-To: p-r@x\n"],
		["p-", "nothing in it", ""],
		["p-", "a second line that is not whole", "Return-Path: <>\nDelivered-To: p-r@x"],
		["p-", "a second line that has just begun", "Return-Path: <>\nDeliv"],
		["", "the lines in the other order", "Delivered-To: r@x\nReturn-Path: <s@x>\n"],
		["", "no second line end", "Return-Path: <s@x>\nDelivered-To: r@x"],
		["", "nothing", ""],
		["", "lines that do not end", `Return-Path: <${"x".repeat(400_000)}>\nDelivered-To: r@x\n`],
	];
	for (const [prefix, name, file] of malformed) {
		test(`a file with ${name} is named and kept, and the others are sent`, async () => {
			const box = await MailBox.create();
			await box.write("new/bad", file, 20);
			await box.write("new/good", mailFile("p-r@x", "good"), 10);
			const server = await acceptingServer();
			const { code, stderr } = await run(["maildir", box.path, prefix, "127.0.0.1", String(server.port)]);
			expect(code).toBe(111);
			expect(stderr).toContain("maildirserial: warning: unable to send new/bad: bad file format\n");
			expect(server.bodies).toEqual(["good"]);
			expect(server.connections).toHaveLength(1);
			expect(await box.names()).toEqual(["new/bad"]);
		});
	}

	test("can be read: what cannot is named and kept", async () => {
		const box = await MailBox.numbered(1);
		await mkdir(join(box.path, "new/folder"));
		await box.age("new/folder", 7200);
		await symlink("/nonexistent", join(box.path, "new/nowhere"));
		await box.write("cur/target", mailFile("p-link@example.com", "linked"), 60);
		const server = await acceptingServer();
		const { code, stderr } = await send(box, server.port);
		expect(code).toBe(111);
		expect(stderr).toContain("maildirserial: warning: unable to open new/folder: it is no regular file\n");
		expect(server.bodies).toEqual([numberedMail(0).body, "linked"]);
		expect(await readdir(join(box.path, "new"))).toEqual(["folder", "nowhere"]);
	});

	test("may vanish before their turn", async () => {
		const box = await MailBox.numbered(40);
		const last = (await box.names()).at(-1) as string;
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await box.write("new/other", mailFile("q-1@example.com"));
			await rm(join(box.path, last));
			await connection.answerAll();
		});
		const { code, stderr } = await send(box, server.port, "--window", "1");
		expect(code).toBe(0);
		expect(stderr).toContain(`maildirserial: warning: unable to open ${last}: file does not exist\n`);
		expect(server.bodies).toHaveLength(39);
	});

	test("may change while they wait: they are kept, and the others are sent", async () => {
		const box = await MailBox.create();
		await box.write("new/1", mailFile("p-1@x", "1"), 30);
		await box.write("new/2", mailFile("p-2@x", "x".repeat(1_000_000)), 20);
		await box.write("new/3", mailFile("p-3@x", "3"), 10);
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			if (connection.number === 0) await box.write("new/2", mailFile("p-2@x", "shorter"));
			await connection.answerAll();
		});
		const { code, stderr } = await send(box, server.port, "--window", "1");
		expect(code).toBe(111);
		expect(stderr).toMatch(/warning: unable to send new\/2: the message has \d+ bytes where 1000000 were/);
		expect(server.bodies).toEqual(["1", "3"]);
		expect(await box.names()).toEqual(["new/2"]);
	});

	test("that vanish before they are removed are told of", async () => {
		const box = await MailBox.numbered(1);
		const [name] = await box.names();
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await rm(join(box.path, name as string));
			connection.write(response("Kok"));
			await connection.end();
			connection.socket.end();
		});
		expect(await send(box, server.port)).toEqual({
			code: 111,
			stdout: "",
			stderr: [
				`maildirserial: info: ${name} succeeded: 127.0.0.1 said: ok\n`,
				`maildirserial: warning: message will be delivered twice! unable to unlink ${name}: file does not exist\n`,
			].join(""),
		});
	});
});

describe("wrong use of qmtp maildir", () => {
	const cases: [string[], string][] = [
		[["d", "p"], "DIR, PREFIX and HOST are needed"],
		[["d", "p", "h", "1", "x"], "nothing but PORT may follow"],
		[["d", "p", "h", "0"], "PORT must be a whole number from 1 to 65535, not '0'"],
		[["-t", "x", "d", "p", "h"], "--lifetime must be a whole number"],
		[["-b", "d", "p", "h"], "-b needs --bounce-queue"],
		[["--bounce-queue", "memory:", "d", "p", "h"], "--bounce-queue needs -b"],
		[["-b", "--bounce-queue", "frob:", "d", "p", "h"], "--bounce-queue must be maildir:PATH"],
		[["-b", "--bounce-queue", "memory:", "d", "p", "h"], "--bounce-queue memory: would lose the bounces"],
		[["-x", "d", "p", "h"], "unknown option '-x'"],
	];
	for (const [args, message] of cases) {
		test(`${args.join(" ")} is one line on standard error, and exit 100`, async () => {
			const { code, stdout, stderr } = await run(["maildir", ...args]);
			expect({ code, stdout }).toEqual({ code: 100, stdout: "" });
			expect(stderr).toContain(message);
			expect(stderr).toMatch(/^qmtp maildir: .* \(try: qmtp maildir --help\)\n$/);
		});
	}

	test("a directory that is not there is exit 111", async () => {
		const { code, stderr } = await run(["maildir", "/nonexistent", "", "127.0.0.1"]);
		expect(code).toBe(111);
		expect(stderr).toBe("maildirserial: fatal: unable to chdir to /nonexistent: file does not exist\n");
	});

	test("the usage tells short options", async () => {
		const { code, stdout } = await run(["maildir", "--help"]);
		expect(code).toBe(0);
		expect(stdout).toMatch(/^ {2}-b, --bounce {2}/m);
		expect(stdout).toMatch(/^ {2}-t, --lifetime SECONDS {2}/m);
	});
});
