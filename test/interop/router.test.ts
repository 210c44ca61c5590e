/** The router against programs of others, end to end: tinydns tells where mail goes, mailfront and smtp-sink take it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { dnsResolver } from "../../src/routing/resolver.js";
import { MailRouter } from "../../src/routing/router.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { describeWithPrograms, findProgram } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { freshAddress, outcomes, PORTS, routed } from "../support/router-hosts.js";
import { TINYDNS_PROGRAMS, withTinydns } from "../support/routing-tinydns.js";

noUnhandledRejections();

const ECHO = ["counters", "relayclient", "qmail-validate", "add-received", "accept-sender"];
const isRoot = process.getuid?.() === 0;

describeWithPrograms(
	"the router, tinydns, qmtpfront-echo and smtp-sink",
	{ ...TINYDNS_PROGRAMS, tcpserver: "ucspi-tcp", "qmtpfront-echo": "mailfront", "smtp-sink": "postfix" },
	() => {
		test("mail goes where the zone says, by the protocol that it says", async (context) => {
			if (!isRoot) context.skip("tinydns listens on port 53, which takes root");
			const [qmtp, smtp, dead, fallback] = [freshAddress(), freshAddress(), freshAddress(), freshAddress()];
			await startEcho(qmtp);
			const received = [await startSink(smtp), await startSink(fallback)] as const;
			const zone = [
				".test.example:127.0.0.1:ns:259200",
				`@q.test.example:${qmtp}:q:12801`,
				`@s.test.example:${smtp}:s:10`,
				`@both.test.example:${dead}:first:5`,
				`@both.test.example:${qmtp}:second:12817`,
				`@fall.test.example:${fallback}:fall:12801`,
				`@dead.test.example:${dead}:dead:12801`,
				`+bare.test.example:${smtp}`,
				"@null.test.example::.:0",
				"@nowhere.test.example::no.test.example:10",
				"",
			].join("\n");
			await withTinydns(zone, async (server) => {
				const resolver = dnsResolver({ servers: [server], hostsFile: "/nonexistent/hosts", timeout: 2000 });
				const router = new MailRouter({ resolver, ports: PORTS, hostname: "router.test" });
				const recipients = ["q", "s", "both", "fall", "dead", "bare", "null", "nowhere", "no"].map(
					(name) => `user@${name}.test.example`,
				);
				async function* message() {
					yield Buffer.from("Subject: end to end\r\n\r\n");
					for (let line = 0; line < 50_000; line++) yield Buffer.from(`${line} ${"x".repeat(50)}\r\n`);
				}
				const result = await router.deliver(routed({ recipients, message: message() }));
				expect(outcomes(result)).toEqual([
					`K qmtp ${qmtp}`,
					`K smtp ${smtp}`,
					`K qmtp ${qmtp} < smtp ${dead} ERR_QMTP_CONNECT`,
					`K smtp ${fallback} < qmtp ${fallback} ERR_QMTP_CONNECT`,
					`Z ERR_QMTP_CONNECT < qmtp ${dead} ERR_QMTP_CONNECT < smtp ${dead} ERR_QMTP_CONNECT`,
					`K smtp ${smtp}`,
					"D",
					"D ERR_QMTP_DNS_NAME < smtp no.test.example ERR_QMTP_DNS_NAME",
					"D ERR_QMTP_DNS_NAME",
				]);
				const sizes = result.responses.flatMap(({ protocol, description }) =>
					protocol === "qmtp" ? [Number(/^Received (\d+) bytes\.$/.exec(description)?.[1])] : [],
				);
				expect(sizes[0]).toBeGreaterThan(50_000 * 52);
				expect(sizes[0]).toBe(sizes[1]);
				await router.close();
			});
			const [one, two] = [await received[0](), await received[1]()];
			expect([one.length, two.length]).toEqual([2, 1]);
			const [body = ""] = two;
			expect(body).toContain("Subject: end to end\n\n0 xxx");
			expect(body.trimEnd()).toMatch(/\n49999 x{50}$/);
			expect(body).not.toContain("\r");
		});

		test("a name server that does not answer is for later", async (context) => {
			if (!isRoot) context.skip("tinydns listens on port 53, which takes root");
			await withTinydns(".test.example:127.0.0.1:ns:259200\n", async (server) => {
				const resolver = dnsResolver({ servers: [server], timeout: 100, tries: 1 });
				const router = new MailRouter({ resolver, ports: PORTS });
				// tinydns says nothing of zones that it does not serve.
				expect(outcomes(await router.deliver(routed({ recipients: ["a@other.example"] })))).toEqual([
					"Z ERR_QMTP_DNS",
				]);
				await router.close();
			});
		});
	},
);

/** Starts qmtpfront-echo under tcpserver; it ends with the test. */
async function startEcho(address: string): Promise<void> {
	const home = await mkdtemp(join(tmpdir(), "qmtp-mailfront-"));
	const echo = findProgram("qmtpfront-echo") as string;
	const args = ["-H", "-R", "-l0", "-D", "-v", address, `${PORTS.qmtp}`, echo, ...ECHO];
	const { PATH } = process.env;
	const env = { PATH, QMAILHOME: home, RELAYCLIENT: "" };
	const { until, stop } = startProcess(findProgram("tcpserver") as string, args, { env });
	onTestFinished(async () => {
		await stop();
		await rm(home, { recursive: true });
	});
	await until(/status: 0\//);
}

/** Starts smtp-sink. @returns Ends it, and tells what it has stored. */
async function startSink(address: string): Promise<() => Promise<string[]>> {
	const directory = await mkdtemp(join(tmpdir(), "qmtp-sink-"));
	const args = ["-u", "root", "-d", `${directory}/%M.`, `${address}:${PORTS.smtp}`, "100"];
	const child = spawn(findProgram("smtp-sink") as string, args, { stdio: "ignore" });
	const end = async () => {
		if (child.exitCode !== null || child.signalCode !== null) return;
		child.kill();
		await once(child, "exit");
	};
	onTestFinished(async () => {
		await end();
		await rm(directory, { recursive: true });
	});
	// It does not say when it listens.
	for (let connected = false; !connected; ) {
		if (child.exitCode !== null) throw new Error(`smtp-sink ended with ${child.exitCode}`);
		const socket = connect(PORTS.smtp, address);
		connected = await new Promise((resolve) => {
			socket.once("connect", () => resolve(true));
			socket.once("error", () => resolve(false));
		});
		socket.destroy();
	}
	return async () => {
		await end();
		const names = await readdir(directory);
		return Promise.all(names.map((name) => readFile(join(directory, name), "latin1")));
	};
}
