import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bytesOf, netstring } from "../support/bytes.js";
import { MAIN, run, start, withDirectory } from "../support/program.js";
import { type ControlFiles, makeQmailHome, queuedMessages } from "../support/qmail-home.js";

interface Vector {
	readonly name: string;
	readonly env: Readonly<Record<string, string>>;
	readonly control: ControlFiles;
	readonly input: string;
	readonly expect: {
		readonly output: string;
		readonly exit: number;
		readonly queued?: readonly { sender: string; recipients: readonly string[]; body: string }[];
	};
}

const fixture = new URL("../fixtures/qmtpd.json", import.meta.url);
const vectors = JSON.parse(readFileSync(fixture, "utf8")) as readonly Vector[];

const TCP = {
	PROTO: "TCP",
	TCPREMOTEIP: "192.0.2.1",
	TCPREMOTEPORT: "4711",
	TCPLOCALIP: "192.0.2.2",
	TCPLOCALPORT: "209",
};
const GOOD = "2:\nx,3:s@x,17:13:r@example.com,,";
const RCPTHOSTS = { rcpthosts: ["example.com"] };

describe("the inputs recorded at qmail-qmtpd, through the program", () => {
	test.each(vectors)("$name", async ({ env, control, input, expect: expected }) => {
		await withHome(control, async (home) => {
			const { code, stdout } = await talk(home, input, env);
			expect(plain(stdout)).toBe(expected.output);
			expect(code).toBe(expected.exit);
			const queued = (await queuedMessages(home)).map(({ sender, recipients, body }) => {
				return { sender, recipients, body };
			});
			expect(queued).toEqual(expected.queued ?? []);
		});
	});
});

describe("what qmail-qmtpd does", () => {
	test("the message gets its Received field from what tcpserver says", async () => {
		const env = {
			TCPREMOTEHOST: "client_x.example.org",
			TCPREMOTEINFO: "joe",
			TCPLOCALHOST: "mx.example.com",
		};
		await withHome(RCPTHOSTS, async (home) => {
			await talk(home, GOOD, env);
			const [queued] = await queuedMessages(home);
			expect(queued?.message).toMatch(
				/^Received: from client\?x\.example\.org \(joe@192\.0\.2\.1\)\n {2}by mx\.example\.com with QMTP; \d+ \w{3} \d{4} \d\d:\d\d:\d\d -0000\nx$/,
			);
		});
	});

	test("without names the Received field has the addresses, and without those it says unknown", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			await talk(home, GOOD);
			const none = Object.fromEntries(Object.keys(TCP).map((name) => [name, undefined]));
			await talk(home, GOOD, none);
			const messages = (await queuedMessages(home)).map(({ message }) => message.split(" with QMTP")[0]);
			expect(messages.sort()).toEqual([
				"Received: from unknown (192.0.2.1)\n  by 192.0.2.2",
				"Received: from unknown (unknown)\n  by unknown",
			]);
		});
	});

	test("without rcpthosts all mail is taken, and with an empty one only what has no @", async () => {
		await withHome({}, async (home) => {
			expect(plain((await talk(home, GOOD)).stdout)).toBe("<K>,");
		});
		await withHome({ rcpthosts: [] }, async (home) => {
			const input = "2:\nx,0:,27:13:r@example.com,7:nobody@,,2:\nx,0:,7:4:root,,";
			expect(plain((await talk(home, input)).stdout)).toBe(`${REFUSED}${REFUSED}<K>,`);
		});
	});

	test("morercpthosts.cdb counts too", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			const compiled = spawn("cdb", ["-c", join(home, "control", "morercpthosts.cdb"), "-"], {
				stdio: "pipe",
			});
			compiled.stdin.end("+11,0:example.net->\n+12,0:.example.org->\n\n");
			const [code] = await once(compiled, "close");
			expect(code).toBe(0);
			const to = (address: string) => `2:\nx,0:,${netstring(netstring(address))}`;
			const { stdout } = await talk(
				home,
				to("a@example.net") + to("a@b.example.org") + to("a@example.org") + to("a@Example.COM"),
			);
			expect(plain(stdout)).toBe(`<K>,<K>,${REFUSED}<K>,`);
		});
	});

	test("addresses pass byte for byte, with what RELAYCLIENT appends", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			const address = "j\xfcr\xffgen@else.example";
			const input = `2:\nx,${netstring("\x80\n@x")}${netstring(netstring(address))}`;
			await talk(home, input, { RELAYCLIENT: "@relay.\u00e9" });
			const [queued] = await queuedMessages(home);
			expect(queued?.sender).toBe("\x80\n@x");
			expect(queued?.recipients).toEqual([`${address}@relay.\xc3\xa9`]);
		});
	});

	test("qmail-queue gets the environment as it is", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			await makeQmailHome(home, {}, `#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; env > '${home}/env'\n`);
			await talk(home, GOOD, { RELAYCLIENT: "\u00e9", TCPREMOTEHOST: "", TCPLOCALHOST: "l", PROTO: "TCP6" });
			const environment = readFileSync(join(home, "env"), "utf8").split("\n");
			const expected = ["RELAYCLIENT=\u00e9", "TCPREMOTEHOST=", "TCPLOCALHOST=l", "PROTO=TCP6"];
			expect(environment).toEqual(expect.arrayContaining(expected));
		});
	});

	test("what is written on descriptor 2 does not get into the connection if they are one", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			const listener = createServer({ allowHalfOpen: true }, (socket) => {
				const stdio = [socket, socket, socket] as const;
				spawn(process.execPath, [MAIN, "qmtpd", "--home", home], {
					env: { ...process.env, ...TCP },
					stdio: [...stdio],
				});
			});
			listener.listen(0, "127.0.0.1");
			await once(listener, "listening");
			const client = connect((listener.address() as AddressInfo).port, "127.0.0.1");
			client.write(`${GOOD}x`, "latin1");
			let output = "";
			for await (const chunk of client) {
				output += chunk;
				if (plain(output).endsWith("<K>,")) break;
			}
			expect(plain(output)).toBe("<K>,");
			client.destroy();
			listener.close();
		});
	});

	test("QMAILQUEUE is run instead of bin/qmail-queue, and its exit code is the answer", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			await writeFile(join(home, "other"), "#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; exit 31\n");
			await chmod(join(home, "other"), 0o755);
			for (const program of ["./other", join(home, "other")]) {
				const { code, stdout } = await talk(home, GOOD, { QMAILQUEUE: program });
				expect(stdout).toBe(netstring("Dmail server permanently rejected message (#5.3.0)"));
				expect(code).toBe(0);
			}
		});
	});

	test("a qmail-queue that is not there is a Z, and the log says what is missing", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			await rm(join(home, "bin", "qmail-queue"));
			const { code, stdout, stderr } = await talk(home, GOOD);
			expect({ code, stdout }).toEqual({ code: 0, stdout: netstring("Zunable to exec qq (#4.3.0)") });
			expect(stderr).toMatch(/^qmtpd: fault .*ENOENT/m);
		});
	});

	test("a message that was under way when the client left is not queued, and nothing is left of it", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			const { code, stdout } = await talk(home, `${GOOD}100000:\nhalf`);
			expect({ code, stdout: plain(stdout) }).toEqual({ code: 0, stdout: "<K>," });
			expect(await readdir(join(home, "queue"))).toHaveLength(2);
		});
	});

	test("20 messages in one write keep their order", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			const numbers = Array.from({ length: 20 }, (_, number) => number);
			const input = numbers.map((number) => `${netstring(`\n${number}`)}0:,17:13:r@example.com,,`).join("");
			const { stdout } = await talk(home, input);
			expect(plain(stdout)).toBe("<K>,".repeat(20));
			expect((await queuedMessages(home)).map(({ body }) => Number(body))).toEqual(numbers);
		});
	});
});

describe("what qmtpd cannot work with", () => {
	test("a home without control files is exit 111, and not a server for everybody's mail", async () => {
		await withDirectory(async (home) => {
			for (const directory of [home, join(home, "missing")]) {
				const { code, stdout, stderr } = await talk(directory, GOOD);
				expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
				expect(stderr).toContain(join(directory, "control"));
			}
		});
	});

	test("a damaged morercpthosts.cdb is exit 111", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			await writeFile(join(home, "control", "morercpthosts.cdb"), "x");
			const { code, stdout, stderr } = await talk(home, GOOD);
			expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
			expect(stderr).toContain("morercpthosts.cdb");
		});
	});

	test("a control file that cannot be read is exit 111", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			await rm(join(home, "control", "rcpthosts"));
			await mkdir(join(home, "control", "rcpthosts"));
			const { code, stdout } = await talk(home, GOOD);
			expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
		});
	});

	test.each([[["--bogus"]], [["operand"]], [["--home"]]])("wrong use, %j, is exit 100", async (args) => {
		const { code, stderr } = await run(["qmtpd", ...args]);
		expect(code).toBe(100);
		expect(stderr).toMatch(/^qmtp qmtpd: .* \(try: qmtp qmtpd --help\)\n$/);
	});
});

describe("descriptors 0 and 1", () => {
	test("may be pipes, and files", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			await writeFile(join(home, "input"), GOOD, "latin1");
			const command = `'${process.execPath}' '${MAIN}' qmtpd --home '${home}'`;
			const ways = [
				`cat '${home}/input' | ${command} | cat`,
				`${command} < '${home}/input' > '${home}/out'; cat '${home}/out'`,
			];
			for (const way of ways) {
				const shell = spawn("/bin/sh", ["-c", way], { stdio: ["ignore", "pipe", "inherit"] });
				let output = "";
				shell.stdout.on("data", (chunk) => {
					output += chunk;
				});
				await once(shell, "close");
				expect(plain(output)).toBe("<K>,");
			}
			expect(await queuedMessages(home)).toHaveLength(2);
		});
	});

	test("an answer comes while the client keeps its side open, and the end when it has broken the protocol", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			const running = start(["qmtpd", "--home", home], { input: null, env: { ...TCP } });
			running.child.stdin?.write(GOOD);
			await running.until("stdout", /^\d+:Kok \d+ qp \d+,$/);
			running.child.stdin?.write("x");
			await once(running.child.stdout as NodeJS.ReadableStream, "end");
			running.child.stdin?.end();
			expect(await running.exit).toBe(100);
		});
	});

	test("SIGTERM finishes the package under way and answers it", async () => {
		await withHome(RCPTHOSTS, async (home) => {
			const running = start(["qmtpd", "--home", home], { input: null, env: { ...TCP } });
			running.child.stdin?.write(GOOD + GOOD.slice(0, 20));
			await running.until("stdout", /^\d+:Kok \d+ qp \d+,$/);
			running.child.kill("SIGTERM");
			running.child.stdin?.write(GOOD.slice(20));
			await running.until("stdout", /^(\d+:Kok \d+ qp \d+,){2}$/);
			running.child.stdin?.end();
			expect(await running.exit).toBe(0);
			expect(await queuedMessages(home)).toHaveLength(2);
		});
	});
});

const REFUSED = netstring("Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)");

async function withHome(control: ControlFiles, use: (home: string) => Promise<void>): Promise<void> {
	await withDirectory(async (home) => {
		await makeQmailHome(home, control);
		await use(home);
	});
}

/** Runs the program on one input. */
async function talk(
	home: string,
	input: string,
	env: Readonly<Record<string, string | undefined>> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
	return await run(["qmtpd", "--home", home], { input: bytesOf(input), env: { ...TCP, ...env } });
}

/** In the fixture `<K>,` stands for each K. */
function plain(output: string): string {
	return output.replace(/\d+:Kok \d+ qp \d+,/g, "<K>,");
}
