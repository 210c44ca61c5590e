/** `qmtp serve` with both doors: QMTP and SMTP into one queue. */
import { readdir, readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import nodemailer from "nodemailer";
import { expect, test } from "vitest";
import { run, withServer } from "../support/program.js";

const ARGS = ["--smtp-port", "0", "--accept", "example.com", "--relay-from", "192.0.2.1"];

test("both doors put mail into one queue, with the same hooks, and one log tells of both", async () => {
	await withServer(ARGS, async (server) => {
		const [, smtpPort] = await server.until("stdout", /^listening on 127\.0\.0\.1:(\d+) for SMTP$/m);
		const transport = nodemailer.createTransport({ host: "127.0.0.1", port: Number(smtpPort) });
		const mail = { from: "me@example.org", subject: "by SMTP", text: "hello\n" };
		const info = await transport.sendMail({ ...mail, to: "you@example.com" });
		expect(info.response).toMatch(/^250 .*ok \d+ qp \d+/);
		await expect(transport.sendMail({ ...mail, to: "them@example.net" })).rejects.toThrow(/rcpthosts/);
		transport.close();
		const sent = await run(
			["send", "--port", server.port, "--sender", "me@example.org", "--recipient", "you@example.com"],
			{ input: "Subject: by QMTP\n\nhello\n" },
		);
		expect(sent.code).toBe(0);
		const folder = join(server.directory, "mail", "new");
		const texts = await Promise.all(
			(await readdir(folder)).map((name) => readFile(join(folder, name), "utf8")),
		);
		expect(texts.map((text) => /^Subject: (.*)$/m.exec(text)?.[1]).sort()).toEqual(["by QMTP", "by SMTP"]);
		for (const text of texts) {
			expect(text).toMatch(
				/^Return-Path: <me@example\.org>\nDelivered-To: you@example\.com\nReceived: from /,
			);
			expect(text).not.toContain("\r");
		}
		expect(server.stderr.match(/^package=.* K=1 Z=0 D=0$/gm)).toHaveLength(2);
	});
});

test("SIGTERM closes both doors, with a 421 for who waits at the second", async () => {
	await withServer(ARGS, async (server) => {
		const [, smtpPort] = await server.until("stdout", /^listening on 127\.0\.0\.1:(\d+) for SMTP$/m);
		const socket = connect(Number(smtpPort), "127.0.0.1");
		let said = "";
		const greeted = new Promise<void>((resolve) => {
			socket.on("data", (text) => {
				said += text;
				if (said.includes("\r\n")) resolve();
			});
		});
		const closed = new Promise((resolve) => socket.on("close", resolve));
		await greeted;
		server.child.kill("SIGTERM");
		expect(await server.exit).toBe(0);
		await closed;
		expect(said).toMatch(/^220 [^\r\n]*\r\n421 /);
	});
});

test("a port for SMTP that is taken ends the program with one line", async () => {
	await withServer([], async (server) => {
		const { code, stdout, stderr } = await run(["serve", "--port", "0", "--smtp-port", server.port], {
			cwd: server.directory,
		});
		expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
		expect(stderr).toMatch(/^qmtp serve: cannot listen on 127\.0\.0\.1:\d+ for SMTP: .*EADDRINUSE.*\n$/);
	});
});
