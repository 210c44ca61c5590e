/** `qmtp serve --workers`: several processes that serve as one. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { expect, test } from "vitest";
import { describeWithPrograms } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { MAIN, type Running, run, start, withDirectory, withServer } from "../support/program.js";
import { mail, TestClient } from "../support/server-client.js";
import { describeWithOpenssl, selfSigned } from "../support/tls-certificates.js";
import { admitted, childrenOf, killHard, processEnds } from "../support/workers.js";

const PACKAGE = mail();
// Its socket is the descriptor 0 of what it becomes.
const LISTEN_AND_EXEC = `use Socket; use POSIX "dup2";
socket(S, PF_INET, SOCK_STREAM, 0) && bind(S, sockaddr_in(0, INADDR_LOOPBACK)) && listen(S, 99) or die $!;
dup2(fileno(S), 0);
exec @ARGV;`;

test("the limit on connections is one for all workers, and exact when many come at once", async () => {
	await withServer(["--queue", "discard:", "--workers", "3", "--max-connections", "7"], async (server) => {
		expect(server.stdout).toBe(`listening on 127.0.0.1:${server.port}\n`);
		const port = Number(server.port);
		const many = () => Promise.all(Array.from({ length: 40 }, () => admitted(port, "127.0.0.1", PACKAGE)));
		const first = (await many()).filter((client) => client !== null);
		expect(first).toHaveLength(7);
		expect((await many()).filter((client) => client !== null)).toEqual([]);
		await server.until("stderr", /^refused peer=127\.0\.0\.1:\d+ .*reason="too many connections"$/m);
		for (const client of first.slice(0, 3)) client.end();
		await Promise.all(first.slice(0, 3).map((client) => client.all()));
		const second: TestClient[] = [];
		// A place is free when its worker has said so to the primary.
		while (second.length < 3) {
			const client = await admitted(port, "127.0.0.1", PACKAGE);
			if (client !== null) second.push(client);
		}
		expect(await admitted(port, "127.0.0.1", PACKAGE)).toBeNull();
		for (const client of [...first, ...second]) client.socket.destroy();
	});
});

test("so is the limit for each address, and connections that wait get the places that others leave", async () => {
	const limits = ["--max-connections-per-address", "2", "--max-connections", "4", "--max-waiting", "2"];
	await withServer(["--queue", "discard:", "--workers", "2", ...limits], async (server) => {
		const port = Number(server.port);
		const clients = await Promise.all(
			["127.0.0.2", "127.0.0.3"].flatMap((from) =>
				Array.from({ length: 10 }, () => admitted(port, from, PACKAGE)),
			),
		);
		const inside = clients.filter((client) => client !== null);
		expect(inside.map(({ socket }) => socket.localAddress).sort()).toEqual([
			"127.0.0.2",
			"127.0.0.2",
			"127.0.0.3",
			"127.0.0.3",
		]);
		const waiting = admitted(port, "127.0.0.4", PACKAGE);
		const [leaving] = inside as [TestClient];
		leaving.end();
		const late = await waiting;
		expect(late?.responses).toHaveLength(1);
		for (const client of [...inside, late]) client?.socket.destroy();
	});
});

test("a worker that is killed gives its places back, another takes its place, and what had a K is there", async () => {
	await withServer(["--workers", "2", "--max-connections", "4"], async (server) => {
		const port = Number(server.port);
		const clients: TestClient[] = [];
		while (clients.length < 4) {
			const client = await admitted(port, "127.0.0.1", PACKAGE + PACKAGE.slice(0, 20));
			clients.push(client as TestClient);
		}
		expect(await admitted(port, "127.0.0.1", PACKAGE)).toBeNull();
		const [killed = 0, other = 0] = childrenOf(server.child.pid);
		const isOf = (pid: number) => (client: TestClient) => client.responses[0]?.endsWith(String(pid)) === true;
		const lost = clients.filter(isOf(killed));
		const kept = clients.filter(isOf(other));
		expect(lost.length * kept.length).toBeGreaterThan(0); // connections are given out in turn
		killHard(killed);
		await server.until("stderr", /^warning: worker \d+ \(process \d+\) was ended by SIGKILL; another takes/m);
		await Promise.all(lost.map((client) => client.gone()));
		const more: TestClient[] = [];
		// Until one is served by the new worker.
		while (more.every((client) => isOf(killed)(client) || isOf(other)(client))) {
			const client = await admitted(port, "127.0.0.1", PACKAGE);
			if (client === null) continue;
			client.end();
			more.push(client);
		}
		for (const client of kept) client.send(PACKAGE.slice(20));
		for (const client of kept) expect(await client.receives(2)).toHaveLength(2);
		for (const client of kept) client.end();
		await Promise.all(more.map((client) => client.gone()));
		server.child.kill("SIGTERM");
		expect(await server.exit).toBe(0);
		const accepted = 4 + kept.length + more.length;
		expect(await readdir(join(server.directory, "mail", "new"))).toHaveLength(accepted);
	});
});

test("messages have names that no other worker gives", async () => {
	await withServer(["--queue", "discard:", "--workers", "3", "--max-connections", "1000"], async (server) => {
		const clients = await Promise.all(
			Array.from({ length: 30 }, () => admitted(Number(server.port), "127.0.0.1", PACKAGE.repeat(30))),
		);
		const names: string[] = [];
		for (const client of clients) names.push(...((await client?.receives(30)) ?? []));
		for (const client of clients) client?.end();
		expect(names).toHaveLength(900);
		expect(new Set(names).size).toBe(900);
		const [first = "", ...others] = childrenOf(server.child.pid).map(String);
		for (const pid of [first, ...others]) expect(names.some((name) => name.endsWith(pid))).toBe(true);
	});
});

test("a signal to all processes, as of a terminal, lets each finish its package; it is told once", async () => {
	await withDirectory(async (directory) => {
		const args = [MAIN, "serve", "--port", "0", "--workers", "2"];
		const server = startProcess(process.execPath, args, { cwd: directory });
		const [, port] = await server.until(/^listening on 127\.0\.0\.1:(\d+)\n/m);
		const clients = await Promise.all(
			Array.from({ length: 4 }, () => admitted(Number(port), "127.0.0.1", PACKAGE + PACKAGE.slice(0, 20))),
		);
		const stopped = server.stop();
		await server.until(/^SIGTERM: finishing 4 connections$/m);
		for (const client of clients) client?.send(PACKAGE.slice(20));
		for (const client of clients) expect(await client?.all()).toHaveLength(2);
		await stopped;
		expect(server.child.exitCode).toBe(0);
		expect(server.output().match(/finishing/g)).toHaveLength(1);
		expect(server.output().match(/^listening/gm)).toHaveLength(1);
		expect(await readdir(join(directory, "mail", "new"))).toHaveLength(8);
	});
});

test("a second signal ends all at once", async () => {
	await withServer(["--queue", "discard:", "--workers", "2"], async (server) => {
		const client = await admitted(Number(server.port), "127.0.0.1", PACKAGE + PACKAGE.slice(0, 20));
		server.child.kill("SIGINT");
		await server.until("stderr", /^SIGINT: finishing 1 connections$/m);
		server.child.kill("SIGINT");
		expect(await server.exit).toBe(0);
		await client?.gone();
	});
});

test("workers whose primary is killed finish, and end", async () => {
	await withServer(["--workers", "2"], async (server) => {
		const client = await admitted(Number(server.port), "127.0.0.1", PACKAGE + PACKAGE.slice(0, 20));
		const workers = childrenOf(server.child.pid);
		server.child.kill("SIGKILL");
		await server.until("stderr", /^the primary process is gone: finishing 1 connections$/m);
		client?.send(PACKAGE.slice(20));
		expect(await client?.all()).toHaveLength(2);
		await Promise.all(workers.map(processEnds));
		expect(await readdir(join(server.directory, "mail", "new"))).toHaveLength(2);
	});
});

test("workers that crash again and again are given up", async () => {
	await withServer(["--queue", "discard:", "--workers", "1"], async (server) => {
		const killing = setInterval(() => {
			for (const pid of childrenOf(server.child.pid)) killHard(pid);
		}, 20);
		expect(await server.exit).toBe(111);
		clearInterval(killing);
		expect(server.stderr).toMatch(
			/^qmtp serve: 9 workers have ended within a minute; the last one was ended by SIGKILL$/m,
		);
	});
});

test("all workers may die at once: the port is the same, and mail is taken again", async () => {
	await withServer(["--queue", "discard:", "--workers", "2"], async (server) => {
		for (const pid of childrenOf(server.child.pid)) killHard(pid);
		await server.until("stderr", /(?:^warning: worker .*\n){2}/m);
		for (let answers: readonly string[] = []; answers.length === 0; ) {
			const client = await TestClient.connect(Number(server.port)).catch(() => null);
			client?.send(PACKAGE);
			answers = (await client?.receives(1).catch(() => [])) ?? []; // one that a dying worker had is reset
			client?.duplex.destroy();
		}
	});
});

describeWithPrograms("workers on a descriptor", { perl: "perl-base" }, () => {
	test("lose it with the last of them, and then the primary ends and says so", async () => {
		const args = ["serve", "--fd", "0", "--workers", "2", "--queue", "discard:"];
		const server = startProcess("perl", ["-e", LISTEN_AND_EXEC, process.execPath, MAIN, ...args]);
		const [, port] = await server.until(/^listening on 127\.0\.0\.1:(\d+)\n/m);
		const client = await admitted(Number(port), "127.0.0.1", PACKAGE);
		expect(client?.responses).toHaveLength(1);
		client?.end();
		const ended = once(server.child, "close");
		for (const pid of childrenOf(server.child.pid)) killHard(pid);
		expect(await ended).toEqual([111, null]);
		expect(server.output()).toContain("qmtp serve: no worker is left to hold the sockets; the last one was");
	});
});

test("what keeps a server from starting is one line, and exit 111", async () => {
	await withServer(["--queue", "discard:"], async (server) => {
		const args = ["serve", "--workers", "2", "--queue", "discard:", "--port", server.port];
		expect(await run(args)).toEqual({
			code: 111,
			stdout: "",
			stderr: `qmtp serve: cannot listen on 127.0.0.1:${server.port}: the address is in use already\n`,
		});
	});
	await withDirectory(async (directory) => {
		await writeFile(join(directory, "file"), "");
		const queue = `maildir:${directory}/file/mail`;
		const failed = await run(["serve", "--workers", "2", "--queue", queue, "--port", "0"]);
		expect(failed).toMatchObject({ code: 111, stdout: "" });
		expect(failed.stderr).toMatch(/^qmtp serve: cannot use maildir:.*\n$/);
	});
});

test("metrics are those of all workers", async () => {
	await withServer(["--queue", "discard:", "--workers", "2", "--metrics", "0"], async (server) => {
		const [, port] = await server.until("stdout", /^listening on 127\.0\.0\.1:(\d+) for metrics$/m);
		const clients = await Promise.all(
			Array.from({ length: 6 }, () => admitted(Number(server.port), "127.0.0.1", PACKAGE)),
		);
		const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
		expect(text).toMatch(/^qmtp_server_connections\{door="plain"\} 6$/m);
		expect(text).toMatch(/^qmtp_server_packages_total\{door="plain"\} 6$/m);
		for (const client of clients) client?.end();
	});
});

test("the log as JSON says which worker it was", async () => {
	await withServer(["--queue", "discard:", "--workers", "2", "--log", "json"], async (server) => {
		for (let count = 0; count < 2; count++) {
			(await admitted(Number(server.port), "127.0.0.1", PACKAGE))?.end();
		}
		await server.until("stderr", /(?:"disconnect".*){2}/s);
		const events = server.stderr
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line));
		const packages = events.filter(({ event }) => event === "package");
		expect(packages.map(({ worker }) => worker).sort()).toEqual([1, 2]);
	});
});

describeWithOpenssl("workers with TLS", () => {
	const isRoot = process.getuid?.() === 0;

	async function withTls(
		args: readonly string[],
		use: (server: Running & { directory: string }, tlsPort: number, files: string) => Promise<void>,
	): Promise<void> {
		await withDirectory(async (files) => {
			await writePair(files, "one.test");
			const pair = ["--tls-cert", join(files, "cert.pem"), "--tls-key", join(files, "key.pem")];
			const more = ["--tls-port", "0", "--workers", "2", ...pair, ...args];
			await withServer(more, async (server) => {
				const [, port] = await server.until("stdout", /^listening on 127\.0\.0\.1:(\d+) for TLS\n/m);
				await use(server, Number(port), files);
			});
		});
	}

	async function writePair(files: string, name: string): Promise<void> {
		const { cert, key } = await selfSigned(name);
		await writeFile(join(files, "cert.pem"), cert);
		await writeFile(join(files, "key.pem"), key, { mode: 0o600 });
	}

	async function certificateAt(port: number): Promise<string | undefined> {
		const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
		await once(socket, "secureConnect");
		const { CN } = socket.getPeerCertificate().subject;
		socket.destroy();
		return String(CN);
	}

	test("SIGHUP brings new certificates to all, and is told once", async () => {
		await withTls(["--queue", "discard:"], async (server, port, files) => {
			expect([await certificateAt(port), await certificateAt(port)]).toEqual(["one.test", "one.test"]);
			await writePair(files, "two.test");
			server.child.kill("SIGHUP");
			await server.until("stderr", /^note: SIGHUP: new connections get the certificate of two\.test/m);
			for (let seen = 0; seen < 4; ) if ((await certificateAt(port)) === "two.test") seen++;
			expect([await certificateAt(port), await certificateAt(port)]).toEqual(["two.test", "two.test"]);
			await writeFile(join(files, "key.pem"), "none");
			server.child.kill("SIGHUP");
			await server.until("stderr", /^fault SIGHUP: the certificates stay as they were: /m);
			expect([await certificateAt(port), await certificateAt(port)]).toEqual(["two.test", "two.test"]);
			expect(server.stderr.match(/SIGHUP/g)).toHaveLength(2);
		});
	});

	test.runIf(isRoot)(
		"with --user all become that user; who comes later has the key that only root can read",
		async () => {
			await withTls(["--queue", "discard:", "--user", "nobody"], async (server, port) => {
				const { pid } = server.child;
				const nobody = Number(execFileSync("id", ["-u", "nobody"], { encoding: "utf8" }));
				const users = async () =>
					Promise.all(
						[pid, ...childrenOf(pid)].map(async (each) => {
							const status = await readFile(`/proc/${each}/status`, "latin1");
							return /^Uid:\s+(\d+)\s+(\d+)/m.exec(status)?.slice(1).map(Number);
						}),
					);
				expect(await users()).toEqual(Array(3).fill([nobody, nobody]));
				const [killed = 0] = childrenOf(pid);
				killHard(killed);
				await server.until("stderr", /another takes its place/);
				while (childrenOf(pid).length < 2) await certificateAt(port).catch(() => {});
				expect([await certificateAt(port), await certificateAt(port)]).toEqual(["one.test", "one.test"]);
				expect(await users()).toEqual(Array(3).fill([nobody, nobody]));
			});
		},
	);
});

test("--workers must be a number from 1 on", async () => {
	const server = start(["serve", "--workers", "0"]);
	expect(await server.exit).toBe(1);
	expect(server.stderr).toContain("--workers must be a whole number from 1 to 1024, not '0'");
});
