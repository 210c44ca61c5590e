import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { run, start, withDirectory, withServer } from "../support/program.js";

const PACKAGE = "19:\nSubject: t\n\nhello\n,18:sender@example.org,20:16:rcpt@example.com,,";

describe("qmtp serve", () => {
	test("stores what it takes in ./mail and prints exactly one line on standard output", async () => {
		await withServer([], async (server) => {
			const sent = await run(
				["send", "--port", server.port, "--sender", "me@example.org", "--recipient", "you@example.com"],
				{ input: "Subject: hello\n\nhi\n" },
			);
			expect(sent).toMatchObject({ code: 0, stderr: "" });
			expect(sent.stdout).toMatch(/^K\tyou@example\.com\tok \d+ qp \d+\n$/);
			const folder = join(server.directory, "mail", "new");
			const [name = ""] = await readdir(folder);
			expect(await readFile(join(folder, name), "latin1")).toMatch(
				/^Return-Path: <me@example\.org>\nDelivered-To: you@example\.com\nReceived: from .*\n {2}by .* with QMTP; .*\nSubject: hello\n\nhi\n$/,
			);
			await server.until("stderr", /^connection peer=127\.0\.0\.1:\d+ packages=1 end=closed$/m);
			expect(server.stderr).toMatch(
				/^package=\d+ peer=127\.0\.0\.1:\d+ from=<me@example\.org> to=<you@example\.com> bytes=19 K=1 Z=0 D=0$/m,
			);
			expect(server.stdout).toBe(`listening on 127.0.0.1:${server.port}\n`);
		});
	});

	test("takes mail for other domains only from networks that may relay", async () => {
		const args = ["--queue", "discard:", "--accept", "example.com", "--relay-from", "192.0.2.0/24"];
		await withServer(args, async (server) => {
			const recipients = ["--recipient", "a@example.com", "--recipient", "b@example.net"];
			const sent = await run(["send", "--port", server.port, "--sender", "", ...recipients], {
				input: "x\n",
			});
			expect(sent.code).toBe(100);
			expect(sent.stdout).toMatch(/^K\ta@example\.com\tok .*\nD\tb@example\.net\tsorry, .*\(#5\.7\.1\)\n$/);
		});
	});

	test("--max-message-bytes refuses a longer message for good", async () => {
		await withServer(["--queue", "memory:", "--max-message-bytes", "3"], async (server) => {
			const args = ["send", "--port", server.port, "--sender", "", "--recipient", "a@example.com"];
			expect((await run(args, { input: "abc" })).code).toBe(0);
			const sent = await run(args, { input: "abcd" });
			expect(sent).toMatchObject({ code: 100 });
			expect(sent.stdout).toContain("#5.3.4");
		});
	});

	for (const signal of ["SIGTERM", "SIGINT"] as const) {
		test(`${signal} lets the package under way finish, and the server exits 0`, async () => {
			await withServer([], async (server) => {
				const client = connect({ port: Number(server.port), host: "127.0.0.1", allowHalfOpen: true });
				client.setEncoding("latin1");
				let received = "";
				client.on("data", (text) => {
					received += text;
				});
				await once(client, "connect");
				client.write(PACKAGE + PACKAGE.slice(0, 30));
				while (!received.includes(",")) await once(client, "data");
				server.child.kill(signal);
				await server.until("stderr", /finishing 1 connections/);
				client.write(PACKAGE.slice(30));
				await once(client, "end");
				client.end();
				expect(received).toMatch(/^(\d+:Kok \d+ qp \d+,){2}$/);
				expect(await server.exit).toBe(0);
				expect(await readdir(join(server.directory, "mail", "new"))).toHaveLength(2);
			});
		});
	}

	test("a second signal ends it at once", async () => {
		await withServer(["--queue", "discard:"], async (server) => {
			const client = connect({ port: Number(server.port), host: "127.0.0.1" });
			client.on("error", () => {});
			await once(client, "connect");
			client.write(PACKAGE.slice(0, 30));
			client.write(PACKAGE.slice(30) + PACKAGE.slice(0, 30));
			await once(client, "data");
			server.child.kill("SIGTERM");
			await server.until("stderr", /finishing 1 connections/);
			server.child.kill("SIGTERM");
			expect(await server.exit).toBe(0);
		});
	});

	test("control characters of addresses do not reach the log", async () => {
		await withServer(["--queue", "discard:"], async (server) => {
			const args = [
				"send",
				"--port",
				server.port,
				"--sender",
				"\x1b[31m\n@x",
				"--recipient",
				"a@example.com",
			];
			expect((await run(args, { input: "x\n" })).code).toBe(0);
			const [line] = await server.until("stderr", /^package=.*$/m);
			expect(line).toContain("from=<\\x1b[31m\\x0a@x>");
		});
	});
});

describe("wrong use of qmtp serve", () => {
	const cases: [string[], string][] = [
		[["--frob"], "unknown option '--frob'"],
		[["--port", "99999"], "--port must be a whole number from 0 to 65535, not '99999'"],
		[["--port"], "option '--port"],
		[["--port", "1", "--port", "2"], "--port was given more than once"],
		[["--queue", "nosuch:x"], "--queue must be"],
		[["--queue", "maildir:"], "needs a path"],
		[["--relay-from", "example.org"], "--relay-from must be an address or a network"],
		[["--relay-from", "192.0.2.0/33"], "--relay-from must be an address or a network"],
		[["extra"], "unexpected argument 'extra'"],
	];
	for (const [args, message] of cases) {
		test(`${args.join(" ")} is one line on standard error, and exit 1`, async () => {
			const { code, stdout, stderr } = await run(["serve", ...args]);
			expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
			expect(stderr).toContain(message);
			expect(stderr).toMatch(/^qmtp serve: .* \(try: qmtp serve --help\)\n$/);
		});
	}

	test("a port in use is a temporary failure with one plain line", async () => {
		await withServer(["--queue", "discard:"], async (server) => {
			const { code, stderr } = await run(["serve", "--queue", "discard:", "--port", server.port]);
			expect(code).toBe(111);
			expect(stderr).toBe(
				`qmtp serve: cannot listen on 127.0.0.1:${server.port}: the address is in use already\n`,
			);
		});
	});

	test("a maildir that cannot be made is a temporary failure at the start", async () => {
		await withDirectory(async (directory) => {
			await writeFile(join(directory, "file"), "");
			const running = start(["serve", "--port", "0", "--queue", `maildir:${directory}/file/mail`]);
			expect(await running.exit).toBe(111);
			expect(running.stdout).toBe("");
			expect(running.stderr).toMatch(/^qmtp serve: .*\n$/);
		});
	});
});
