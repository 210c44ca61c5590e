/** `qmtp qmtpd` under the real tcpserver with real rules, as the run script of docs/qmail.md starts it. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { netstring } from "../support/bytes.js";
import { describeWithPrograms } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { MAIN, withDirectory } from "../support/program.js";
import { makeQmailHome, queuedMessages } from "../support/qmail-home.js";

const PROGRAMS = {
	...{ tcpserver: "ucspi-tcp", tcprules: "ucspi-tcp" },
	...{ envuidgid: "daemontools", softlimit: "daemontools" },
};
const PROGRAM = `'${process.execPath}' '${MAIN}'`;
const servers: { stop(): Promise<void> }[] = [];

describeWithPrograms("qmtp qmtpd under tcpserver", PROGRAMS, () => {
	if (userInfo().uid !== 0) {
		test("serves", (context) => context.skip("only root may change its groups, as tcpserver -U does"));
		return;
	}
	afterEach(async () => {
		for (const server of servers.splice(0)) await server.stop();
	});

	test("the run script of the documentation serves, with its program, limits and rules", async () => {
		await withServer(RULES, async ({ home, log, port, run }) => {
			expect(run).toContain("softlimit -a");
			const client = new QmtpClient({ port });
			const result = await client.send({
				sender: "me@example.org",
				recipients: ["you@example.com", "them@elsewhere.example"],
				message: "Subject: hello\n\nhello\n",
			});
			await client.close();
			expect(result.responses.map(({ status }) => status)).toEqual(["K", "K"]);
			const [queued] = await queuedMessages(home);
			expect(queued).toMatchObject({
				sender: "me@example.org",
				recipients: ["you@example.com", "them@elsewhere.example"],
				body: "Subject: hello\n\nhello\n",
			});
			expect(queued?.message).toMatch(/^Received: from unknown \(127\.0\.0\.1\)\n {2}by \S+ with QMTP; /);
			await log.until(/^tcpserver: end \d+ status 0$/m);
			expect(log.output()).toMatch(/^tcpserver: status: 1\/61$/m);
			expect(log.output()).toMatch(/^qmtpd: package=\d+ .* K=2 Z=0 D=0$/m);
		});
	});

	test("rules decide who relays, who is denied, and how large a message is", async () => {
		await withServer(RULES, async ({ log, port, home }) => {
			const message = (size: number) => `${size + 1}:\n${"x".repeat(size)},0:,${TO_BOTH}`;
			expect(statuses(await exchange(port, "127.0.0.1", message(8)))).toBe("KK");
			expect(statuses(await exchange(port, "127.0.0.2", message(8)))).toBe("KD");
			expect(statuses(await exchange(port, "127.0.0.3", message(10)))).toBe("KD");
			expect(statuses(await exchange(port, "127.0.0.3", message(11)))).toBe("DD");
			expect(statuses(await exchange(port, "127.0.0.4", message(8)))).toBe("");
			expect(log.output()).toMatch(/^tcpserver: deny \d+ /m);
			expect(await queuedMessages(home)).toHaveLength(3);
		});
	});

	test("each exit code is in tcpserver's log, and what was queued is answered before the end", async () => {
		await withServer(RULES, async ({ log, port }) => {
			const good = `2:\nx,0:,${TO_BOTH}`;
			expect(statuses(await exchange(port, "127.0.0.1", `${good}${good}x`))).toBe("KKKK");
			await log.until(/^tcpserver: end \d+ status 25600$/m);
			expect(statuses(await exchange(port, "127.0.0.1", `${good}3000000000:`))).toBe("KK");
			await log.until(/^tcpserver: end \d+ status 28416$/m);
			expect(log.output()).not.toMatch(/^tcpserver: end \d+ status 0$/m);
		});
	});

	test("many clients at once have all their mail queued, once", async () => {
		await withServer(RULES, async ({ home, port }) => {
			const clients = Array.from({ length: 6 }, () => new QmtpClient({ port }));
			const results = await Promise.all(
				clients.flatMap((client, number) =>
					Array.from({ length: 10 }, (_, index) =>
						client.send({ sender: "", recipients: ["you@example.com"], message: `${number}-${index}\n` }),
					),
				),
			);
			await Promise.all(clients.map((client) => client.close()));
			expect(results.every(({ accepted }) => accepted.length === 1)).toBe(true);
			const bodies = (await queuedMessages(home)).map(({ body }) => body.trim());
			expect(new Set(bodies).size).toBe(60);
			expect(bodies).toHaveLength(60);
		});
	});
});

const RULES = `127.0.0.1:allow,RELAYCLIENT=""
127.0.0.3:allow,DATABYTES="10"
127.0.0.4:deny
:allow
`;
const TO_BOTH = netstring(netstring("you@example.com") + netstring("them@example.net"));

interface Served {
	readonly home: string;
	readonly port: number;
	readonly run: string;
	readonly log: ReturnType<typeof startProcess>;
}

/** Runs the script of docs/qmail.md, with this place's paths, a free port and this user. */
async function withServer(rules: string, use: (served: Served) => Promise<void>): Promise<void> {
	await withDirectory(async (home) => {
		await makeQmailHome(home, { rcpthosts: ["example.com"] });
		execFileSync("tcprules", [join(home, "qmtp.cdb"), join(home, "qmtp.tmp")], { input: rules });
		const page = readFileSync(new URL("../../docs/qmail.md", import.meta.url), "utf8");
		const [, script = ""] = /```sh\n(#!\/bin\/sh\n[^`]*tcpserver[^`]*)```/.exec(page) ?? [];
		const run = script
			.replaceAll("/etc/tcprules", home)
			.replaceAll("/var/qmail", home)
			.replace("envuidgid qmaild", `envuidgid ${userInfo().username}`)
			.replace("tcpserver -v", "tcpserver -1 -v")
			.replace(" 0 209 ", " 127.0.0.1 0 ")
			.replace("qmtp qmtpd", `${PROGRAM} qmtpd`);
		await writeFile(join(home, "run"), run, { mode: 0o755 });
		const log = startProcess(join(home, "run"), []);
		servers.push(log);
		const [, port] = await log.until(/^(\d+)$/m);
		await use({ home, run, log, port: Number(port) });
	});
}

/** Sends bytes from one address, half-closes, and resolves with what came. */
function exchange(port: number, localAddress: string, input: string): Promise<string> {
	return new Promise((resolve, reject) => {
		let output = "";
		const socket = connect({ port, host: "127.0.0.1", localAddress });
		socket.setEncoding("latin1").on("data", (text) => {
			output += text;
		});
		socket.on("error", (error: NodeJS.ErrnoException) => {
			if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
		});
		socket.on("close", () => resolve(output));
		socket.end(input, "latin1");
	});
}

/** The statuses of responses on the wire, as one word. */
function statuses(output: string): string {
	const [head, length] = /^(\d+):/.exec(output) ?? [];
	if (head === undefined) return output;
	return (
		output.slice(head.length, head.length + 1) + statuses(output.slice(head.length + Number(length) + 1))
	);
}
