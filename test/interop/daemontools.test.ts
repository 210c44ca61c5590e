/** `qmtp serve` as a service of the real daemontools: the run scripts of docs/qmail.md under svscan and multilog. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, readFile, watch } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { describeWithPrograms } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { MAIN, withDirectory } from "../support/program.js";
import { makeQmailHome, queuedMessages } from "../support/qmail-home.js";

const PROGRAMS = {
	...{ svscan: "daemontools", supervise: "daemontools", svc: "daemontools", svstat: "daemontools" },
	...{ multilog: "daemontools", tcprules: "ucspi-tcp" },
};

describeWithPrograms("qmtp serve under daemontools", PROGRAMS, () => {
	test("serves with the run scripts of the documentation, logs through multilog, and ends gracefully by svc", async () => {
		await withService(async ({ home, service, port, log }) => {
			const client = new QmtpClient({ port });
			const send = () => {
				return client.send({ sender: "", recipients: ["you@example.com"], message: "hello\n" });
			};
			expect((await send()).accepted).toHaveLength(1);
			const first = await log(/ tcpserver: status: 0\/61\n[\s\S]* tcpserver: status: 1\/61\n/);
			expect(first).toMatch(/^@[0-9a-f]{24} tcpserver: pid \d+ from 127\.0\.0\.1$/m);
			expect(first).toMatch(/ tcpserver: ok \d+ \S+:127\.0\.0\.1:\d+ :127\.0\.0\.1::\d+$/m);

			// A restart: the connection ends, what was accepted is there, and the next call finds the new server.
			execFileSync("svc", ["-t", service]);
			await log(
				/ tcpserver: end \d+ status 0\n[\s\S]* tcpserver: status: 0\/61\n[\s\S]* tcpserver: status: 0\/61\n/,
			);
			await log(/ qmtp: SIGTERM: finishing 1 connections\n/);
			expect((await send()).accepted).toHaveLength(1);
			await client.close();
			expect(await queuedMessages(home)).toHaveLength(2);
			expect(execFileSync("svstat", [service], { encoding: "utf8" })).toMatch(/: up \(pid \d+\) \d+ seconds/);
		});
	});

	test("rules that change count for the next connection, and broken ones leave the old in force", async () => {
		await withService(async ({ home, port, log }) => {
			const answer = async () => {
				const client = new QmtpClient({ port, timeouts: { response: 5000 } });
				const { responses } = await client.send({
					sender: "",
					recipients: ["a@else.example"],
					message: "x\n",
				});
				await client.close();
				return responses[0]?.status;
			};
			const rules = (text: string) => {
				execFileSync("tcprules", [join(home, "qmtp.cdb"), join(home, "qmtp.tmp")], { input: text });
			};
			expect(await answer()).toBe("D");
			rules(`127.0.0.1:allow,RELAYCLIENT=""\n`);
			expect(await answer()).toBe("K");
			rules("127.:deny\n");
			expect(await answer()).toBe("Z"); // no answer at all
			await log(/ tcpserver: deny \d+ [\s\S]* tcpserver: end \d+ status 25600\n/);
			rules(":allow\n");
			expect(await answer()).toBe("D");
			writeFileSync(join(home, "qmtp.cdb"), "no cdb");
			expect(await answer()).toBe("D");
			expect(await answer()).toBe("D");
			const text = await log(/ qmtp: fault .*qmtp\.cdb/);
			expect(text.match(/ qmtp: fault /g)).toHaveLength(1);
		});
	});
});

interface Service {
	readonly home: string;
	readonly service: string;
	readonly port: number;
	/** What multilog has written, as soon as `pattern` is in it. */
	log(pattern: RegExp): Promise<string>;
}

/** Runs the service of docs/qmail.md, with this place's paths, a free port, and this user. */
async function withService(use: (service: Service) => Promise<void>): Promise<void> {
	await withDirectory(async (home) => {
		await makeQmailHome(home, { rcpthosts: ["example.com"], me: "mx.example.com" });
		execFileSync("tcprules", [join(home, "qmtp.cdb"), join(home, "qmtp.tmp")], { input: ":allow\n" });
		const port = await freePort();
		// Root is nobody to become, and nobody must be able to work here.
		const { username, uid } = userInfo();
		for (const directory of [home, join(home, "queue")]) chmodSync(directory, 0o777);
		const [run, logRun] = scripts().map((script) =>
			script
				.replaceAll("/etc/tcprules", home)
				.replaceAll("/var/qmail", home)
				.replaceAll("qmaild", uid === 0 ? "nobody" : username)
				.replace("exec setuidgid qmaill", "exec")
				.replace("--host 0.0.0.0 --port 209", `--host 127.0.0.1 --port ${port}`)
				.replace("exec qmtp", `exec '${process.execPath}' '${MAIN}'`),
		);
		const services = join(home, "services");
		const service = join(services, "qmtp");
		mkdirSync(join(service, "log"), { recursive: true });
		writeFileSync(join(service, "run"), run as string, { mode: 0o755 });
		writeFileSync(join(service, "log", "run"), logRun as string, { mode: 0o755 });
		await mkdir(join(service, "log", "main"));
		const current = join(service, "log", "main", "current");
		const svscan = startProcess("svscan", [services]);
		const log = async (pattern: RegExp): Promise<string> => {
			const late = new AbortController();
			const timer = setTimeout(() => late.abort(), 15_000);
			const changes = watch(join(service, "log", "main"), { signal: late.signal })[Symbol.asyncIterator]();
			try {
				for (;;) {
					// It watches from here on, so no change after the look is missed.
					const change = changes.next().then(
						() => true,
						() => false,
					);
					const text = await readFile(current, "latin1").catch(() => "");
					if (pattern.test(text)) return text;
					if (!(await change)) throw new Error(`no ${pattern} in: ${text} ${svscan.output()}`);
				}
			} finally {
				clearTimeout(timer);
				late.abort();
			}
		};
		try {
			await log(/ listening on 127\.0\.0\.1:\d+\n/);
			await use({ home, service, port, log });
		} finally {
			svscan.child.kill("SIGTERM"); // it leaves what it has started: that is for svc to end
			execFileSync("svc", ["-dx", service, join(service, "log")]);
			await supervisesEnded(service);
		}
	});
}

/** The run script with `qmtp serve`, and the log's. */
function scripts(): string[] {
	const page = readFileSync(new URL("../../docs/qmail.md", import.meta.url), "utf8");
	const blocks = [...page.matchAll(/```sh\n(#!\/bin\/sh\n[^`]*)```/g)].map(([, script = ""]) => script);
	const find = (word: string) => blocks.find((script) => script.includes(word)) as string;
	return [find("qmtp serve"), find("multilog")];
}

async function freePort(): Promise<number> {
	const listener = createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	const { port } = listener.address() as AddressInfo;
	listener.close();
	return port;
}

/** Resolves when no supervise holds the service's lock any more, which nothing but looking tells. */
async function supervisesEnded(service: string): Promise<void> {
	for (let looked = 0; looked < 300; looked++) {
		const status = execFileSync("svstat", [service, join(service, "log")], { encoding: "utf8" });
		if (status.match(/supervise not running/g)?.length === 2) return;
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
	throw new Error(`supervise did not end ${service}`);
}
