/** Behind the real HAProxy, with the configuration that docs/operating.md shows. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { describeWithPrograms, findProgram } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { type Running, run, withDirectory, withServer } from "../support/program.js";
import { mail, TestClient } from "../support/server-client.js";
import { type Certificates, certificates } from "../support/tls-bench.js";

const PAGE = fileURLToPath(new URL("../../docs/operating.md", import.meta.url));
const ELSEWHERE = mail({ recipients: ["them@example.net"] });
const HERE = mail({ recipients: ["you@example.com"] });

describeWithPrograms("behind HAProxy", { haproxy: "haproxy", openssl: "openssl" }, () => {
	let made: Certificates;
	let page = "";
	let passed = ""; // the page's configuration that passes TLS through
	let ended = ""; // the one that ends it

	beforeAll(async () => {
		made = await certificates();
		page = await readFile(PAGE, "utf8");
		const [whole = "", instead = ""] = [...page.matchAll(/^```haproxy\n(.*?)^```$/gms)].map(
			([, code]) => code,
		);
		passed = whole;
		ended = whole.slice(0, whole.indexOf("frontend qmtps\n")) + instead;
	});

	interface Front {
		readonly server: Running & { readonly port: string };
		readonly proxy: ReturnType<typeof startProcess>;
		/** HAProxy's. */
		readonly plainPort: number;
		readonly tlsPort: number;
		/** Where the certificates are. */
		readonly files: string;
		/** The events of the server's log so far. */
		events(): { event: string; [name: string]: unknown }[];
	}

	/** A server, and HAProxy in front of it. */
	async function withHaproxy(
		configuration: string,
		args: readonly string[],
		use: (front: Front) => Promise<void>,
	): Promise<void> {
		await withDirectory(async (files) => {
			const file = (name: string) => join(files, name);
			await writeFile(file("ca.pem"), made.ca.cert);
			await writeFile(file("both.pem"), made.server.cert + made.server.key);
			for (const name of ["server", "client"] as const) {
				await writeFile(file(`${name}.pem`), made[name].cert);
				await writeFile(file(`${name}.key`), made[name].key);
			}
			const tls = ["--tls-port", "0", "--tls-cert", file("server.pem"), "--tls-key", file("server.key")];
			const proxied = args.includes("--proxy") ? [] : ["--accept", "example.com", "--proxy", "127.0.0.1"];
			const all = ["--queue", "discard:", ...proxied, ...tls, ...args];
			await withServer(all, async (server) => {
				const [, tlsPort = ""] = await server.until("stdout", /:(\d+) for TLS\n/);
				const [plain, secure] = [await freePort(), await freePort()];
				const text = configuration
					.replace(":209\n", `127.0.0.1:${plain}\n`)
					.replace(":6209", `127.0.0.1:${secure}`)
					.replaceAll("127.0.0.1:2209", `127.0.0.1:${server.port}`)
					.replaceAll("127.0.0.1:2210", `127.0.0.1:${tlsPort}`)
					.replaceAll("inter 5s", "inter 100ms")
					.replace("/etc/haproxy/mail.pem", file("both.pem"))
					.replace("/etc/haproxy/clients.pem", file("ca.pem"));
				await writeFile(file("haproxy.cfg"), text);
				const haproxy = findProgram("haproxy") as string;
				execFileSync(haproxy, ["-c", "-f", file("haproxy.cfg")], { stdio: "pipe" });
				const proxy = startProcess(haproxy, ["-db", "-f", file("haproxy.cfg")]);
				try {
					await listens(plain);
					await use({
						server,
						proxy,
						plainPort: plain,
						tlsPort: secure,
						files,
						events: () =>
							server.stderr
								.split("\n")
								.slice(0, -1)
								.map((line) => JSON.parse(line)),
					});
				} finally {
					await proxy.stop();
				}
			});
		});
	}

	/** The statuses that a client at this address gets. */
	async function statuses(port: number, from: string, text: string): Promise<string> {
		const socket = connect({ port, host: "127.0.0.1", localAddress: from, allowHalfOpen: true });
		const client = new TestClient(socket);
		client.end(text);
		await client.gone();
		socket.destroy();
		return client.responses.map((response) => response[0]).join("");
	}

	async function sendByTls({ tlsPort, files }: Front, hasCertificate: boolean): Promise<number | null> {
		const own = ["--tls-cert", join(files, "client.pem"), "--tls-key", join(files, "client.key")];
		const tls = ["--tls", "--tls-ca", join(files, "ca.pem"), ...(hasCertificate ? own : [])];
		const to = ["--port", String(tlsPort), "--sender", "", "--recipient", "you@example.com"];
		const { code } = await run(["send", ...to, ...tls], { input: "hello\n" });
		return code;
	}

	test("the page's command and its configuration bring mail by both ports, and metrics", async () => {
		const [, line = ""] = /^(qmtp serve .*--proxy.*)$/m.exec(page) ?? [];
		const words = line.split(" ").slice(2);
		const without = ["--port", "--tls-cert", "--tls-key", "--tls-port"]; // these are the test's
		const args = words.filter(
			(word, index) => !without.includes(word) && !without.includes(words[index - 1] ?? ""),
		);
		expect(args).toHaveLength(words.length - 2 * without.length);
		const own = args.map((word) => (word === "9209" ? "0" : word));
		await withHaproxy(passed, own, async (front) => {
			const [, metricsPort] = await front.server.until("stdout", /:(\d+) for metrics\n/);
			expect(await statuses(front.plainPort, "127.0.0.5", ELSEWHERE + HERE)).toBe("DK");
			expect(await sendByTls(front, false)).toBe(0);
			const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
			expect(text).toMatch(/^qmtp_server_packages_total\{door="plain"\} 2$/m);
			expect(text).toMatch(/^qmtp_server_packages_total\{door="tls"\} 1$/m);
			expect(front.server.stderr).not.toContain("warning");
		});
	});

	test("rules and --relay-from look at the client's address, and not at the proxy's", async () => {
		await withHaproxy(passed, ["--relay-from", "127.0.0.5"], async ({ plainPort, server }) => {
			expect(await statuses(plainPort, "127.0.0.5", ELSEWHERE + HERE)).toBe("KK");
			expect(await statuses(plainPort, "127.0.0.6", ELSEWHERE + HERE)).toBe("DK");
			await server.until(
				"stderr",
				/^connection peer=127\.0\.0\.6:\d+ packages=2 end=closed proxy=127\.0\.0\.1:\d+$/m,
			);
		});
		await withDirectory(async (directory) => {
			const rules = join(directory, "rules");
			await writeFile(rules, '127.0.0.1:allow,RELAYCLIENT=""\n127.0.0.7:deny\n:allow\n');
			await withHaproxy(passed, ["--rules", rules], async ({ plainPort }) => {
				expect(await statuses(plainPort, "127.0.0.6", ELSEWHERE + HERE)).toBe("DK");
				expect(await statuses(plainPort, "127.0.0.7", HERE)).toBe("");
				expect(await statuses(plainPort, "127.0.0.1", ELSEWHERE)).toBe("K");
			});
		});
	});

	test("a client that comes past the proxy is refused, if it is at the proxy's address", async () => {
		await withHaproxy(passed, ["--relay-from", "127.0.0.1"], async ({ server }) => {
			expect(await statuses(Number(server.port), "127.0.0.1", HERE)).toBe("");
			await server.until("stderr", /^connection peer=127\.0\.0\.1:\d+ packages=0 end=".*PROXY header.*"$/m);
			expect(await statuses(Number(server.port), "127.0.0.9", ELSEWHERE)).toBe("D");
		});
	});

	test("health checks pass as long as the server is there, and neither disturb mail nor fill the log", async () => {
		const told = passed.replace("option tcplog", "option tcplog\n\toption log-health-checks");
		await withHaproxy(told, ["--relay-from", "127.0.0.5"], async ({ plainPort, server, proxy }) => {
			await proxy.until(/Health check for server qmtp\/mail1 succeeded/);
			await proxy.until(/Health check for server qmtps\/mail1 succeeded/);
			for (let count = 0; count < 10; count++) {
				expect(await statuses(plainPort, "127.0.0.5", ELSEWHERE)).toBe("K");
			}
			await server.until("stderr", /(?:^connection .*){10}/ms);
			const lines = server.stderr.trimEnd().split("\n");
			expect(lines.filter((line) => !/^(?:package=\d+|connection) peer=127\.0\.0\.5:/.test(line))).toEqual(
				[],
			);
			expect(proxy.output()).not.toContain("is DOWN");
			server.child.kill("SIGTERM");
			await proxy.until(/Server qmtp\/mail1 is DOWN/); // so they have gone on
			expect(await server.exit).toBe(0);
		});
	});

	test("TLS that is passed through ends at the server, which sees the client's certificate and address", async () => {
		await withDirectory(async (directory) => {
			const ca = join(directory, "ca.pem");
			await writeFile(ca, made.ca.cert);
			await withHaproxy(passed, ["--log", "json", "--tls-ca", ca], async (front) => {
				expect(await sendByTls(front, true)).toBe(0);
				await front.server.until("stderr", /"event":"package"/);
				const connection = front.events().find(({ tls }) => tls !== undefined);
				expect(connection).toMatchObject({
					remoteAddress: "127.0.0.1",
					localPort: front.tlsPort,
					tls: { authorized: true, subject: "client.test", protocol: "TLSv1.3" },
					proxy: { address: "127.0.0.1", command: "proxy", told: true },
				});
			});
		});
	});

	test("TLS that ends at the proxy is told of, with the client's certificate and the proxy's name for it all", async () => {
		await withHaproxy(ended, ["--log", "json"], async (front) => {
			expect(await sendByTls(front, true)).toBe(0);
			expect(await sendByTls(front, false)).toBe(0);
			await front.server.until("stderr", /(?:"event":"package".*){2}/s);
			const told = front
				.events()
				.filter(
					({ event, proxy }) => event === "connection" && (proxy as { tls?: object })?.tls !== undefined,
				);
			expect(told).toMatchObject([
				{ proxy: { told: true, tls: { version: "TLSv1.3", verified: true, commonName: "client.test" } } },
				{ proxy: { told: true, tls: { version: "TLSv1.3", verified: false } } },
			]);
			for (const { proxy, remotePort } of told) {
				const { uniqueId } = proxy as { uniqueId?: string };
				expect(uniqueId).toMatch(new RegExp(`^127\\.0\\.0\\.1:${remotePort}-\\d+-\\d+$`));
			}
		});
		await withHaproxy(ended, [], async (front) => {
			expect(await sendByTls(front, true)).toBe(0);
			await front.server.until(
				"stderr",
				/^connection peer=\S+ packages=1 end=closed proxy=\S+ proxy-id="\S+" proxy-tls=TLSv1\.3 proxy-certificate=<client\.test> verified$/m,
			);
		});
	});
});

async function freePort(): Promise<number> {
	const listener = createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	const { port } = listener.address() as AddressInfo;
	listener.close();
	return port;
}

/** Resolves when somebody listens there. */
async function listens(port: number): Promise<void> {
	for (;;) {
		const socket = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.5" });
		const isOpen = await once(socket, "connect").then(
			() => true,
			() => false,
		);
		socket.destroy();
		if (isOpen) return;
	}
}
