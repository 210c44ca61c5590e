/** The TLS door of `qmtp serve`, and `qmtp send` and `qmtp probe` through it. */
import { once } from "node:events";
import { readdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { type Finished, type Running, run, withDirectory, withServer } from "../support/program.js";
import { type Certificates, certificates } from "../support/tls-bench.js";
import { describeWithOpenssl, selfSigned, type TestCertificate } from "../support/tls-certificates.js";

describeWithOpenssl("the program with TLS", () => {
	let made: Certificates;

	beforeAll(async () => {
		made = await certificates();
	});

	async function writePair(directory: string, name: string, { cert, key }: TestCertificate): Promise<void> {
		await writeFile(join(directory, `${name}.pem`), cert);
		await writeFile(join(directory, `${name}.key`), key);
	}

	interface Secure {
		readonly server: Running & { readonly port: string; readonly directory: string };
		readonly tlsPort: string;
		/** Where the files are. */
		readonly files: string;
		send(args?: readonly string[]): Promise<Finished>;
		probe(args?: readonly string[]): Promise<Finished>;
	}

	/** A server with both doors; `ca.pem`, `server.*`, `client.*` are the files. */
	async function withTls(args: readonly string[], use: (secure: Secure) => Promise<void>): Promise<void> {
		await withDirectory(async (files) => {
			await writeFile(join(files, "ca.pem"), made.ca.cert);
			await writePair(files, "server", made.server);
			await writePair(files, "client", made.client);
			const pair = ["--tls-cert", join(files, "server.pem"), "--tls-key", join(files, "server.key")];
			await withServer([...pair, "--tls-port", "0", ...args], async (server) => {
				const [, tlsPort = ""] = await server.until("stdout", /^listening on 127\.0\.0\.1:(\d+) for TLS\n/m);
				const trust = ["--tls", "--tls-ca", join(files, "ca.pem")];
				const envelope = ["--sender", "me@example.org", "--recipient", "you@example.com"];
				await use({
					server,
					tlsPort,
					files,
					send: (more = trust) => run(["send", "--port", tlsPort, ...envelope, ...more], { input: "hi\n" }),
					probe: (more = trust) => run(["probe", `127.0.0.1:${tlsPort}`, "--wait", "50", ...more]),
				});
			});
		});
	}

	test("mail comes in by both doors, into the same queue", async () => {
		await withTls([], async ({ server, tlsPort, send }) => {
			expect(server.stdout).toBe(
				`listening on 127.0.0.1:${server.port}\nlistening on 127.0.0.1:${tlsPort} for TLS\n`,
			);
			const sent = await send();
			expect(sent).toMatchObject({ code: 0, stderr: "" });
			expect(sent.stdout).toMatch(/^K\tyou@example\.com\tok /);
			const plain = ["send", "--port", server.port, "--sender", "", "--recipient", "you@example.com"];
			expect((await run(plain, { input: "hi\n" })).code).toBe(0);
			expect(await readdir(join(server.directory, "mail", "new"))).toHaveLength(2);
			await server.until(
				"stderr",
				/(?:^connection peer=\S+ packages=1 end=closed(?: tls=TLSv1\.3)?\n.*){2}/ms,
			);
		});
	});

	test("a client with a certificate of its own is welcome, and so is one without", async () => {
		await withTls(["--queue", "discard:"], async ({ files, send }) => {
			const pair = ["--tls-cert", join(files, "client.pem"), "--tls-key", join(files, "client.key")];
			expect((await send(["--tls", "--tls-ca", join(files, "ca.pem"), ...pair])).code).toBe(0);
		});
		await withDirectory(async (files) => {
			await writeFile(join(files, "clients.pem"), made.ca.cert);
			await withTls(
				["--queue", "discard:", "--tls-ca", join(files, "clients.pem")],
				async ({ files, send }) => {
					const pair = ["--tls-cert", join(files, "client.pem"), "--tls-key", join(files, "client.key")];
					const trust = ["--tls", "--tls-ca", join(files, "ca.pem")];
					expect((await send([...trust, ...pair])).code).toBe(0);
					expect((await send(trust)).code).toBe(0);
				},
			);
		});
	});

	test("send says why there is no TLS, for each recipient", async () => {
		await withTls(["--queue", "discard:"], async ({ server, send }) => {
			const unknown = await send(["--tls"]);
			expect(unknown.code).toBe(111);
			expect(unknown.stdout).toMatch(
				/^Z\tyou@example\.com\tno TLS with 127\.0\.0\.1:\d+: the server's certificate is signed by nobody known/,
			);
			const args = ["--sender", "", "--recipient", "you@example.com", "--tls"];
			const plain = await run(["send", "--port", server.port, ...args], { input: "hi\n" });
			expect(plain).toMatchObject({ code: 111 });
			expect(plain.stdout).toContain("does it speak TLS on this port");
		});
	});

	test("a plain client at the port for TLS is turned away, and told of in the log", async () => {
		await withTls(["--queue", "discard:"], async ({ server, send }) => {
			expect(await send([])).toMatchObject({ code: 111 });
			await server.until("stderr", /^connection peer=\S+ packages=0 end="the client does not speak TLS"$/m);
		});
	});

	test("probe shows protocol, cipher and certificate, and then does what it always does", async () => {
		await withTls(["--queue", "discard:"], async ({ files, probe }) => {
			const trust = ["--tls", "--tls-ca", join(files, "ca.pem")];
			const probed = await probe([...trust, "--recipient", "r@example.com"]);
			expect(probed).toMatchObject({ code: 0, stderr: "" });
			expect(probed.stdout).toMatch(
				/^connected to \S+ in .* ms\ntls: TLSv1\.3 TLS_AES_256_GCM_SHA384, certificate of mx\.test valid until \d{4}-\d\d-\d\d\nsilent .*\nK\tr@example\.com\tok .*\nclosed cleanly .*\n$/,
			);
		});
	});

	test("probe shows a certificate that is not accepted, says why, and ends", async () => {
		await withTls(["--queue", "discard:"], async ({ server, files, probe }) => {
			const shown = /^connected to .*\ntls: TLSv1\.3 \S+, certificate of \S+ valid until \d{4}-\d\d-\d\d\n$/;
			const problems: [TestCertificate, RegExp][] = [
				[await made.ca.issue({ name: "mx.test", names: "IP:127.0.0.1", days: -1 }), /has expired; clients/],
				[
					await made.ca.issue({ name: "x.test", names: "DNS:x.test" }),
					/is not for 127\.0\.0\.1, but for x\.test; /,
				],
				[await selfSigned("mx.test"), /is self-signed: /],
			];
			for (const [index, [certificate, problem]] of problems.entries()) {
				await writePair(files, "server", certificate);
				server.child.kill("SIGHUP");
				await server.until("stderr", new RegExp(`(?:SIGHUP: new connections.*){${index + 1}}`, "s"));
				const probed = await probe([
					"--tls",
					"--tls-ca",
					join(files, "ca.pem"),
					"--recipient",
					"r@example.com",
				]);
				expect(probed.code).toBe(111);
				expect(probed.stdout).toMatch(shown);
				expect(probed.stderr).toMatch(/^qmtp probe: the server's certificate .*\n$/);
				expect(probed.stderr).toMatch(problem);
			}
			expect(server.stderr).toMatch(/^warning: the certificate in \S+ has expired: mx\.test valid until/m);
			expect(server.stderr).not.toContain("package=");
		});
	});

	test("probe of a port without TLS says so", async () => {
		await withServer(["--queue", "discard:"], async (server) => {
			const probed = await run(["probe", `127.0.0.1:${server.port}`, "--tls"]);
			expect(probed.code).toBe(111);
			expect(probed.stderr).toMatch(
				/^qmtp probe: no TLS with \S+: the server closed .* TLS on this port.*\n$/,
			);
		});
	});

	test("SIGHUP takes new certificates while connections go on, and keeps the old ones if the new are broken", async () => {
		await withTls(["--queue", "discard:"], async ({ server, tlsPort, files, send }) => {
			const handshake = connect({ port: Number(tlsPort), host: "127.0.0.1" });
			await once(handshake, "connect");
			await writePair(files, "server", await made.ca.issue({ name: "new.test", names: "IP:127.0.0.1" }));
			server.child.kill("SIGHUP");
			await server.until("stderr", /SIGHUP: new connections get the certificate of new\.test valid until/);
			expect((await send()).code).toBe(0);
			for (const [spoil, problem] of [
				[() => writeFile(join(files, "server.pem"), "rubbish"), "holds no certificate in PEM"],
				[
					() => writePair(files, "server", { ...made.server, key: made.client.key }),
					"is not that of the certificate",
				],
				[() => writePair(files, "server", { ...made.server, key: "" }), "holds no private key"],
			] as const) {
				await spoil();
				server.child.kill("SIGHUP");
				await server.until(
					"stderr",
					new RegExp(`^fault SIGHUP: the certificates stay as they were: .* ?${problem}`, "m"),
				);
				expect((await send()).code).toBe(0);
			}
			handshake.destroy();
		});
	});

	test.each([[], ["--workers", "1"]])(
		"SIGHUP is said and does nothing without TLS (%s)",
		async (...workers) => {
			await withServer(["--queue", "discard:", ...workers], async (server) => {
				server.child.kill("SIGHUP");
				await server.until("stderr", /^note: SIGHUP: there are no certificates to read again$/m);
				expect((await run(["probe", `127.0.0.1:${server.port}`])).code).toBe(0);
			});
		},
	);

	test("SIGTERM ends both doors, with a handshake under way", async () => {
		await withTls(["--queue", "discard:"], async ({ server, tlsPort }) => {
			const client = connect({ port: Number(tlsPort), host: "127.0.0.1" });
			await once(client, "connect");
			client.on("error", () => {});
			server.child.kill("SIGTERM");
			expect(await server.exit).toBe(0);
			client.destroy();
		});
	});

	test("the log as JSON tells of both ports", async () => {
		await withTls(["--queue", "discard:", "--log", "json"], async ({ server, tlsPort, send }) => {
			await send();
			await server.until("stderr", /"event":"disconnect"/);
			const events = server.stderr
				.trim()
				.split("\n")
				.map((line) => JSON.parse(line));
			const ports = events.filter(({ event }) => event === "listening").map(({ port }) => port);
			expect(ports).toEqual([Number(server.port), Number(tlsPort)]);
		});
	});

	test("wrong use is told in one line", async () => {
		await withDirectory(async (files) => {
			await writePair(files, "server", made.server);
			const [cert, key] = [join(files, "server.pem"), join(files, "server.key")];
			const to = ["--sender", "", "--recipient", "r@example.com"];
			const cases: [readonly string[], number, RegExp][] = [
				[["serve", "--tls-cert", cert], 1, /--tls-cert needs --tls-key/],
				[["serve", "--tls-key", key], 1, /--tls-key needs --tls-cert/],
				[["serve", "--tls-port", "0"], 1, /--tls-port needs --tls-cert and --tls-key/],
				[["serve", "--tls-ca", cert], 1, /--tls-ca needs --tls-cert and --tls-key/],
				[
					["serve", "--tls-cert", "/nonexistent", "--tls-key", key],
					111,
					/cannot read \/nonexistent: there is no such file/,
				],
				[["serve", "--tls-cert", key, "--tls-key", key], 111, /holds no certificate in PEM/],
				[["send", ...to, "--tls-ca", cert], 1, /--tls-ca needs --tls/],
				[["send", ...to, "--tls", "--tls-cert", cert], 1, /--tls-cert needs --tls-key/],
				[["send", ...to, "--tls", "--tls-ca", key], 111, /holds no certificate in PEM/],
				[["probe", "127.0.0.1", "--tls-ca", cert], 1, /--tls-ca needs --tls/],
			];
			const ended = await Promise.all(cases.map(([args]) => run(args, { cwd: files })));
			for (const [index, [args, code, message]] of cases.entries()) {
				expect(ended[index], args.join(" ")).toMatchObject({ code, stdout: "" });
				expect(ended[index]?.stderr).toMatch(message);
				expect(ended[index]?.stderr.trim().split("\n")).toHaveLength(1);
			}
		});
	});
});
