import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { describe, expect, onTestFinished, test } from "vitest";
import { netstring } from "../support/bytes.js";
import { MAIN, run, withDirectory, withServer } from "../support/program.js";

const MESSAGE = "Subject: hello\n\nhello\n";
const WHO = ["host.example", "s@example.org", "r@example.com"];

describe("qmtp remote over QMTP", () => {
	test("a recipient that is accepted is r, and the message K with what the server said", async () => {
		await withServer(["--queue", "memory:"], async ({ port }) => {
			const { code, stdout, stderr } = await remote(WHO, [`:127.0.0.1:${port}`]);
			expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
			expect(stdout).toMatch(/^r\0K127\.0\.0\.1 accepted message\.\nRemote host said: ok \d+ qp \d+\n\0$/);
		});
	});

	test("each recipient has its own report, in order: r, h for never, s for try again", async () => {
		const port = await answering("4:Kfor,3:Dno,6:Zlater,");
		const recipients = ["a@example.com", "b@example.com", "c@example.com"];
		const { stdout } = await remote(["host.example", "", ...recipients], [`host.example:127.0.0.1:${port}`]);
		expect(stdout.split("\0")).toEqual([
			"r",
			"h127.0.0.1 does not like recipient.\nRemote host said: no\n",
			"s127.0.0.1 does not like recipient.\nRemote host said: later\n",
			"K127.0.0.1 accepted message.\nRemote host said: for\n",
			"",
		]);
	});

	test("a message that nobody got is given up", async () => {
		const port = await answering("6:Zlater,");
		const { stdout } = await remote(WHO, [`:127.0.0.1:${port}`]);
		expect(stdout).toBe(
			"s127.0.0.1 does not like recipient.\nRemote host said: later\n\0DGiving up on 127.0.0.1.\n\0",
		);
	});

	test("a connection that dies is Z, behind the reports of those that were answered", async () => {
		const port = await answering("4:Kfor,");
		const { stdout } = await remote([...WHO, "b@example.com"], [`:127.0.0.1:${port}`]);
		expect(stdout).toBe("r\0ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n\0");
	});

	test("a server that speaks something else is Z", async () => {
		const port = await answering("220 hello\r\n");
		const { stdout } = await remote(WHO, [`:127.0.0.1:${port}`]);
		expect(stdout).toBe("ZRecipient did not talk proper QMTP (#4.3.0)\n\0");
	});

	test("the server gets the bytes of the message as they are, and the addresses as they were given", async () => {
		let got = "";
		const port = await answering("3:Kok,", (text) => {
			got += text;
		});
		const body = "a\r\nb\rc\n.\nno end";
		await remote(["host.example", "-s@example.org", '"a b"@example.com'], [`:127.0.0.1:${port}`], body);
		expect(got).toBe(
			`${netstring(`\n${body}`)}${netstring("-s@example.org")}${netstring(netstring('"a b"@example.com'))}`,
		);
	});
});

describe("what qmtp remote is given", () => {
	test("addresses pass byte for byte, also what is no UTF-8", async () => {
		let got = "";
		const port = await answering("3:Kok,", (text) => {
			got += text;
		});
		await withHome([`:127.0.0.1:${port}`], async (home) => {
			// Node encodes the arguments of what it starts; a shell does not.
			const script = `exec '${process.execPath}' '${MAIN}' remote --home '${home}' y.example "$(printf 's\\351@x')" "$(printf '\\303\\251\\377@y')"`;
			const child = spawn("/bin/sh", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] });
			child.stdin.end("x\n");
			await once(child, "close");
			expect(got).toBe(`3:\nx\n,${netstring("s\xe9@x")}${netstring(netstring("\xc3\xa9\xff@y"))}`);
		});
	});

	test("a message in a file is read where it is, and needs no room elsewhere", async () => {
		const port = await answering("3:Kok,");
		await withHome([`:127.0.0.1:${port}`], async (home) => {
			await writeFile(join(home, "message"), Buffer.alloc(3_000_000, "line\n"));
			const script = `exec '${process.execPath}' '${MAIN}' remote --home '${home}' y.example s@x r@y < '${home}/message'`;
			const env = { ...process.env, TMPDIR: "/nonexistent" };
			const child = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"], env });
			let output = "";
			child.stdout.on("data", (text) => {
				output += text;
			});
			await once(child, "close");
			expect(output).toMatch(/^r\0K127\.0\.0\.1 accepted message/);
		});
	});

	test.each(["<&-", "< /", "< /dev/null"])(
		"what is neither a file nor a pipe is no message: %s",
		async (input) => {
			await withHome([":127.0.0.1:1"], async (home) => {
				const script = `exec '${process.execPath}' '${MAIN}' remote --home '${home}' y.example s@x r@y ${input}`;
				const child = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
				let output = "";
				child.stdout.on("data", (text) => {
					output += text;
				});
				await once(child, "close");
				expect(output).toBe("ZUnable to read message. (#4.3.0)\n\0");
			});
		},
	);
});

describe("qmtp remote elsewhere", () => {
	test("what smtproutes names is sent by SMTP, with helohost, and the answers are the reports", async () => {
		const names: string[] = [];
		const server = new SMTPServer({
			authOptional: true,
			disabledCommands: ["STARTTLS", "AUTH"],
			onRcptTo: ({ address }, { hostNameAppearsAs }, done) => {
				names.push(String(hostNameAppearsAs));
				done(address.startsWith("no") ? new Error("not here") : null);
			},
			onData: (stream, _session, done) => {
				stream.resume().on("end", () => done());
			},
		});
		server.listen(0, "127.0.0.1");
		await once(server.server, "listening");
		onTestFinished(() => new Promise<void>((resolve) => server.close(resolve)));
		const { port } = server.server.address() as AddressInfo;
		const args = ["host.example", "s@example.org", "r@example.com", "no@example.com"];
		const control = { smtproutes: `:127.0.0.1:${port}`, helohost: "mx.example.org" };
		const { stdout } = await remote(args, [], MESSAGE, control);
		expect(stdout.split("\0")[0]).toBe("r");
		expect(stdout.split("\0")[1]).toMatch(
			/^h127\.0\.0\.1 does not like recipient\.\nRemote host said: .*not here\n$/,
		);
		expect(stdout.split("\0")[2]).toMatch(/^K127\.0\.0\.1 accepted message\.\nRemote host said: /);
		expect(new Set(names)).toEqual(new Set(["mx.example.org"]));
	});

	test("no connection is Z", async () => {
		const { code, stdout } = await remote(WHO, ["host.example:127.0.0.1:1"], MESSAGE, {
			smtproutes: ".example:127.0.0.1:1",
		});
		expect({ code, stdout }).toEqual({
			code: 0,
			stdout: "ZSorry, I wasn't able to establish a connection. (#4.4.1)\n\0",
		});
	});

	test("a message that goes in circles is D", async () => {
		const { stdout } = await remote(WHO, [":127.0.0.1:1"], "Received: x\n".repeat(101) + MESSAGE);
		expect(stdout).toBe("Dtoo many hops, this message is looping (#5.4.6)\n\0");
	});

	test("control files that cannot be understood are Z, and a line says why", async () => {
		const { code, stdout, stderr } = await remote(WHO, ["nonsense"]);
		expect({ code, stdout }).toEqual({ code: 0, stdout: "ZUnable to read control files. (#4.3.0)\n\0" });
		expect(stderr).toContain("nonsense");
	});

	test.each([
		[[]],
		[["host.example"]],
		[["host.example", "s@example.org"]],
		[["--bogus", ...WHO]],
		[["", "s", "r"]],
	])("wrong use, %j, is D and exit 0, as qmail-rspawn wants it", async (args) => {
		const { code, stdout, stderr } = await run(["remote", ...args], { input: MESSAGE });
		expect({ code, stdout }).toEqual({
			code: 0,
			stdout: "DI (qmail-remote) was invoked improperly. (#5.3.5)\n\0",
		});
		expect(stderr).toMatch(/^qmtp remote: /);
	});

	test("a recipient may be called --help", async () => {
		const port = await answering("3:Kok,");
		const { stdout } = await remote(["host.example", "", "--help"], [`:127.0.0.1:${port}`]);
		expect(stdout).toMatch(/^r\0K/);
	});
});

/** Runs `qmtp remote` with these lines in qmtproutes. */
async function remote(
	args: readonly string[],
	qmtproutes: readonly string[],
	input = MESSAGE,
	control: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
	let result = { code: null as number | null, stdout: "", stderr: "" };
	const use = async (home: string) => {
		result = await run(["remote", "--home", home, ...args], { input });
	};
	await withHome(qmtproutes, use, control);
	return result;
}

async function withHome(
	qmtproutes: readonly string[],
	use: (home: string) => Promise<void>,
	control: Readonly<Record<string, string>> = {},
): Promise<void> {
	await withDirectory(async (home) => {
		await mkdir(join(home, "control"));
		const files = { qmtproutes: qmtproutes.join("\n"), ...control };
		for (const [name, text] of Object.entries(files)) {
			if (text !== "") await writeFile(join(home, "control", name), `${text}\n`);
		}
		await use(home);
	});
}

/** A server that answers the first package with this text and closes. @returns Its port. */
async function answering(text: string, use: (bytes: string) => void = () => {}): Promise<number> {
	const sockets = new Set<Socket>();
	const listener = createServer((socket) => {
		sockets.add(socket);
		socket.on("error", () => {});
		socket.setEncoding("latin1").on("data", (bytes: string) => {
			use(bytes);
			if (bytes.endsWith(",,")) socket.end(text, "latin1");
		});
	});
	listener.listen(0, "127.0.0.1");
	await once(listener, "listening");
	onTestFinished(() => {
		for (const socket of sockets) socket.destroy();
		listener.close();
	});
	return (listener.address() as AddressInfo).port;
}
