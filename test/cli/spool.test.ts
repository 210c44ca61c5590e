/** `qmtp spool`: looking after the mail in a spool, beside the server that fills it. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { deferred } from "../../src/protocol/response.js";
import { bytesOf } from "../support/bytes.js";
import { startProcess } from "../support/processes.js";
import { type Finished, MAIN, run, withDirectory, withServer } from "../support/program.js";
import { deliver, noise } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { TAKER, TestSpool } from "../support/queue-spool.js";
import { mail, TestClient } from "../support/server-client.js";

let spool: TestSpool;
beforeEach(async () => {
	spool = await TestSpool.create();
});
afterEach(() => spool.remove());

function qmtpSpool(...args: string[]): Promise<Finished> {
	return run(["spool", "--path", spool.path, ...args]);
}

test("ls, show, retry, rm and stats, while a server uses the spool", async () => {
	await withServer(["--queue", `spool:${spool.path}`], async ({ port }) => {
		const client = await TestClient.connect(Number(port));
		client.send(mail({ message: "\nSubject: x\n\nfirst\n", recipients: ["a@example.com", "b <c>\x1b[2J"] }));
		client.send(mail({ message: `\n${"y".repeat(300_000)}` }));
		const answers = await client.receives(3);
		const ids = answers.map((answer) => /qp (\d+)$/.exec(answer)?.[1] as string);
		const [first = "", , second = ""] = ids;

		const listed = await qmtpSpool("ls");
		expect(listed).toMatchObject({ code: 0, stderr: "" });
		const lines = listed.stdout.split("\n");
		const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;
		expect(lines[0]).toMatch(
			new RegExp(
				`^${first} queued=${time} attempts=0 next=now size=\\d+ from=<sender@example.org> to=<a@example.com> `,
			),
		);
		expect(lines[0]?.endsWith(String.raw` to=<b\x20\x3cc\x3e\x1b[2J>`)).toBe(true);
		expect(lines[1]?.startsWith(`${second} `)).toBe(true);
		expect(lines).toHaveLength(3);

		const shown = await qmtpSpool("show", first);
		expect(shown.code).toBe(0);
		expect(shown.stdout).toMatch(
			new RegExp(
				`^id ${first}\nqueued ${time}\nsize \\d+\nattempts 0\nnext now\nfrom <sender@example.org>\nto <a@example.com>\nto <b`,
			),
		);
		const message = (await qmtpSpool("show", second, "--message")).stdout;
		expect(message).toMatch(/^Received: /);
		expect(message.endsWith(`\n${"y".repeat(300_000)}`)).toBe(true);
		const whole = (await qmtpSpool("show", first, "--package")).stdout;
		expect(whole).toMatch(/^\d+:\nReceived: [\s\S]*first\n,18:sender@example\.org,\d+:13:a@example\.com,/);

		expect((await qmtpSpool("stats")).stdout).toMatch(/^messages 2\ndue 2\nbytes \d{6}\n$/);
		expect(await qmtpSpool("retry", first, second)).toMatchObject({ code: 0, stdout: "", stderr: "" });
		const removed = await qmtpSpool("rm", first, "12345", second);
		expect(removed).toMatchObject({ code: 100, stderr: "qmtp spool: 12345: there is no such message\n" });
		expect((await qmtpSpool("stats")).stdout).toBe("messages 0\ndue 0\nbytes 0\n");
		expect(await spool.bodies()).toEqual([]);
		expect(await qmtpSpool("show", first)).toMatchObject({ code: 100, stdout: "" });
		expect((await qmtpSpool("ls")).stdout).toBe("");
	});
});

test("retry makes a message due that waits, and shows who is finished with", async () => {
	const queue = spool.queue();
	const info = messageInfo();
	await deliver(
		queue,
		[bytesOf("x\n")],
		{ sender: "", recipients: ["a@example.com", "b@example.com"] },
		info,
	);
	for await (const job of queue.take({ concurrency: 1 })) {
		await job.settle([{ status: "K", description: "" }, deferred()], Date.now() + 3_600_000);
		break;
	}
	expect((await qmtpSpool("show", info.id)).stdout).toMatch(
		/\nnext \d{4}-.*\nfrom <>\nto <b@.*\nfinished <a@.*\n$/,
	);
	expect((await qmtpSpool("stats")).stdout).toMatch(/^messages 1\ndue 0\n/);
	expect(await qmtpSpool("retry", info.id)).toMatchObject({ code: 0 });
	expect((await qmtpSpool("stats")).stdout).toMatch(/^messages 1\ndue 1\n/);
});

test("what somebody has taken is left alone, with 111", async () => {
	const queue = spool.queue();
	const info = messageInfo();
	await deliver(queue, [noise(10)], { sender: "", recipients: ["a@example.com"] }, info);
	const taker = startProcess(process.execPath, [TAKER, spool.path, "60000", "0"]);
	await taker.until(/^took/m);
	for (const task of ["retry", "rm"]) {
		const { code, stderr } = await qmtpSpool(task, info.id);
		expect({ code, stderr }).toEqual({
			code: 111,
			stderr: `qmtp spool: ${info.id}: somebody is at it now\n`,
		});
	}
	expect((await qmtpSpool("ls")).stdout).toContain(" attempts=1 next=taken ");
	const exit = once(taker.child, "exit");
	taker.child.kill("SIGKILL");
	await exit;
});

test.each([
	[[], "say what to do"],
	[["frobnicate"], "there is nothing called 'frobnicate'"],
	[["show"], "show needs an ID"],
	[["show", "1", "2"], "unexpected argument '2'"],
	[["ls", "1"], "unexpected argument '1'"],
	[["rm"], "rm needs an ID"],
])("%j is wrong use", async (args, problem) => {
	const { code, stderr } = await qmtpSpool(...args);
	expect({ code, stderr }).toEqual({ code: 1, stderr: `qmtp spool: ${problem} (try: qmtp spool --help)\n` });
});

test("without the package lmdb it is said which one is missing", async () => {
	await withDirectory(async (directory) => {
		await cp(join(MAIN, "../.."), join(directory, "dist"), { recursive: true });
		await writeFile(join(directory, "package.json"), `{ "type": "module", "version": "0" }`);
		await mkdir(join(directory, "node_modules"));
		const packages = join(MAIN, "../../../node_modules");
		await symlink(join(packages, "eventemitter3"), join(directory, "node_modules/eventemitter3"));
		const args = ["serve", "--port", "0", "--queue", `spool:${spool.path}`];
		const { status, stderr } = spawnSync(process.execPath, [join(directory, "dist/cli/main.js"), ...args], {
			encoding: "utf8",
			timeout: 20_000,
		});
		expect(stderr).toMatch(
			/^qmtp serve: cannot use spool:.*: a spool needs the package lmdb: npm install lmdb\n/,
		);
		expect(status).toBe(111);
	});
});

test("a spool that is not there is not made", async () => {
	await withDirectory(async (directory) => {
		await mkdir(join(directory, "empty"));
		const { code, stderr } = await run(["spool", "--path", "empty", "ls"], { cwd: directory });
		expect({ code, stderr }).toEqual({ code: 111, stderr: "qmtp spool: there is no spool in empty\n" });
	});
	expect((await run(["spool", "ls"])).code).toBe(1);
	expect(await run(["spool", "--help"])).toMatchObject({ code: 0, stderr: "" });
});
