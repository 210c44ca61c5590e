/** TLS of a server: what clients get over it, how connections end, and streams that others made. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Peer } from "../../src/protocol/peer.js";
import { QmtpServer } from "../../src/server/server.js";
import { Bench, type BenchOptions } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { TestQueue } from "../support/server-queue.js";
import { turns } from "../support/server-signal.js";
import { closed, describeWithCertificates, tlsClient, tlsSocket } from "../support/tls-bench.js";
import { selfSigned } from "../support/tls-certificates.js";

describeWithCertificates("a server with TLS", (made) => {
	const { trusting } = made;
	const secureBench = (options?: BenchOptions) => new Bench({ tls: made.server, ...options });

	describe("speaks it from the first byte:", () => {
		test("a client gets its answers, and the peer tells of TLS", async () => {
			const peers: Peer[] = [];
			const authorize = (peer: Peer) => {
				peers.push(peer);
				return true;
			};
			const bench = secureBench({ hooks: { authorize } });
			const client = await tlsClient(bench, { ...trusting, servername: "mx.test" });
			client.end(mail() + mail());
			expect(await client.all()).toEqual(["Kok", "Kok"]);
			const report = await bench.disconnected();
			expect(report).toEqual({ peer: peers[0], packages: 2 });
			expect(peers).toEqual([
				{
					remoteAddress: "127.0.0.1",
					remotePort: expect.any(Number),
					localAddress: "127.0.0.1",
					localPort: await bench.port(),
					tls: {
						authorized: false,
						subject: null,
						names: [],
						fingerprint256: null,
						protocol: "TLSv1.3",
						cipher: "TLS_AES_256_GCM_SHA384",
						servername: "mx.test",
					},
				},
			]);
		});

		test("TLS 1.2 does as well, and without a name there is none", async () => {
			const bench = secureBench();
			const client = await tlsClient(bench, { ...trusting, maxVersion: "TLSv1.2" });
			client.end(mail());
			expect(await client.all()).toEqual(["Kok"]);
			const { peer } = await bench.disconnected();
			expect(peer.tls).toMatchObject({ protocol: "TLSv1.2", cipher: expect.stringMatching(/^ECDHE-/) });
			expect(peer.tls).not.toHaveProperty("servername");
		});

		test("SNICallback chooses the certificate", async () => {
			const other = await selfSigned("other.test");
			const { createSecureContext } = await import("node:tls");
			const bench = new Bench({
				tls: {
					...made.server,
					SNICallback: (name, use) =>
						use(null, createSecureContext(name === "other.test" ? other : made.server)),
				},
			});
			const client = await tlsClient(bench, { ca: other.cert, servername: "other.test" });
			expect(client.socket.getPeerCertificate().subject.CN).toBe("other.test");
			client.end();
			await client.all();
		});

		test("over a Unix socket, too", async () => {
			const { withDirectory } = await import("../support/program.js");
			await withDirectory(async (directory) => {
				const bench = secureBench();
				const path = await bench.server.listen({ path: `${directory}/qmtps` });
				const socket = tlsSocket({ path, ...trusting, servername: "mx.test" });
				const client = bench.client(socket);
				client.end(mail());
				expect(await client.all()).toEqual(["Kok"]);
				expect((await bench.disconnected()).peer).toMatchObject({
					remoteAddress: "",
					tls: { servername: "mx.test" },
				});
			});
		});

		test("100 clients pipeline, each over a connection of its own", async () => {
			const bench = secureBench({ limits: { connections: 100 } });
			const clients = await Promise.all(Array.from({ length: 100 }, () => tlsClient(bench, trusting)));
			expect(bench.server.connections).toBe(100);
			for (const [index, client] of clients.entries()) client.end(mail({ sender: `${index}` }).repeat(50));
			for (const client of clients) expect(await client.all()).toEqual(Array(50).fill("Kok"));
			expect(bench.queue.commits).toHaveLength(5000);
		});

		test("a body of 8 MiB comes as it was sent", async () => {
			const bench = secureBench();
			const client = await tlsClient(bench, trusting);
			const body = "0123456789abcdef".repeat(512 * 1024);
			client.end(mail({ message: `\n${body}` }));
			expect(await client.all()).toEqual(["Kok"]);
			expect(bench.queue.commits[0]?.text === body).toBe(true);
		});
	});

	describe("ends connections without losing an answer:", () => {
		test("a client that half-closes gets the answers of slow commits", async () => {
			const bench = secureBench({ queue: { hold: true } });
			const client = await tlsClient(bench, trusting);
			client.end(mail() + mail());
			await bench.queue.called("commit", 2);
			bench.queue.release();
			expect(await client.all()).toEqual(["Kok", "Kok"]);
			expect(await bench.disconnected()).not.toHaveProperty("error");
		});

		test("so does one whose end comes with the last bytes of its handshake", async () => {
			const bench = secureBench({ queue: { hold: true } });
			const socket = tlsSocket({
				...trusting,
				port: await bench.port(),
				host: "127.0.0.1",
			});
			const client = bench.client(socket);
			client.end(mail());
			await bench.queue.called("commit");
			bench.queue.release();
			expect(await client.all()).toEqual(["Kok"]);
		});

		test("one that goes on sending after a protocol error gets the answers before it", async () => {
			const bench = secureBench({ queue: { hold: true } });
			const client = await tlsClient(bench, trusting);
			client.send(`${mail().repeat(20)}EHLO x\r\n`);
			await bench.queue.called("commit", 20);
			const chunk = Buffer.alloc(100_000, "x");
			const writing = (async () => {
				while (!client.ended) if (!client.socket.write(chunk)) await once(client.socket, "drain");
				for (let more = 0; more < 50; more++) {
					if (!client.socket.write(chunk)) await once(client.socket, "drain");
				}
			})();
			await turns();
			bench.queue.release();
			await client.changes.until(() => client.ended);
			expect(client.responses).toEqual(Array(20).fill("Kok"));
			await writing;
			client.end();
			expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_NETSTRING_LENGTH_DIGIT" });
			expect(client.error).toBeNull();
		});

		test("close() finishes the package under way", async () => {
			const bench = secureBench();
			const client = await tlsClient(bench, trusting);
			client.send(mail() + mail().slice(0, 20));
			await client.receives(1);
			const closing = bench.server.close();
			client.send(mail().slice(20) + mail());
			expect(await client.all()).toEqual(["Kok", "Kok"]);
			await closing;
		});

		test("a client that vanishes leaves nothing behind", async () => {
			const bench = secureBench();
			const client = await tlsClient(bench, trusting);
			client.send(mail().slice(0, 20));
			await bench.queue.called("open");
			client.socket.destroy();
			expect((await bench.disconnected()).error).toBeInstanceOf(Error);
			expect(bench.server.connections).toBe(0);
		});
	});

	describe("is not made with options that cannot be used:", () => {
		test.each<[string, () => unknown, RegExp]>([
			["no object", () => true, /tls must be an object: \{ cert, key \}, not true/],
			["no certificate", () => ({}), /tls needs a certificate and its key/],
			["no key", () => ({ cert: made.server.cert }), /tls needs the key of its certificate/],
			["rubbish", () => ({ cert: "x", key: "y" }), /tls cannot be used: /],
			[
				"another certificate's key",
				() => ({ ...made.server, key: made.client.key }),
				/tls cannot be used: .*mismatch/,
			],
		])("%s", (_, tls, message) => {
			const make = () => new QmtpServer({ queue: new TestQueue(), tls: tls() as never });
			expect(make).toThrow(expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }));
			expect(make).toThrow(message);
		});
	});

	test("bytes that somebody read from the socket and put back come before the handshake's others", async () => {
		const bench = new Bench();
		const { TlsAcceptor } = await import("../../src/server/tls.js");
		const acceptor = new TlsAcceptor(made.server, 10_000);
		const listener = createServer({ allowHalfOpen: true }, async (socket) => {
			await once(socket, "readable");
			const head = socket.read() as Buffer;
			expect(head.toString("latin1", 0, 6)).toBe("PROXY\n");
			socket.unshift(head.subarray(6));
			await bench.serve(await acceptor.secure(socket));
		});
		onTestFinished(() => void listener.close());
		await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
		const { port } = listener.address() as { port: number };
		const socket = connect({ port, host: "127.0.0.1" });
		socket.cork();
		socket.write("PROXY\n");
		const client = bench.client(tlsSocket({ ...trusting, socket, host: "127.0.0.1" }));
		socket.uncork();
		client.end(mail());
		expect(await client.all()).toEqual(["Kok"]);
	});

	test("serve() knows the peer of a TLS socket that the user made", async () => {
		const bench = new Bench();
		const listener = createTlsServer(
			{ ...made.server, ca: made.ca.cert, requestCert: true, rejectUnauthorized: false },
			(socket) => void bench.server.serve(socket),
		);
		onTestFinished(() => void listener.close());
		await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
		const { port } = listener.address() as { port: number };
		const socket = tlsSocket({ ...trusting, ...made.client, port, host: "127.0.0.1" });
		const client = bench.client(socket);
		client.end(mail());
		expect(await client.all()).toEqual(["Kok"]);
		expect((await bench.disconnected()).peer).toMatchObject({
			remoteAddress: "127.0.0.1",
			tls: { authorized: true, subject: "client.test", names: ["one.client.test", "two.client.test"] },
		});
		await closed(socket);
	});
});
