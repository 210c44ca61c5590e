import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { deafPort } from "../support/client-deaf-server.js";
import { type Script, type ScriptedConnection, ScriptedServer } from "../support/client-server.js";
import { type Finished, run, start, withServer } from "../support/program.js";

const TO_R = ["--recipient", "r@example.com"];
const TO_R_AND_Q = [...TO_R, "--recipient", "q@example.com"];
/** For a server that breaks the silence: on a busy machine that may take it more than a moment. */
const LONG = ["--wait", "60000"];
const MS = String.raw`\d+\.\d ms`;
const SILENT = "silent for 50 ms, as a QMTP server is\n";
const CLOSED = `closed cleanly ${MS} after we had closed our side\n`;

/** Runs a probe of a server on this machine to its end. */
function probe(port: number | string, args: readonly string[] = []): Promise<Finished> {
	return run(["probe", `127.0.0.1:${port}`, ...(args.includes("--wait") ? args : [...args, "--wait", "50"])]);
}

/** The same of a server that does what the script says. */
async function probeOf(script: Script, args: readonly string[] = []): Promise<Finished> {
	return probe((await ScriptedServer.start(script)).port, args);
}

/** Standard output behind the lines that each connection begins with. */
function steps({ stdout }: Finished): string {
	const match = /^connected to 127\.0\.0\.1:\d+ in \d+\.\d ms\ntls: none\n(.*)$/s.exec(stdout);
	expect(match, stdout).not.toBeNull();
	return match?.[1] ?? "";
}

/** A script that answers a package with some text, and closes when the client does. */
function answering(text: string): Script {
	return async (connection) => {
		await connection.received();
		connection.write(text);
		await connection.gone();
		connection.socket.end();
	};
}

function exactly(text: string): RegExp {
	return new RegExp(`^${text}$`);
}

describe("qmtp probe and a QMTP server", () => {
	test("that waits and closes is fine", async () => {
		await withServer(["--queue", "discard:"], async (server) => {
			const probed = await probe(server.port);
			expect(probed).toMatchObject({ code: 0, stderr: "" });
			expect(steps(probed)).toMatch(exactly(SILENT + CLOSED));
			await server.until("stderr", /^connection peer=\S+ packages=0 end=closed$/m);
		});
	});

	test("that takes the test message is fine", async () => {
		await withServer(["--queue", "discard:"], async (server) => {
			const probed = await probe(server.port, [...TO_R_AND_Q, "--sender", "s@example.org"]);
			expect(probed).toMatchObject({ code: 0, stderr: "" });
			const answers = `K\tr@example\\.com\tok .*\t${MS}\nK\tq@example\\.com\tok .*\t${MS}\n`;
			expect(steps(probed)).toMatch(exactly(SILENT + answers + CLOSED));
			await server.until(
				"stderr",
				/ from=<s@example\.org> to=<r@example\.com>,<q@example\.com> .* K=2 Z=0 D=0$/m,
			);
		});
	});

	test("gets a message of fields and a line, with LF", async () => {
		const server = await ScriptedServer.start((connection) => connection.answerAll());
		await probe(server.port, [...TO_R_AND_Q, "--sender", "s@example.org"]);
		const { encoding, body, sender, recipients } = await (await server.connection()).received();
		expect({ encoding, sender, recipients }).toEqual({
			encoding: "lf",
			sender: "s@example.org",
			recipients: ["r@example.com", "q@example.com"],
		});
		expect(body.split("\n")).toEqual([
			"From: s@example.org",
			"To: r@example.com,",
			" q@example.com",
			"Subject: qmtp probe",
			expect.stringMatching(/^Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000$/),
			expect.stringMatching(/^Message-ID: <[0-9a-f-]{36}@[A-Za-z0-9.-]+>$/),
			"",
			expect.stringMatching(/^This is a test: /),
			"",
		]);
	});

	for (const address of [
		"a\nSubject: x@example.com",
		"a b@example.com",
		"<r@example.com>",
		"ü@example.com",
	]) {
		test(`an address that no field could hold stands in none: ${JSON.stringify(address)}`, async () => {
			const server = await ScriptedServer.start((connection) => connection.answerAll());
			await probe(server.port, ["--recipient", address, "--sender", address]);
			const { body, recipients } = await (await server.connection()).received();
			expect(recipients).toEqual([Buffer.from(address).toString("latin1")]);
			expect(body).toMatch(
				/^From: qmtp-probe@[A-Za-z0-9.-]+\nTo: undisclosed-recipients:;\nSubject: qmtp probe\n/,
			);
		});
	}

	test("the sender is empty unless one is given", async () => {
		const server = await ScriptedServer.start((connection) => connection.answerAll());
		expect((await probe(server.port, TO_R)).code).toBe(0);
		expect((await (await server.connection()).received()).sender).toBe("");
	});

	for (const [answers, code] of [
		["3:Kok,5:Zbusy,", 111],
		["5:Zbusy,4:Dno!,", 100],
		["4:Dno!,3:Kok,", 100],
	] as const) {
		test(`that answers ${answers} makes exit ${code}`, async () => {
			const probed = await probeOf(answering(answers), TO_R_AND_Q);
			expect(probed).toMatchObject({ code, stderr: "" });
			const [one, two] = [...answers.matchAll(/\d:(.)(.*?),/g)].map(([, status, text]) => [status, text]);
			const lines = `${one?.[0]}\tr@example\\.com\t${one?.[1]}\t${MS}\n${two?.[0]}\tq@example\\.com\t${two?.[1]}\t${MS}\n`;
			expect(steps(probed)).toMatch(exactly(SILENT + lines + CLOSED));
		});
	}

	test("that answers in single bytes is understood", async () => {
		const probed = await probeOf(async (connection) => {
			await connection.received();
			for (const byte of "3:Kok,4:Dno!,") {
				connection.write(byte);
				await new Promise((resolve) => setImmediate(resolve));
			}
			await connection.end();
			connection.socket.end();
		}, TO_R_AND_Q);
		expect(probed).toMatchObject({ code: 100, stderr: "" });
		expect(steps(probed)).toContain("K\tr@example.com\tok\t");
		expect(steps(probed)).toContain("D\tq@example.com\tno!\t");
	});

	test("an answer is printed when it is there, not when all are", async () => {
		let first = () => {};
		const printed = new Promise<void>((resolve) => {
			first = resolve;
		});
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write("3:Kok,");
			await printed;
			connection.write("3:Kok,");
			await connection.end();
			connection.socket.end();
		});
		const running = start(["probe", `127.0.0.1:${server.port}`, "--wait", "50", ...TO_R_AND_Q]);
		await running.until("stdout", /^K\tr@example\.com\tok\t/m);
		expect(running.stdout).not.toContain("q@example.com");
		first();
		expect(await running.exit).toBe(0);
	});

	test("a server's text cannot steer the terminal or forge a line", async () => {
		const probed = await probeOf(answering("11:Dno\nK\tx\x1b[2J,"), TO_R);
		expect(probed.code).toBe(100);
		expect(steps(probed)).toContain("\nD\tr@example.com\tno\\x0aK\\x09x\\x1b[2J\t");
	});

	test("is reached over IPv6", async (context) => {
		const server = createServer({ allowHalfOpen: true }, (socket) => {
			socket.on("end", () => socket.end()).resume();
		});
		const listening = await new Promise((resolve) => {
			server.once("error", () => resolve(false));
			server.listen(0, "::1", () => resolve(true));
		});
		if (!listening) return context.skip("no IPv6 loopback here");
		onTestFinished(() => void server.close());
		const { port } = server.address() as AddressInfo;
		const { code, stdout } = await run(["probe", `[::1]:${port}`, "--wait", "50"]);
		expect(code).toBe(0);
		expect(stdout).toMatch(new RegExp(`^connected to \\[::1\\]:${port} in ${MS}\n`));
	});
});

describe("qmtp probe and what speaks first", () => {
	const cases: [name: string, text: string, code: number, stdout: string, stderr: RegExp][] = [
		[
			"an SMTP server",
			"220 mail.example.org ESMTP\r\n",
			100,
			"not silent: 220 mail.example.org ESMTP\n",
			/: 127\.0\.0\.1:\d+ seems to be an SMTP server: it greets with 220; is this the port for QMTP\?\n$/,
		],
		[
			"a QMTP server that is not set up",
			"47:Z4.3.0 Could not change to the qmail directory.,",
			111,
			"not silent, a response: Z\t4.3.0 Could not change to the qmail directory.\n",
			/ gave a response before it was sent anything; see to its set-up/,
		],
		[
			"a K before anything, with a line end in it",
			"7:Kok\nyes,",
			100,
			"not silent, a response: K\tok\\x0ayes\n",
			/ gave a response before it was sent anything; /,
		],
		[
			"a greeting without a line end",
			"SSH",
			100,
			"not silent: SSH\n",
			/ is no QMTP server: it speaks before it was sent anything; /,
		],
		[
			"a length that begins like SMTP",
			"220:Kno more",
			100,
			"not silent: 220:Kno more\n",
			/ is no QMTP server: /,
		],
		[
			"bytes of all sorts",
			"\0\x1b[2J\xff\n",
			100,
			"not silent: \\x00\\x1b[2J\ufffd\n",
			/ is no QMTP server: /,
		],
	];
	for (const [name, text, code, line, stderr] of cases) {
		test(`${name}: exit ${code}`, async () => {
			const probed = await probeOf(
				({ socket }) => socket.end(Buffer.from(text, "latin1")),
				[...TO_R, ...LONG],
			);
			expect(probed.code).toBe(code);
			expect(steps(probed)).toBe(line);
			expect(probed.stderr).toMatch(/^qmtp probe: [^\n]*\n$/);
			expect(probed.stderr).toMatch(stderr);
		});
	}

	test("a greeting in pieces is put together, and nothing is sent to who gives it", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			for (const byte of "220 mail.example.org\r\n") {
				connection.write(byte);
				await new Promise((resolve) => setImmediate(resolve));
			}
		});
		const probed = await probe(server.port, [...TO_R, ...LONG]);
		expect(steps(probed)).toBe("not silent: 220 mail.example.org\n");
		const connection = await server.connection();
		await connection.gone();
		expect(connection.bytes).toBe(0);
	});

	test("of one who breaks off in the middle of a line that is shown", async () => {
		const probed = await probeOf((connection) => connection.write("7:Zno"), ["--wait", "1000"]);
		expect(probed.code).toBe(100);
		expect(steps(probed)).toBe("not silent: 7:Zno\n");
	});

	test("of one who never stops only the beginning is read", async () => {
		const probed = await probeOf((connection) => void pour(connection), LONG);
		expect(probed.code).toBe(100);
		expect(steps(probed)).toBe(`not silent: ${"x".repeat(1024)}\n`);
	});
});

describe("qmtp probe and a server that fails", () => {
	test("one that closes at once, and one that resets: exit 111", async () => {
		const closed = await probeOf(({ socket }) => socket.end(), LONG);
		expect(closed.code).toBe(111);
		expect(closed.stderr).toMatch(
			/^qmtp probe: the server closed the connection before it was sent anything; .*\n$/,
		);
		const reset = await probeOf(({ socket }) => socket.resetAndDestroy(), LONG);
		expect(reset.code).toBe(111);
		expect(reset.stderr).toMatch(/^qmtp probe: [^\n]*(lost|reset)[^\n]*\n$/);
	});

	test("one that never closes: exit 111 when its time is over", async () => {
		const probed = await probeOf(() => {}, ["--timeout", "1"]);
		expect(probed.code).toBe(111);
		expect(steps(probed)).toBe(SILENT);
		expect(probed.stderr).toMatch(
			/^qmtp probe: the server did not close within 1 s after we had closed our side; .*\n$/,
		);
	});

	test("one that answers, and speaks when it should close: exit 111, or 100 if the answer was a D", async () => {
		for (const [answer, code] of [
			["3:Kok,", 111],
			["3:Dno,", 100],
		] as const) {
			const probed = await probeOf(async (connection) => {
				await connection.received();
				connection.write(answer);
				await connection.end();
				connection.socket.end("4:Kbye,");
			}, TO_R);
			expect(probed.code).toBe(code);
			expect(steps(probed)).toMatch(/\tr@example\.com\t.*\nsent unasked: 4:Kbye,\n$/);
			expect(probed.stderr).toMatch(/^qmtp probe: the server sent more than was due; .*\n$/);
		}
	});

	test("one that closes when it has answered is none: it may", async () => {
		const probed = await probeOf(async (connection) => {
			await connection.received();
			connection.socket.end("3:Kok,");
		}, TO_R);
		expect(probed).toMatchObject({ code: 0, stderr: "" });
		expect(steps(probed)).toMatch(
			/\tok\t.*\nclosed (by the server before|cleanly \d+\.\d ms after) we had closed our side\n$/,
		);
	});

	test("one that resets when it should close: exit 111", async () => {
		const probed = await probeOf(async (connection) => {
			await connection.end();
			connection.socket.resetAndDestroy();
		});
		expect(probed.code).toBe(111);
		expect(probed.stderr).toMatch(
			/^qmtp probe: the server reset the connection instead of closing it; .*\n$/,
		);
	});

	test("one that gives more answers than there are recipients: exit 111", async () => {
		const probed = await probeOf(answering("3:Kok,3:Kok,3"), TO_R);
		expect(probed.code).toBe(111);
		expect(probed.stderr).toMatch(/^qmtp probe: the server sent 7 bytes behind its answers; .*\n$/);
	});

	test("one that gives one answer to two recipients: its answer, and exit 111 when its time is over", async () => {
		const probed = await probeOf(answering("3:Kok,"), [...TO_R_AND_Q, "--timeout", "1"]);
		expect(probed.code).toBe(111);
		expect(steps(probed)).toMatch(exactly(`${SILENT}K\tr@example\\.com\tok\t${MS}\n`));
		expect(probed.stderr).toMatch(/^qmtp probe: 1 of 2 recipients got an answer within 1 s; .*\n$/);
	});

	test("one that does not answer: exit 111 when its time is over", async () => {
		const probed = await probeOf((connection) => connection.received(), [...TO_R, "--timeout", "1"]);
		expect(probed.code).toBe(111);
		expect(probed.stderr).toMatch(/^qmtp probe: no answer within 1 s; .*\n$/);
	});

	test("one that closes, or resets, between two answers: exit 111, or 100 if there was a D", async () => {
		const closed = await probeOf(async (connection) => {
			await connection.received();
			connection.socket.end("3:Kok,");
		}, TO_R_AND_Q);
		expect(closed.code).toBe(111);
		expect(closed.stderr).toMatch(
			/^qmtp probe: the server closed the connection after 1 of 2 answers; .*\n$/,
		);
		const server = await ScriptedServer.start(answering("3:Dno,3:"));
		const reset = start(["probe", `127.0.0.1:${server.port}`, "--wait", "50", ...TO_R_AND_Q]);
		await reset.until("stdout", /^D\t/m); // a reset that comes together with bytes looks like a close
		(await server.connection()).socket.resetAndDestroy();
		expect(await reset.exit).toBe(100);
		expect(reset.stderr).toMatch(/^qmtp probe: the server reset the connection after 1 of 2 answers; .*\n$/);
	});

	for (const [name, text, shown] of [
		["another protocol", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n", "HTTP/1.1 400 Bad Request"],
		["a response without a status", "0:,", "0:,"],
		["a netstring without a comma", "3:Kok\n", "3:Kok"],
		["a status that does not exist", "3:Xok,", "3:Xok,"],
		["a length without end", "9".repeat(5000), "9".repeat(1024)],
		["control characters", "\x1b[2J", "\\x1b[2J"],
	] as const) {
		test(`one that answers with ${name}: exit 100`, async () => {
			const probed = await probeOf(answering(`3:Kok,${text}`), TO_R_AND_Q);
			expect(probed.code).toBe(100);
			const begun = new RegExp(`^${SILENT}K\tr@example\\.com\tok\t${MS}\nno response: `);
			expect(steps(probed)).toMatch(begun);
			// What is kept holds the response before it too.
			expect(steps(probed).replace(begun, "")).toBe(`${shown.slice(0, 1024 - "3:Kok,".length)}\n`);
			expect(probed.stderr).toMatch(/^qmtp probe: the server answers with what is no QMTP response: .*\n$/);
		});
	}
});

describe("qmtp probe without a connection", () => {
	test("a port that refuses: exit 111", async () => {
		const listener = createServer().listen(0, "127.0.0.1");
		await once(listener, "listening");
		const { port } = listener.address() as AddressInfo;
		await new Promise((resolve) => listener.close(resolve));
		expect(await probe(port)).toEqual({
			code: 111,
			stdout: "",
			stderr: `qmtp probe: no connection to 127.0.0.1:${port}: nothing listens there (connection refused); is the server running, and is this its port?\n`,
		});
	});

	test("a name that does not exist: exit 111", async () => {
		const { code, stdout, stderr } = await run(["probe", "nonexistent.invalid", "--timeout", "2"]);
		expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
		// A resolver that cannot ask anybody does not know.
		expect(stderr).toMatch(
			/^qmtp probe: no connection to nonexistent\.invalid:209(: there is no host by that name|: the name cannot be looked up now| within 2000 ms); .*\n$/,
		);
	});

	test("one that does not come about in time: exit 111", async () => {
		const port = await deafPort();
		const { code, stdout, stderr } = await probe(port, ["--timeout", "1"]);
		expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
		expect(stderr).toMatch(/^qmtp probe: no connection to 127\.0\.0\.1:\d+ within 1000 ms; .*\n$/);
	});
});

describe("a signal ends qmtp probe at once with 111", () => {
	const interrupted = "qmtp probe: interrupted\n";

	test("while it listens, and while it waits for an answer", async () => {
		for (const [signal, args, until] of [
			["SIGINT", ["--wait", "60000"], /^tls: none\n/m],
			["SIGTERM", ["--wait", "50", ...TO_R], new RegExp(SILENT)],
		] as const) {
			const server = await ScriptedServer.start(() => {});
			const running = start(["probe", `127.0.0.1:${server.port}`, "--timeout", "3600", ...args]);
			await running.until("stdout", until);
			running.child.kill(signal);
			expect(await running.exit).toBe(111);
			expect(running.stderr).toBe(interrupted);
		}
	});
});

describe("wrong use of qmtp probe", () => {
	const example = "is not HOST[:PORT]";
	const cases: [string[], string][] = [
		[[], "HOST is missing"],
		[["a", "b"], "unexpected argument 'b'"],
		[["a", "--sender", "s@example.org"], "--sender needs a --recipient"],
		[["a", "--sender", "s", "--sender", "t", ...TO_R], "--sender was given more than once"],
		[["a", "--timeout", "0"], "--timeout must be a whole number from 1 to 86400, not '0'"],
		[["a", "--wait", "soon"], "--wait must be a whole number"],
		[["a", "--port", "209"], "unknown option '--port'"],
		[[""], example],
		[["a:"], example],
		[["a:0"], example],
		[["a:65536"], example],
		[["a:smtp"], example],
		[[":209"], example],
		[["[::1"], example],
		[["[127.0.0.1]"], example],
		[["[]:209"], example],
		[["1:2:3"], example],
		[["qmtp://a:209"], example],
		[["a b"], example],
	];
	for (const [args, message] of cases) {
		test(`${args.join(" ") || "nothing"}: one line on standard error, and exit 1`, async () => {
			const { code, stdout, stderr } = await run(["probe", ...args]);
			expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
			expect(stderr).toContain(message);
			expect(stderr).toMatch(/^qmtp probe: .* \(try: qmtp probe --help\)\n$/);
		});
	}
});

/** Writes without a line end until the client is gone. */
async function pour({ socket }: ScriptedConnection): Promise<void> {
	socket.on("error", () => {});
	while (!socket.destroyed) {
		if (socket.write("x".repeat(65536))) continue;
		await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => {});
	}
}
