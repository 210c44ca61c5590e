/** docs/scaling.md: its HAProxy, its RabbitMQ, and its alerts, by the programs themselves. */
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { freePort } from "../../benchmarks/rabbitmq/host.js";
import { brokerUrl } from "../../src/cli/broker-url.js";
import { accepted, deferred } from "../../src/protocol/response.js";
import { type RabbitmqQueue, rabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { describeWithPrograms, findProgram } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { run, start, withDirectory } from "../support/program.js";
import { messageInfo } from "../support/queue-message-info.js";
import { describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import { mail, TestClient } from "../support/server-client.js";

const PAGE = fileURLToPath(new URL("../../docs/scaling.md", import.meta.url));
let page = "";

beforeAll(async () => {
	page = await readFile(PAGE, "utf8");
});

afterEach(() => {
	vi.unstubAllEnvs();
});

/** The page's code blocks in one language. */
function blocks(language: string): string[] {
	return [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
		.filter(([, name]) => name === language)
		.map(([, , code = ""]) => code);
}

test("the page's commands name options and brokers as they are written", async () => {
	const lines = blocks("sh").flatMap((code) => [...code.matchAll(/^qmtp (\w+) (.*)$/gm)]);
	expect(lines.map(([, command]) => command)).toEqual(["serve", "relay"]);
	for (const [, command = "", rest = ""] of lines) {
		const { stdout } = await run([command, "--help"]);
		for (const [option] of rest.matchAll(/--[a-z-]+/g)) expect(stdout).toContain(` ${option} `);
		const [url = ""] = /amqps:\S+/.exec(rest) ?? [];
		vi.stubEnv("QMTP_AMQP_PASSWORD", "secret"); // it connects to nobody
		const { options } = await brokerUrl(url, command);
		expect(options.url).toMatch(/^amqps:\/\/qmtp:secret@(?:rabbit\d\.example\.com,?){3}\/mail$/);
	}
});

describeWithPrograms("the page's HAProxy", { haproxy: "haproxy" }, () => {
	const haproxy = () => findProgram("haproxy") as string;

	test("takes the configuration as it stands there", async () => {
		await withDirectory(async (directory) => {
			const file = join(directory, "haproxy.cfg");
			await writeFile(file, blocks("haproxy")[0] as string);
			execFileSync(haproxy(), ["-c", "-f", file], { stdio: "pipe" });
		});
	});

	test("brings clients to the front ends that are left, whichever dies", async () => {
		await withDirectory(async (directory) => {
			const [, command = ""] = /^qmtp (serve .*)$/m.exec(page) ?? [];
			expect(command).toContain(" --proxy 192.0.2.10 ");
			const ports = [await freePort(), await freePort(), await freePort()];
			const own = ["--queue", "discard:", "--proxy", "127.0.0.1", "--accept", "example.com"];
			const fronts = ports.map((port) => start(["serve", "--port", `${port}`, ...own]));
			for (const front of fronts) await front.until("stdout", /listening on/); // else HAProxy takes them for dead
			const [plain, secure] = [await freePort(), await freePort()];
			let text = (blocks("haproxy")[0] as string)
				.replace("bind :209\n", `bind 127.0.0.1:${plain}\n`)
				.replace("bind :6209\n", `bind 127.0.0.1:${secure}\n`);
			for (const [index, port] of ports.entries()) {
				text = text.replaceAll(`192.0.2.1${index + 1}:2209`, `127.0.0.1:${port}`);
			}
			const file = join(directory, "haproxy.cfg");
			await writeFile(file, text);
			const proxy = startProcess(haproxy(), ["-db", "-f", file]);
			try {
				await listens(plain);
				const names = new Set<number>();
				for (let alive = fronts.length; alive > 0; alive--) {
					// Some go to one that has just died, and are made anew to another before the checks tell of it.
					for (let sent = 0; sent < 6; sent++) expect(await statuses(plain)).toBe("K");
					const dying = fronts[alive - 1];
					dying?.child.kill("SIGKILL");
					await dying?.exit;
					names.add((dying?.stderr.match(/^connection peer=.* packages=1 /gm) ?? []).length);
				}
				expect(names.has(0)).toBe(false); // each had its part
				expect(await statuses(plain)).toBe("");
			} finally {
				for (const { child } of fronts) child.kill("SIGKILL");
				await proxy.stop();
			}
		});
	});

	/** The statuses of a package for example.com. */
	async function statuses(port: number): Promise<string> {
		const client = await TestClient.connect(port);
		client.end(mail());
		await client.gone();
		client.socket.destroy();
		return client.responses.map((response) => response[0]).join("");
	}

	async function listens(port: number): Promise<void> {
		for (;;) {
			const socket = connect(port, "127.0.0.1");
			const connected = await new Promise<boolean>((resolve) => {
				socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
			});
			socket.destroy();
			if (connected) return;
			await sleep(20); // nobody tells when it does
		}
	}
});

describeWithRabbitmq("the page's RabbitMQ", () => {
	test("takes the settings and commands, and lets that user do what is needed, and nothing else", {
		timeout: 120_000,
	}, async () => {
		// A node alone, without certificates.
		const settings = (blocks("ini")[0] as string)
			.split("\n")
			.filter((line) => /^\w/.test(line) && !/^(cluster_formation|listeners|ssl_options)\./.test(line));
		expect(settings.length).toBeGreaterThan(3);
		const metrics = await freePort();
		const exporter = [`prometheus.tcp.port = ${metrics}`, "prometheus.tcp.ip = 127.0.0.1"];
		const broker = await startBroker({
			configuration: [...settings.filter((line) => !line.startsWith("disk_free")), ...exporter],
			plugins: ["rabbitmq_prometheus"],
		});
		const commands = blocks("sh").flatMap((code) => [...code.matchAll(/^rabbitmqctl (.*)$/gm)]);
		const [list, ...others] = commands.map(([, line = ""]) => wordsOf(line)).reverse();
		let queue: RabbitmqQueue | null = null;
		try {
			for (const words of others.reverse()) await broker.ctl(words);
			const password = encodeURIComponent(others.find(([name]) => name === "add_user")?.[2] as string);
			const url = `amqp://qmtp:${password}@127.0.0.1:${broker.port}/mail`;
			await expect(rabbitmqQueue({ url, queue: "other" }).prepare()).rejects.toThrow();
			await expect(rabbitmqQueue({ url: broker.url }).prepare()).rejects.toThrow(); // the guest

			queue = rabbitmqQueue({ url });
			await queue.prepare();
			const delivery = await queue.open(messageInfo());
			await delivery.write(Buffer.from("hello\n"));
			const recipients = ["one@example.com", "two@example.com"];
			const responses = await delivery.commit({ sender: "me@example.org", recipients });
			expect(responses.map(({ status }) => status)).toEqual(["K", "K"]);
			for await (const job of queue.take()) {
				await job.settle([accepted(), deferred("not now (#4.3.0)")], Date.now() + 3_600_000);
				break;
			}
			// The node counts every five seconds.
			const one = /^qmtp\.retry\.30m\t1\t0\t0\ta@localhost\t/m;
			while (!one.test(await broker.ctl(list as string[]))) await sleep(200);

			const read = async (path: string) => (await fetch(`http://127.0.0.1:${metrics}${path}`)).text();
			const [alarms, queues] = [await read("/metrics"), await read("/metrics/per-object")];
			const alerts = /Alerts worth\shaving:\n\n```text\n(.*?)^```$/ms.exec(page)?.[1] ?? "";
			const names = [...alerts.matchAll(/\brabbitmq_(\w+)/g)];
			expect(names.length).toBeGreaterThan(5);
			for (const [name, rest = ""] of names) {
				expect(rest.startsWith("alarms_") ? alarms : queues).toContain(`# TYPE ${name} `);
			}
		} finally {
			await queue?.close();
			await broker.stop();
		}
	});

	/** The words of a command, as a shell reads these. */
	function wordsOf(line: string): string[] {
		return [...line.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word);
	}
});
