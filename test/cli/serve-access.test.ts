/** `qmtp serve` with rules, control files and qmail-queue, as administrators of qmail hosts start it. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { chmod, readFile, rename, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { netstring } from "../support/bytes.js";
import { type Running, run, start, withDirectory, withServer } from "../support/program.js";
import { makeQmailHome, queuedMessages } from "../support/qmail-home.js";

describe("rules", () => {
	test("as text they say who may connect, who may relay, and how large messages may be", async () => {
		const rules = [
			'127.0.0.1:allow,RELAYCLIENT=""',
			'127.0.0.2:allow,RELAYCLIENT="@via.example"',
			'127.0.0.3:allow,DATABYTES="3"',
			"127.0.0.4:deny",
		];
		await withRules(rules, async (server) => {
			expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("K");
			expect(await statuses(server, "127.0.0.2", to("a@else.example"))).toBe("K");
			expect(
				await statuses(server, "127.0.0.3", to("a@else.example", "xxx") + to("a@example.com", "xxx")),
			).toBe("DK");
			expect(await statuses(server, "127.0.0.3", to("a@example.com", "xxxx"))).toBe("D");
			expect(await statuses(server, "127.0.0.4", to("a@example.com"))).toBe("");
			await server.until("stderr", /^deny peer=127\.0\.0\.4:\d+ rule="127\.0\.0\.4"$/m);
			// No rule is there for it: it may connect, and not relay.
			expect(await statuses(server, "127.0.0.5", to("a@else.example") + to("a@example.com"))).toBe("DK");
		});
	});

	test("with rules nobody may relay who is not named in them, unless --relay-from says so", async () => {
		await withRules([":allow"], async (server) => {
			expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("D");
		});
		await withRules(
			[":allow"],
			async (server) => {
				expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("K");
				expect(await statuses(server, "127.0.0.2", to("a@else.example"))).toBe("D");
			},
			["--relay-from", "127.0.0.1"],
		);
	});

	test("a new version counts for the next connection, and a broken one leaves the old in force and is one fault", async () => {
		await withRules([":allow"], async (server) => {
			const path = join(server.directory, "rules");
			const replace = async (text: string) => {
				await writeFile(`${path}.new`, text);
				await rename(`${path}.new`, path);
			};
			expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("D");
			await replace('127.:allow,RELAYCLIENT=""\n');
			expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("K");
			await replace("127.:perhaps\n");
			expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("K");
			expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("K");
			expect(server.stderr.match(/^fault .*rules/gm)).toHaveLength(1);
			await replace(":deny\n");
			expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("");
		});
	});

	test("rules for what an ident server says are warned of, since none is asked", async () => {
		await withRules(["joe@127.0.0.1:deny", ":allow"], async (server) => {
			await server.until("stderr", /^warning: rules for INFO@ never match/m);
		});
	});

	test("a compiled file is known by what is in it, whatever its name", async () => {
		await withRules([":allow"], async (server) => {
			const path = join(server.directory, "rules");
			await writeFile(`${path}.new`, await readFile(new URL("../fixtures/rules.cdb", import.meta.url)));
			await rename(`${path}.new`, path);
			expect(await statuses(server, "127.0.0.1", to("a@else.example"))).toBe("K");
			expect(server.stderr).not.toMatch(/^fault/m);
		});
	});

	test("a file that has become empty lets nobody in whom the old rules kept out", async () => {
		await withRules(["127.0.0.1:allow", ":deny"], async (server) => {
			await writeFile(join(server.directory, "rules"), "# nothing\n");
			expect(await statuses(server, "127.0.0.2", to("a@example.com"))).toBe("");
			await server.until("stderr", /^fault .*there is no rule in it/m);
			expect(await statuses(server, "127.0.0.1", to("a@example.com"))).toBe("K");
		});
	});

	test("a client that resets its connection at once puts nothing into the queue past its rule", async () => {
		await withRules(
			["127.0.0.1:deny", ":allow"],
			async (server) => {
				for (let client = 0; client < 100; client++) {
					const socket = connect({ port: Number(server.port), host: "127.0.0.1" });
					await once(socket, "connect");
					const written = new Promise((resolve) => socket.write(to("a@example.com"), "latin1", resolve));
					await written;
					socket.resetAndDestroy();
					await once(socket, "close");
				}
				expect(await statuses(server, "127.0.0.2", to("a@example.com", "last"))).toBe("K");
				expect(server.stderr.match(/^package=/gm)).toHaveLength(1);
			},
			["--queue", "memory:"],
		);
	});

	test.each([
		["that is not there", null, /rules/],
		["that is empty", "", /there is no rule in it/],
		["that is damaged", "x:perhaps\n", /perhaps/],
	])("a file %s is exit 111 at the start", async (_, text, problem) => {
		await withDirectory(async (directory) => {
			const path = join(directory, "rules");
			if (text !== null) await writeFile(path, text);
			const { code, stdout, stderr } = await run([
				"serve",
				"--port",
				"0",
				"--queue",
				"discard:",
				"--rules",
				path,
			]);
			expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
			expect(stderr).toMatch(problem);
		});
	});
});

describe("control files", () => {
	test("rcpthosts, databytes and me are those of the directory, and count when they change", async () => {
		await withDirectory(async (home) => {
			await makeQmailHome(home, {
				me: "mx.example.com",
				databytes: "3",
				rcpthosts: ["Example.COM", ".example.net"],
			});
			const args = [
				"--control",
				join(home, "control"),
				"--relay-from",
				"192.0.2.1",
				"--queue",
				`qmail:${home}`,
			];
			await withServer(args, async (server) => {
				const input =
					to("a@example.com") + to("a@x.example.net") + to("a@example.net") + to("a@example.com", "xxxx");
				expect(await statuses(server, "127.0.0.1", input)).toBe("KKDD");
				const [queued] = await queuedMessages(home);
				expect(queued?.message).toMatch(
					/^Received: from unknown \(127\.0\.0\.1\)\n {2}by mx\.example\.com with QMTP; /,
				);
				await writeFile(join(home, "control", "rcpthosts"), "example.net\n");
				await writeFile(join(home, "control", "databytes"), "0\n");
				const later = to("a@example.net", "x".repeat(5000)) + to("a@example.com");
				expect(await statuses(server, "127.0.0.1", later)).toBe("KD");
			});
		});
	});

	test("without rcpthosts no mail is taken from strangers, and a warning says so", async () => {
		await withDirectory(async (home) => {
			await makeQmailHome(home, {});
			const args = ["--control", join(home, "control"), "--relay-from", "127.0.0.2", "--queue", "discard:"];
			await withServer(args, async (server) => {
				await server.until("stderr", /^warning: there is no control\/rcpthosts/m);
				expect(await statuses(server, "127.0.0.1", to("a@example.com"))).toBe("D");
				expect(await statuses(server, "127.0.0.2", to("a@example.com"))).toBe("K");
			});
		});
	});

	test("a directory that is not there is exit 111 at the start", async () => {
		const { code, stderr } = await run([
			"serve",
			"--port",
			"0",
			"--queue",
			"discard:",
			"--control",
			"/nonexistent",
		]);
		expect(code).toBe(111);
		expect(stderr).toContain("/nonexistent");
	});
});

describe("--queue qmail:DIR", () => {
	test("hands over what tcpserver and rules would have put into the environment", async () => {
		await withDirectory(async (home) => {
			const dump = `#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; env > '${home}/env'\n`;
			await makeQmailHome(home, {}, dump);
			await writeFile(
				join(home, "rules"),
				'127.0.0.3:allow,RELAYCLIENT="@x",FOO="b\xe4r"\n:allow\n',
				"latin1",
			);
			await withServer(["--rules", join(home, "rules"), "--queue", `qmail:${home}`], async (server) => {
				expect(await statuses(server, "127.0.0.3", to("a@example.com"))).toBe("K");
				const environment = readFileSync(join(home, "env"), "latin1").split("\n");
				expect(environment).toEqual(
					expect.arrayContaining([
						"TCPREMOTEIP=127.0.0.3",
						"TCPLOCALIP=127.0.0.1",
						"PROTO=TCP",
						"RELAYCLIENT=@x",
					]),
				);
				expect(environment).toContain(`TCPLOCALPORT=${server.port}`);
				expect(environment.some((line) => line.startsWith("FOO=b"))).toBe(true);
			});
		});
	});

	test("a directory without qmail-queue is exit 111 at the start, and the line says what is missing", async () => {
		await withDirectory(async (home) => {
			const { code, stdout, stderr } = await run(["serve", "--port", "0", "--queue", `qmail:${home}`]);
			expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
			expect(stderr).toMatch(/^qmtp serve: cannot use qmail:\S+: .*qmail-queue/);
		});
	});

	test("SIGTERM waits for the qmail-queue under way, and its K still goes out", async () => {
		await withDirectory(async (home) => {
			const slow = `#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; echo > '${home}/in'; read -r go < '${home}/go'\n`;
			await makeQmailHome(home, { rcpthosts: ["example.com"] }, slow);
			execFileSync("mkfifo", [join(home, "go"), join(home, "in")]);
			await withServer(["--accept", "example.com", "--queue", `qmail:${home}`], async (server) => {
				const answer = statuses(server, "127.0.0.1", to("a@example.com"));
				await readFile(join(home, "in")); // it has read all
				server.child.kill("SIGTERM");
				await server.until("stderr", /^SIGTERM: finishing 1 connections$/m);
				await writeFile(join(home, "go"), "\n");
				expect(await answer).toBe("K");
				expect(await server.exit).toBe(0);
			});
		});
	});
});

test("a second signal ends the program although qmail-queue hangs", async () => {
	await withDirectory(async (home) => {
		const hanging = `#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; echo > '${home}/in'; read -r go < '${home}/go'\n`;
		await makeQmailHome(home, {}, hanging);
		execFileSync("mkfifo", [join(home, "go"), join(home, "in")]);
		await withServer(["--queue", `qmail:${home}`], async (server) => {
			const answer = statuses(server, "127.0.0.1", to("a@example.com"));
			await readFile(join(home, "in"));
			server.child.kill("SIGTERM");
			await server.until("stderr", /^SIGTERM: finishing 1 connections$/m);
			const exited = once(server.child, "exit"); // its standard error is still open, in the program
			server.child.kill("SIGTERM");
			expect(await exited).toEqual([0, null]);
			expect(await answer).toBe("");
			await writeFile(join(home, "go"), "\n"); // so that the program comes to its end
		});
	});
});

describe("--log", () => {
	test("json is an object a line", async () => {
		await withServer(["--queue", "discard:", "--log", "json"], async (server) => {
			await statuses(server, "127.0.0.1", `${to("a\n@example.com")}x`);
			await server.until("stderr", /"event":"disconnect".*\n/);
			const events = server.stderr
				.trim()
				.split("\n")
				.map((line) => JSON.parse(line) as Record<string, unknown>);
			expect(events.map(({ event }) => event)).toEqual([
				"listening",
				"connection",
				"access",
				"package",
				"disconnect",
			]);
			expect(events[2]).toMatchObject({ connection: 1, allowed: true, relay: true });
			expect(events[3]).toMatchObject({
				connection: 1,
				accepted: 1,
				recipients: [{ recipient: "a\n@example.com", status: "K" }],
			});
			expect(events[4]).toMatchObject({
				connection: 1,
				packages: 1,
				error: { code: "ERR_NETSTRING_LENGTH_DIGIT" },
			});
			for (const { time } of events) expect(new Date(time as string).getTime()).toBeGreaterThan(0);
		});
	});

	test("tcpserver has its lines, with the status that each end would have", async () => {
		await withRules(
			["127.0.0.4:deny"],
			async (server) => {
				await statuses(server, "127.0.0.1", to("a@example.com"));
				await statuses(server, "127.0.0.1", "x");
				await statuses(server, "127.0.0.1", "3000000000");
				await statuses(server, "127.0.0.4", to("a@example.com"));
				await server.until("stderr", /(^tcpserver: end [\s\S]*){4}status: 0\/7\n/m);
				const lines = server.stderr.split("\n").filter((line) => line.startsWith("tcpserver: "));
				const numbers = [...server.stderr.matchAll(/^tcpserver: pid (\d+) /gm)].map(([, number]) => number);
				expect(new Set(numbers).size).toBe(4);
				const connection = (verdict: string, address: string, status: number) => [
					"tcpserver: status: 1/7",
					expect.stringMatching(new RegExp(`^tcpserver: pid \\d+ from ${address}$`)),
					expect.stringMatching(
						new RegExp(
							`^tcpserver: ${verdict} \\d+ mx\\.example:127\\.0\\.0\\.1:${server.port} :${address}::\\d+$`,
						),
					),
					expect.stringMatching(new RegExp(`^tcpserver: end \\d+ status ${status}$`)),
					"tcpserver: status: 0/7",
				];
				expect(lines).toEqual([
					"tcpserver: status: 0/7",
					...connection("ok", "127.0.0.1", 0),
					...connection("ok", "127.0.0.1", 25600),
					...connection("ok", "127.0.0.1", 28416),
					...connection("deny", "127.0.0.4", 25600),
				]);
			},
			["--log", "tcpserver", "--max-connections", "7", "--hostname", "mx.example"],
		);
	});

	test("what strangers call themselves stays inside its own field", async () => {
		const sender = 'a> to=<b@x> K=9 "\\\x9b\u202e';
		for (const format of ["text", "json"]) {
			await withServer(["--queue", "discard:", "--log", format], async (server) => {
				const bytes = Buffer.from(sender, "utf8").toString("latin1");
				await statuses(server, "127.0.0.1", `2:\nx,${netstring(bytes)}17:13:r@example.com,,`);
				const [line] = await server.until(
					"stderr",
					format === "json" ? /.*"event":"package".*/ : /^package=.*$/m,
				);
				if (format === "json") expect(JSON.parse(line)).toMatchObject({ sender });
				else expect(line).toContain("from=<a\\x3e\\x20to=\\x3cb@x\\x3e\\x20K=9\\x20\\x22\\x5c\\x9b\\x202e>");
				expect(line).not.toMatch(/[\x7f-\x9f\u202e]/);
			});
		}
	});

	test("another word is wrong use", async () => {
		const { code, stderr } = await run(["serve", "--log", "xml"]);
		expect(code).toBe(1);
		expect(stderr).toContain("--log must be text, json or tcpserver, not 'xml'");
	});
});

describe("--user", () => {
	test("is what the server runs as, with no other group, before the queue makes a file", async (context) => {
		if (userInfo().uid !== 0) context.skip("only root can become another user");
		await withDirectory(async (directory) => {
			await chmod(directory, 0o777);
			await withServer(["--user", "nobody", "--queue", `maildir:${directory}/mail`], async (server) => {
				const status = readFileSync(`/proc/${server.child.pid}/status`, "utf8");
				const [, uid] = /^Uid:\t(\d+)\t\1\t\1\t\1$/m.exec(status) ?? [];
				const [, gid] = /^Gid:\t(\d+)\t\1\t\1\t\1$/m.exec(status) ?? [];
				expect(Number(uid)).toBeGreaterThan(0);
				expect(/^Groups:\t(.*?) ?$/m.exec(status)?.[1]).toBe(gid);
				expect(await statuses(server, "127.0.0.1", to("a@example.com"))).toBe("K");
				expect(statSync(join(directory, "mail", "new")).uid).toBe(Number(uid));
			});
		});
	});

	test("that does not exist is wrong use", async () => {
		const running = start(["serve", "--port", "0", "--queue", "discard:", "--user", "no-such-user"]);
		expect(await running.exit).toBe(1);
		expect(running.stderr).toContain("there is no user of this name");
	});

	test("that is root would give up nothing", async () => {
		const running = start(["serve", "--port", "0", "--queue", "discard:", "--user", "root"]);
		expect(await running.exit).toBe(1);
		expect(running.stderr).toContain("nothing would be given up");
	});

	test("must be able to read the rules, which else could never be read again", async (context) => {
		if (userInfo().uid !== 0) context.skip("only root can become another user");
		await withDirectory(async (directory) => {
			await writeFile(join(directory, "rules"), ":allow\n", { mode: 0o600 });
			const args = ["--rules", join(directory, "rules"), "--user", "nobody", "--queue", "discard:"];
			const { code, stdout, stderr } = await run(["serve", "--port", "0", ...args]);
			expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
			expect(stderr).toContain(join(directory, "rules"));
		});
	});
});

type Server = Running & { port: string; directory: string };

/** Runs a server with rules, the file `rules` in its directory; it takes mail for example.com. */
async function withRules(
	rules: readonly string[],
	use: (server: Server) => Promise<void>,
	args: readonly string[] = [],
): Promise<void> {
	await withDirectory(async (directory) => {
		await writeFile(join(directory, "rules"), rules.map((line) => `${line}\n`).join(""));
		const queue = args.includes("--queue") ? [] : ["--queue", "discard:"];
		const options = ["--rules", join(directory, "rules"), "--accept", "example.com", ...queue, ...args];
		await withServer(options, (server) => use(Object.assign(server, { directory })));
	});
}

/** A package for one recipient. */
function to(recipient: string, body = "x"): string {
	return netstring(`\n${body}`) + netstring("s@example.org") + netstring(netstring(recipient));
}

/** Sends bytes from one address and half-closes. @returns The statuses of the responses, as one word. */
function statuses(server: Server, localAddress: string, input: string): Promise<string> {
	return new Promise((resolve, reject) => {
		let output = "";
		const socket = connect({ port: Number(server.port), host: "127.0.0.1", localAddress });
		socket.setEncoding("latin1").on("data", (text) => {
			output += text;
		});
		socket.on("error", (error: NodeJS.ErrnoException) => {
			if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
		});
		socket.on("close", () => resolve([...output.matchAll(/(?:^|,)\d+:([KZD])/g)].map(([, s]) => s).join("")));
		socket.end(input, "latin1");
	});
}
