/** `qmtp serve` behind proxies, with limits, and with clients that have certificates. */
import { writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type Running, run, withDirectory, withServer } from "../support/program.js";
import { mail, TestClient } from "../support/server-client.js";
import { type Certificates, certificates } from "../support/tls-bench.js";
import { describeWithOpenssl } from "../support/tls-certificates.js";
import { admitted } from "../support/workers.js";

const HERE = mail({ recipients: ["you@example.com"] });
const ELSEWHERE = mail({ recipients: ["them@example.net"] });
const LOCAL = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex").toString("latin1"); // version 2, of the proxy itself

type Server = Running & { readonly port: string };

/** The header of a client at this address. */
function told(address: string, port = 4711): string {
	return `PROXY TCP4 ${address} 192.0.2.200 ${port} 209\r\n`;
}

/** The statuses of what is sent; empty if the server closes. */
async function statuses({ port }: Server, text: string, from = "127.0.0.1"): Promise<string> {
	const socket = createConnection({
		port: Number(port),
		host: "127.0.0.1",
		localAddress: from,
		allowHalfOpen: true,
	});
	const client = new TestClient(socket);
	client.end(text);
	await client.gone();
	socket.destroy();
	return client.responses.map((response) => response[0]).join("");
}

describe("--proxy", () => {
	const common = ["--queue", "discard:", "--accept", "example.com", "--proxy", "127.0.0.1"];

	test("clients are those that the header tells, and a connection without a header is refused", async () => {
		await withServer([...common, "--relay-from", "192.0.2.7"], async (server) => {
			expect(await statuses(server, told("192.0.2.7") + ELSEWHERE)).toBe("K");
			expect(await statuses(server, told("192.0.2.8") + ELSEWHERE + HERE)).toBe("DK");
			await server.until(
				"stderr",
				/^package=\d+ peer=192\.0\.2\.7:4711 .*?^connection peer=192\.0\.2\.7:4711 packages=1 end=closed proxy=127\.0\.0\.1:\d+$/ms,
			);
			expect(await statuses(server, HERE)).toBe("");
			await server.until("stderr", /^connection peer=127\.0\.0\.1:\d+ packages=0 end=".*PROXY.*"$/m);
			expect(await statuses(server, HERE, "127.0.0.2")).toBe("K"); // no proxy: it talks for itself
		});
	});

	test("a proxy that does not tell its client relays for nobody, and its checks are not logged", async () => {
		await withServer([...common, "--relay-from", "127.0.0.1"], async (server) => {
			expect(await statuses(server, LOCAL)).toBe("");
			expect(await statuses(server, LOCAL + ELSEWHERE + HERE)).toBe("DK");
			expect(await statuses(server, `PROXY UNKNOWN\r\n${ELSEWHERE}`)).toBe("D");
			expect(await statuses(server, told("127.0.0.1") + ELSEWHERE)).toBe("K");
			await server.until("stderr", /^connection peer=127\.0\.0\.1:4711 packages=1/m);
			expect(server.stderr.match(/^connection /gm)).toHaveLength(3);
		});
	});

	test("rules for the proxy's own address say whether such a client may come in, and do not let it relay", async () => {
		await withDirectory(async (directory) => {
			const rules = join(directory, "rules");
			await writeFile(
				rules,
				'127.0.0.1:allow,RELAYCLIENT="@via.example",DATABYTES="3"\n192.0.2.9:deny\n:allow\n',
			);
			await withServer([...common, "--rules", rules], async (server) => {
				const small = (recipient: string) => mail({ message: "\nx\n", recipients: [recipient] });
				expect(await statuses(server, LOCAL + small("them@example.net"))).toBe("D");
				expect(await statuses(server, LOCAL + small("you@example.com") + HERE)).toBe("KD"); // DATABYTES
				expect(await statuses(server, told("192.0.2.8") + HERE)).toBe("K");
				expect(await statuses(server, told("192.0.2.9") + HERE)).toBe("");
				expect(await statuses(server, told("127.0.0.1") + small("them@example.net"))).toBe("K");
				await writeFile(`${rules}`, "127.0.0.1:deny\n:allow\n");
				expect(await statuses(server, LOCAL + HERE)).toBe("");
			});
		});
	});

	test("local clients that may relay are warned of, where there are proxies", async () => {
		await withServer(common, async (server) => {
			await server.until("stderr", /^warning: with --proxy clients on this host may relay/m);
		});
		await withServer([...common, "--relay-from", "192.0.2.1"], async (server) => {
			server.child.kill("SIGTERM");
			await server.exit;
			expect(server.stderr).not.toContain("warning");
		});
	});

	test("what is no network is wrong use", async () => {
		const { code, stderr } = await run(["serve", "--proxy", "proxy.example"]);
		expect(code).toBe(1);
		expect(stderr).toContain("--proxy must be an address or a network such as 192.0.2.0/24");
	});

	test("JSON has the proxy with its name for the connection", async () => {
		await withServer([...common, "--log", "json"], async (server) => {
			const uniqueId = "0500034d6e31"; // "Mn1"
			const addresses = "c0000207c000020812670000";
			const header = Buffer.from(`0d0a0d0a000d0a515549540a21110012${addresses}${uniqueId}`, "hex");
			expect(await statuses(server, header.toString("latin1") + HERE)).toBe("K");
			const [line] = await server.until("stderr", /^.*"event":"connection".*$/m);
			expect(JSON.parse(line)).toMatchObject({
				remoteAddress: "192.0.2.7",
				remotePort: 4711,
				proxy: { address: "127.0.0.1", command: "proxy", told: true, uniqueId: "Mn1" },
			});
		});
	});
});

describe("limits", () => {
	test("--max-connections-per-address counts the addresses that proxies tell", async () => {
		const args = ["--queue", "discard:", "--proxy", "127.0.0.1", "--max-connections-per-address", "1"];
		await withServer(args, async (server) => {
			const port = Number(server.port);
			const first = await admitted(port, "127.0.0.1", told("192.0.2.7") + HERE);
			expect(first).not.toBeNull();
			expect(await admitted(port, "127.0.0.1", told("192.0.2.7") + HERE)).toBeNull();
			const other = await admitted(port, "127.0.0.1", told("192.0.2.8") + HERE);
			expect(other).not.toBeNull();
			await server.until(
				"stderr",
				/^refused peer=192\.0\.2\.7:4711 reason="too many connections of this client"$/m,
			);
			for (const client of [first, other]) client?.end();
		});
	});

	for (const [log, pattern] of [
		["text", /^refused peer=127\.0\.0\.1:\d+ \(\+(\d+) more\) reason="too many connections"$/m],
		["tcpserver", /^qmtp: refused peer=127\.0\.0\.1:\d+ \(\+(\d+) more\) reason="too many connections"$/m],
		["json", /"event":"refused","remoteAddress":"127\.0\.0\.1","remotePort":\d+,"count":(\d\d+)/m],
	] as const) {
		test(`a flood of connections that are refused is few lines in the log as ${log}`, async () => {
			const args = ["--queue", "discard:", "--max-connections", "1", "--log", log];
			await withServer(args, async (server) => {
				const port = Number(server.port);
				const inside = await admitted(port, "127.0.0.1", HERE);
				const refused = await Promise.all(
					Array.from({ length: 50 }, () => admitted(port, "127.0.0.1", HERE)),
				);
				expect(refused.filter((client) => client !== null)).toEqual([]);
				await server.until("stderr", pattern);
				expect(server.stderr.match(/refused/g)?.length).toBeLessThan(10);
				inside?.end();
			});
		});
	}

	test("--max-waiting lets connections wait, and with the limit of all doors", async () => {
		const args = ["--queue", "discard:", "--max-connections", "1", "--max-waiting", "1"];
		await withServer(args, async (server) => {
			const port = Number(server.port);
			const inside = await admitted(port, "127.0.0.1", HERE);
			const waiting = await TestClient.connect(port);
			waiting.send(HERE);
			expect(await admitted(port, "127.0.0.1", HERE)).toBeNull();
			expect(waiting.responses).toEqual([]);
			inside?.end();
			expect(await waiting.receives(1)).toHaveLength(1);
			waiting.end();
		});
	});

	test.each([
		["--max-connections-per-address", "0"],
		["--max-waiting", "-"],
		["--min-speed", "fast"],
		["--max-memory", "0"],
		["--close-timeout", "1.5"],
	])("%s %s is wrong use", async (option, value) => {
		const { code, stderr } = await run(["serve", option, value]);
		expect(code).toBe(1);
		expect(stderr).toContain(`${option} must be a whole number from `);
	});

	test("--close-timeout drops what does not finish", async () => {
		await withServer(["--queue", "discard:", "--close-timeout", "0"], async (server) => {
			const client = await admitted(Number(server.port), "127.0.0.1", HERE + HERE.slice(0, 20));
			server.child.kill("SIGTERM");
			expect(await server.exit).toBe(0);
			await client?.gone();
		});
	});
});

describeWithOpenssl("--relay-cert", () => {
	let made: Certificates;
	beforeAll(async () => {
		made = await certificates();
	});

	async function withTls(
		args: readonly string[],
		use: (send: Send, server: Running) => Promise<void>,
	): Promise<void> {
		await withDirectory(async (files) => {
			const file = (name: string) => join(files, name);
			await writeFile(file("ca.pem"), made.ca.cert);
			for (const name of ["server", "client"] as const) {
				await writeFile(file(`${name}.pem`), made[name].cert);
				await writeFile(file(`${name}.key`), made[name].key);
			}
			const tls = [
				"--tls-cert",
				file("server.pem"),
				"--tls-key",
				file("server.key"),
				"--tls-ca",
				file("ca.pem"),
			];
			const all = ["--queue", "discard:", "--relay-from", "192.0.2.1", "--tls-port", "0", ...tls, ...args];
			await withServer(all, async (server) => {
				const [, port = ""] = await server.until("stdout", /:(\d+) for TLS\n/);
				const to = ["--port", port, "--sender", "", "--recipient", "them@example.net", "--tls"];
				const own = ["--tls-cert", file("client.pem"), "--tls-key", file("client.key")];
				await use(async (hasCertificate) => {
					const more = hasCertificate ? own : [];
					const { code } = await run(["send", ...to, "--tls-ca", file("ca.pem"), ...more], { input: "x\n" });
					return code;
				}, server);
			});
		});
	}
	type Send = (hasCertificate: boolean) => Promise<number | null>;

	test("lets clients relay by a name that an authority vouches for, and nobody else", async () => {
		await withTls(["--relay-cert", "one.client.test"], async (send, server) => {
			expect(await send(true)).toBe(0);
			expect(await send(false)).toBe(100);
			await server.until(
				"stderr",
				/^connection peer=\S+ packages=1 end=closed tls=TLSv1\.3 certificate=<client\.test> verified fingerprint=[0-9a-f]{64}$/m,
			);
			await server.until("stderr", /^connection peer=\S+ packages=1 end=closed tls=TLSv1\.3$/m);
		});
		await withTls(["--relay-cert", "three.client.test"], async (send) => {
			expect(await send(true)).toBe(100);
		});
	});

	test("needs --tls-ca, and takes no fingerprint by another hash", async () => {
		const needs = await run(["serve", "--relay-cert", "client.test"]);
		expect(needs.stderr).toContain("--relay-cert needs --tls-ca");
		const pair = ["--tls-cert", "c", "--tls-key", "k", "--tls-ca", "a"];
		const sha1 = await run(["serve", ...pair, "--relay-cert", "ab".repeat(20)]);
		expect(sha1.code).toBe(1);
		expect(sha1.stderr).toContain("no SHA-256 fingerprint");
	});
});
