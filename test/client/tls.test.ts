/** TLS of a client: whom it trusts, what it says when there is no TLS, and that all else is as without it. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { mail, recipients, statuses, unanswered } from "../support/client-mail.js";
import { plainServer } from "../support/client-plain-server.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { accept, acceptingServer, type ScriptedConnection } from "../support/client-server.js";
import { Bench } from "../support/server-bench.js";
import { Gate } from "../support/server-signal.js";
import { describeWithCertificates } from "../support/tls-bench.js";
import { clientOf, ScriptedTlsServer } from "../support/tls-server.js";

noUnhandledRejections();

const answering = (connection: ScriptedConnection) => connection.answerAll();

describeWithCertificates("a client with TLS", (made) => {
	const trusting = { tls: made.trusting };

	describe("sends:", () => {
		test("pipelined, with several recipients, streams and files of any size", async () => {
			const bench = new Bench({ tls: made.server });
			const client = clientOf(await bench.port(), trusting);
			const large = Buffer.alloc(3_000_000, "0123456789abcde\n");
			const chunks = async function* () {
				for (let at = 0; at < large.length; at += 100_000) yield large.subarray(at, at + 100_000);
			};
			const results = await Promise.all([
				client.send(mail({ recipients: recipients(3) })),
				client.send(mail({ message: large })),
				client.send(mail({ message: chunks(), size: large.length })),
				...Array.from({ length: 500 }, () => client.send(mail())),
			]);
			expect(results.map(statuses).join("")).toBe("K".repeat(505));
			expect(bench.queue.commits.filter(({ text }) => text === large.toString())).toHaveLength(2);
			await client.close();
			expect(await bench.disconnected()).toMatchObject({ packages: 503 });
			expect(bench.disconnects).toHaveLength(1);
		});

		test("again on a new connection after a loss", async () => {
			const server = await ScriptedTlsServer.start(made.server, async (connection) => {
				await connection.received();
				connection.write(accept(connection.packages[0] as never));
				connection.socket.end();
			});
			const client = server.client(trusting);
			expect(statuses(await client.send(mail()))).toBe("K");
			await server.connections[0]?.gone();
			expect(statuses(await client.send(mail()))).toBe("K");
			expect(server.connections).toHaveLength(2);
		});

		test("100 clients pipeline at once, and each gets its own answers", async () => {
			const bench = new Bench({ tls: made.server, limits: { connections: 100 } });
			const port = await bench.port();
			const clients = Array.from({ length: 100 }, () => clientOf(port, trusting));
			const results = await Promise.all(
				clients.map((client) => Promise.all(Array.from({ length: 20 }, () => client.send(mail())))),
			);
			expect(results.flat().map(statuses).join("")).toBe("K".repeat(2000));
			await Promise.all(clients.map((client) => client.close()));
			expect(bench.queue.commits).toHaveLength(2000);
		});

		test("while the server's certificates are exchanged, without losing one", async () => {
			const bench = new Bench({ tls: made.server });
			const port = await bench.port();
			const newer = await made.ca.issue({ name: "mx.test", names: "IP:127.0.0.1" });
			let accepted = 0;
			const sender = async () => {
				for (let round = 0; round < 15; round++) {
					const client = new QmtpClient({ port, ...trusting });
					const results = await Promise.all(Array.from({ length: 10 }, () => client.send(mail())));
					accepted += results.filter((result) => result.accepted.length === 1).length;
					await client.close();
					bench.server.updateSecureContext(round % 2 === 0 ? newer : made.server);
				}
			};
			await Promise.all(Array.from({ length: 8 }, sender));
			expect(accepted).toBe(1200);
			expect(bench.queue.commits).toHaveLength(1200);
		});

		test("with a certificate of its own", async () => {
			const tls = { ...made.server, ca: made.ca.cert, requestCert: true };
			const bench = new Bench({ tls });
			const client = clientOf(await bench.port(), { tls: { ca: made.ca.cert, ...made.client } });
			expect(statuses(await client.send(mail()))).toBe("K");
			await client.close();
			expect((await bench.disconnected()).peer.tls).toMatchObject({
				authorized: true,
				subject: "client.test",
			});
		});

		test("to a server that sends no tickets, with TLS 1.2 and 1.3", async () => {
			const { constants } = await import("node:crypto");
			for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
				const options = { ...made.server, maxVersion, secureOptions: constants.SSL_OP_NO_TICKET };
				const server = await ScriptedTlsServer.start(options, answering);
				server.server.on("newSession", (_id, _data, done) => done());
				expect(statuses(await server.client(trusting).send(mail()))).toBe("K");
			}
		});

		test("no name of the server for an address, and host's or servername's otherwise", async () => {
			const server = await ScriptedTlsServer.start(made.server, answering);
			for (const [host, tls] of [
				["127.0.0.1", {}],
				["localhost", { rejectUnauthorized: false }],
				["127.0.0.1", { servername: "mx.test" }],
			] as const) {
				const client = server.client({ host, tls: { ca: made.ca.cert, ...tls } });
				await client.send(mail());
				await client.close();
			}
			expect(server.sockets.map((socket) => (socket as { servername?: unknown }).servername)).toEqual([
				false,
				"localhost",
				"mx.test",
			]);
		});
	});

	test("destroy() ends a handshake under way", async () => {
		const greeted = new Gate<Socket>();
		const port = await plainServer((socket) => socket.once("data", () => greeted.open(socket)));
		const client = clientOf(port, trusting);
		const sending = client.send(mail());
		const socket = await greeted.promise;
		client.destroy();
		expect((await sending).responses).toEqual([unanswered("ERR_QMTP_DESTROYED", false)]);
		await once(socket, "end");
	});

	test("a call is given up in the handshake, and the next one goes out on the same connection", async () => {
		const stop = new AbortController();
		const bench = new Bench({ tls: made.server });
		const client = clientOf(await bench.port(), trusting);
		const [given, other] = [client.send(mail(), { signal: stop.signal }), client.send(mail())];
		stop.abort(new Error("too slow"));
		await expect(given).rejects.toThrow("too slow");
		expect(statuses(await other)).toBe("K");
		await client.close();
		expect((await bench.disconnected()).packages).toBe(1);
	});

	test("what a server says before it was sent anything is not taken for an answer", async () => {
		for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
			const server = await ScriptedTlsServer.start({ ...made.server, maxVersion }, (connection) => {
				connection.write("2:K!,");
			});
			const result = await server.client(trusting).send(mail());
			expect(result.responses).toEqual([unanswered("ERR_QMTP_RESPONSE_UNEXPECTED", false)]);
		}
	});

	test("a failing source half-closes: the package is withdrawn, and the answers before it come", async () => {
		const bench = new Bench({ tls: made.server, queue: { hold: true } });
		const client = clientOf(await bench.port(), trusting);
		const first = client.send(mail());
		await bench.queue.called("commit");
		const failing = async function* () {
			yield Buffer.alloc(500_000, "x");
			await bench.queue.called("open", 2);
			throw new Error("cable");
		};
		await expect(client.send(mail({ message: failing(), size: 1_000_000 }))).rejects.toMatchObject({
			code: "ERR_QMTP_MESSAGE_SOURCE",
		});
		await bench.queue.called("abort");
		bench.queue.release();
		expect(statuses(await first)).toBe("K");
	});

	test.each<[string, unknown, RegExp]>([
		["a text", "yes", /tls must be true, false, or an object of options, not yes/],
		["a certificate that is none", { cert: "x" }, /tls cannot be used: /],
		["a socket of one's own", { socket: {} }, /there is no option tls.socket: /],
		["another port", { port: 1 }, /there is no option tls.port: the client makes its connections itself/],
	])("%s as option is refused at once", (_, tls, message) => {
		const make = () => new QmtpClient({ tls: tls as never });
		expect(make).toThrow(expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }));
		expect(make).toThrow(message);
	});

	test("an option that tls.connect alone can refuse is told at the call", async () => {
		const server = await acceptingServer();
		const client = server.client({ tls: { ...trusting.tls, minDHSize: -1 } });
		await expect(client.send(mail())).rejects.toMatchObject({ code: "ERR_QMTP_OPTION" });
		await (await server.connection()).gone();
	});
});

test("the port is 6209 with TLS and 209 without", async () => {
	const { clientSettings } = await import("../../src/client/options.js");
	expect(clientSettings({ tls: true }).port).toBe(6209);
	expect(clientSettings({ tls: {}, port: 7 }).port).toBe(7);
	for (const tls of [false, undefined])
		expect(clientSettings(tls === undefined ? {} : { tls }).port).toBe(209);
});
