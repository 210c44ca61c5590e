/** `qmtp maildir` and what servers answer, or do not. */
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { response, type Script, ScriptedServer } from "../support/client-server.js";
import { MailBox, mailFile, numberedMail } from "../support/maildir-box.js";
import { run, start } from "../support/program.js";

/** Runs the program on a maildir. */
function send(box: MailBox, port: number, ...options: string[]) {
	return run(["maildir", ...options, box.path, "p-", "127.0.0.1", String(port)]);
}

const GIVING_UP = "maildirserial: fatal: making no progress, giving up\n";

describe("qmtp maildir and the answers of a server", () => {
	test("a K removes the mail, a Z and a D keep it, and each is a line", async () => {
		const box = await MailBox.numbered(3);
		const [first, second, third] = await box.names();
		const answers = ["Kfine (#2.0.0)", "Zbad day", "Dno"];
		const server = await ScriptedServer.start((connection) =>
			connection.answerAll((_, index) => response(answers[index] as string)),
		);
		expect(await send(box, server.port)).toEqual({
			code: 111,
			stdout: "",
			stderr: [
				`maildirserial: info: ${first} succeeded: 127.0.0.1 said: fine (#2.0.0)\n`,
				`maildirserial: info: ${second} failed temporarily: 127.0.0.1 said: bad day\n`,
				`maildirserial: info: ${third} failed: 127.0.0.1 said: no\n`,
			].join(""),
		});
		expect(await box.names()).toEqual([second, third]);
		expect(server.connections).toHaveLength(1);
	});

	test("what is not printable becomes question marks, and a long text is cut", async () => {
		const box = await MailBox.numbered(2);
		const [first, second] = await box.names();
		const answers = ["Kone\ntwo\x1b[2J\x7f \xc3\xbc \xff", `K${"x".repeat(3000)}`];
		const server = await ScriptedServer.start((connection) =>
			connection.answerAll((_, index) => response(answers[index] as string)),
		);
		expect((await send(box, server.port)).stderr).toBe(
			[
				`maildirserial: info: ${first} succeeded: 127.0.0.1 said: one?two?[2J? ?? ?\n`,
				`maildirserial: info: ${second} succeeded: 127.0.0.1 said: ${"x".repeat(1983)}\n`,
			].join(""),
		);
	});

	test("mail older than the lifetime is told as failed when it gets a Z, and kept without -b", async () => {
		const box = await MailBox.create();
		await box.write("new/old", mailFile("p-1@x"), 1_209_700);
		await box.write("new/young", mailFile("p-2@x"), 1_209_500);
		const server = await ScriptedServer.start((connection) => connection.answerAll(() => response("Zlater")));
		const { code, stderr } = await send(box, server.port);
		expect(code).toBe(111);
		expect(stderr).toBe(
			[
				"maildirserial: info: new/old failed: 127.0.0.1 said: later\n",
				"maildirserial: info: new/young failed temporarily: 127.0.0.1 said: later\n",
			].join(""),
		);
		const { stderr: short } = await send(box, server.port, "-t", "3600");
		expect(short.match(/ failed:/g)).toHaveLength(2);
	});
});

describe("qmtp maildir and servers that fail", () => {
	test("a server that closes early gets the rest on the next connection", async () => {
		const box = await MailBox.numbered(10);
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received(1);
			connection.write(response("Kok"));
			connection.socket.end();
		});
		const { code, stderr } = await send(box, server.port);
		expect(code).toBe(0);
		expect(stderr.match(/succeeded/g)).toHaveLength(10);
		expect(stderr).toContain("maildirserial: warning: 127.0.0.1: the server closed the connection\n");
		expect(await box.names()).toEqual([]);
		for (const [index, { packages }] of server.connections.entries()) {
			expect(packages[0]?.body).toBe(numberedMail(index).body); // the oldest that is left
		}
	});

	const broken: [string, Script][] = [
		["closes at once", (connection) => connection.socket.end()],
		["resets the connection", (connection) => connection.socket.resetAndDestroy()],
		["closes without an answer", async (connection) => end(connection, "")],
		["closes inside an answer", async (connection) => end(connection, "3:Ko")],
		["closes before the comma", async (connection) => end(connection, "3:Kok")],
		["ends its answer wrongly", async (connection) => end(connection, "3:Kok;")],
		["speaks SMTP", async (connection) => end(connection, "220 mail.example.com ESMTP\r\n")],
		["answers with another letter", async (connection) => end(connection, "3:Xok,")],
		["answers with nothing", async (connection) => end(connection, "0:,")],
	];
	for (const [name, script] of broken) {
		test(`a server that ${name} has three chances, and no mail is removed`, async () => {
			const box = await MailBox.numbered(2);
			const server = await ScriptedServer.start(script);
			const { code, stderr } = await send(box, server.port);
			expect(code).toBe(111);
			expect(stderr).toMatch(/^(maildirserial: warning: (127\.0\.0\.1: |no connection to )[^\n]+\n){3}/);
			expect(stderr.endsWith(GIVING_UP)).toBe(true);
			expect(stderr).not.toContain("succeeded");
			expect(await box.names()).toHaveLength(2);
		});
	}

	test("a K in front of rubbish stands, and what comes behind it is kept", async () => {
		const box = await MailBox.numbered(3);
		const names = await box.names();
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received(connection.number === 0 ? 3 : 2);
			connection.write(connection.number === 0 ? `${response("Kok")}3:Kok;` : "x");
		});
		const { code, stderr } = await send(box, server.port);
		expect(code).toBe(111);
		expect(stderr.match(/succeeded/g)).toHaveLength(1);
		expect(await box.names()).toEqual(names.slice(1));
		expect(server.connections).toHaveLength(4);
	});

	test("a server that is not there has three chances", async () => {
		const listener = createServer().listen(0, "127.0.0.1");
		await once(listener, "listening");
		const { port } = listener.address() as { port: number };
		await new Promise((resolve) => listener.close(resolve));
		const box = await MailBox.numbered(1);
		const line = `maildirserial: warning: no connection to 127.0.0.1:${port}: nothing listens there (connection refused)\n`;
		expect(await send(box, port)).toEqual({ code: 111, stdout: "", stderr: line.repeat(3) + GIVING_UP });
		expect(await box.names()).toHaveLength(1);
	});

	test("a name without an address has three chances, and this machine needs none", async () => {
		const box = await MailBox.numbered(1);
		const { code, stderr } = await run(["maildir", box.path, "", "no-such-host.invalid"]);
		expect(code).toBe(111);
		expect(stderr.match(/^maildirserial: warning: no address for no-such-host\.invalid: /gm)).toHaveLength(3);
		const server = await ScriptedServer.start((connection) => connection.answerAll());
		expect((await run(["maildir", box.path, "", "", String(server.port)])).code).toBe(0);
	});

	test("a name with several addresses is tried at each", async () => {
		const box = await MailBox.numbered(1);
		const server = await ScriptedServer.start((connection) => connection.answerAll());
		const { code, stderr } = await run(["maildir", box.path, "p-", "localhost", String(server.port)]);
		expect(code).toBe(0);
		expect(stderr).toMatch(/succeeded: 127\.0\.0\.1 said: for 0@example\.com\n$/);
	});
});

describe("signals to qmtp maildir", () => {
	// One message is sent and not answered; of the next only a part is.
	const mails = [numberedMail(0), { recipient: "p-r@x", body: Buffer.alloc(50_000_000) }, numberedMail(2)];

	test("SIGTERM takes back what is being sent, takes the answers that are owed, and exits 111", async () => {
		const box = await MailBox.with(mails);
		const names = await box.names();
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await connection.receivedBytes(1000);
			running.child.kill("SIGTERM");
			await connection.end();
			connection.write(response("Kok"));
			connection.socket.end();
		});
		const running = start(["maildir", box.path, "p-", "127.0.0.1", String(server.port)]);
		expect(await running.exit).toBe(111);
		expect(running.stderr).toBe(`maildirserial: info: ${names[0]} succeeded: 127.0.0.1 said: ok\n`);
		expect(server.bodies).toEqual([numberedMail(0).body]);
		expect(await box.names()).toEqual(names.slice(1));
	});

	test("SIGINT sends nothing more", async () => {
		const box = await MailBox.numbered(100);
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			running.child.kill("SIGINT");
			await connection.answerAll();
		});
		const args = ["maildir", "--window", "1", box.path, "p-", "127.0.0.1", String(server.port)];
		const running = start(args);
		expect(await running.exit).toBe(111);
		expect(running.stderr.match(/succeeded/g)).toHaveLength(server.bodies.length);
		expect(await box.names()).toHaveLength(100 - server.bodies.length);
	});

	test("a second signal ends it at once", async () => {
		const box = await MailBox.with(mails);
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await connection.receivedBytes(1000);
			running.child.kill("SIGTERM");
			await connection.end();
			running.child.kill("SIGTERM");
		});
		const running = start(["maildir", box.path, "p-", "127.0.0.1", String(server.port)]);
		expect(await running.exit).toBe(111);
		expect(running.stderr).toBe("");
		expect(await box.names()).toHaveLength(3);
	});
});

/** Waits for a package, says something, and closes. */
async function end(connection: Parameters<Script>[0], text: string): Promise<void> {
	await connection.received();
	if (text !== "") connection.write(text);
	connection.socket.end();
}
