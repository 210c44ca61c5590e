/** Handshakes of a server that fail: what is told of them, and what bounds them. */
import type { Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Peer } from "../../src/protocol/peer.js";
import { bytesOf } from "../support/bytes.js";
import { Bench, type BenchOptions } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";
import { describeWithCertificates, plainClient, tlsClient } from "../support/tls-bench.js";
import { selfSigned } from "../support/tls-certificates.js";

describeWithCertificates("a server with TLS", (made) => {
	const { trusting } = made;
	const secureBench = (options?: BenchOptions) => new Bench({ tls: made.server, ...options });

	describe("tells of a handshake that fails, which is the client's fault:", () => {
		/** The only report, and no fault is told: the bench sees to that. */
		async function failure(bench: Bench): Promise<string> {
			const report = await bench.disconnected();
			expect(report).toMatchObject({ packages: 0, error: { name: "TransportError", code: "ERR_QMTP_TLS" } });
			expect(report.peer).toMatchObject({ remoteAddress: "127.0.0.1", remotePort: expect.any(Number) });
			expect(report.peer).not.toHaveProperty("tls");
			expect(bench.server.connections).toBe(0);
			return report.error?.message ?? "";
		}

		test.each([
			["a plain QMTP client", (socket: Socket) => socket.write(bytesOf(mail()))],
			["a client of HTTP", (socket: Socket) => socket.write("GET / HTTP/1.0\r\n\r\n")],
			["a client of an HTTP proxy", (socket: Socket) => socket.write("CONNECT a.test:1 HTTP/1.1\r\n\r\n")],
			["a client of SMTP", (socket: Socket) => socket.write("EHLO client.test\r\n")],
			["a PROXY header", (socket: Socket) => socket.write("PROXY TCP4 192.0.2.7 192.0.2.1 40000 209\r\n")],
			["data where a handshake is due", (socket: Socket) => socket.write(Buffer.from("170303000141", "hex"))],
			["a record that is too long", (socket: Socket) => socket.write(Buffer.from("c80301001441", "hex"))],
		])("%s", async (_, speak) => {
			const bench = secureBench();
			const client = await plainClient(bench);
			speak(client.socket);
			expect(await failure(bench)).toBe("the client does not speak TLS");
			await client.gone();
			expect(bench.queue.calls).toEqual([]);
		});

		test.each([
			["closes its side without a byte", (socket: Socket) => socket.end()],
			["closes its side inside the handshake", (socket: Socket) => socket.end(Buffer.from("160301", "hex"))],
			["resets the connection", (socket: Socket) => socket.resetAndDestroy()],
			["leaves", (socket: Socket) => socket.destroy()],
		])("a client that %s", async (_, leave) => {
			const bench = secureBench();
			const client = await plainClient(bench);
			leave(client.socket);
			expect(await failure(bench)).toBe("the client left in the TLS handshake");
			await client.gone();
		});

		test("a client that wants no version of ours", async () => {
			const bench = new Bench({ tls: { ...made.server, minVersion: "TLSv1.3" } });
			await tlsClient(bench, { ...trusting, maxVersion: "TLSv1.2" }).catch(() => {});
			expect(await failure(bench)).toBe("the TLS handshake failed: unsupported protocol");
		});

		test("a client without a certificate, or with one that nobody knows, where one is required", async () => {
			const tls = { ...made.server, ca: made.ca.cert, requestCert: true, rejectUnauthorized: true };
			const none = new Bench({ tls });
			await tlsClient(none, trusting).catch(() => {});
			expect(await failure(none)).toBe("the client has no certificate");
			const unknown = new Bench({ tls });
			await tlsClient(unknown, { ...trusting, ...(await selfSigned("client.test")) }).catch(() => {});
			expect(await failure(unknown)).toBe(
				"the client's certificate is not accepted: DEPTH_ZERO_SELF_SIGNED_CERT",
			);
			const known = new Bench({ tls });
			const client = await tlsClient(known, { ...trusting, ...made.client });
			client.end(mail());
			expect(await client.all()).toEqual(["Kok"]);
		});

		test("events come in pairs: connection, then disconnect", async () => {
			const bench = secureBench();
			const events: string[] = [];
			let peer: Peer | undefined;
			bench.server.on("connection", (told) => {
				peer = told;
				events.push("connection");
			});
			bench.server.on("disconnect", (report) => events.push(`disconnect ${report.peer === peer}`));
			(await plainClient(bench)).end();
			await bench.disconnected();
			expect(events).toEqual(["connection", "disconnect true"]);
		});
	});

	describe("bounds handshakes:", () => {
		test("one that sends a byte now and then ends when its time is over", async () => {
			const bench = new Bench({ tls: { ...made.server, handshakeTimeout: 300 } });
			const client = await plainClient(bench);
			client.socket.write(Buffer.from("1603010200010001fc0303", "hex"));
			const dripping = setInterval(() => client.socket.write("x"), 20);
			onTestFinished(() => clearInterval(dripping));
			expect((await bench.disconnected()).error).toMatchObject({
				code: "ERR_QMTP_TLS",
				message: "no TLS handshake within 300 ms",
			});
			await client.gone();
		});

		test("so does one that says nothing, after timeouts.idle if that is less than 30 s", async () => {
			const bench = secureBench({ timeouts: { idle: 200 } });
			const client = await plainClient(bench);
			expect((await bench.disconnected()).error?.message).toBe("no TLS handshake within 200 ms");
			await client.gone();
		});

		test("they count as connections, and give their places back", async () => {
			const bench = secureBench({ limits: { connections: 2 } });
			const [first, second] = [await plainClient(bench), await plainClient(bench)];
			const third = await plainClient(bench);
			await third.gone();
			expect(bench.server.connections).toBe(2);
			expect(bench.disconnects).toEqual([]);
			first.end();
			second.end();
			await bench.disconnected(2);
			const client = await tlsClient(bench, trusting);
			client.end(mail());
			expect(await client.all()).toEqual(["Kok"]);
		});

		test.each(["close", "destroy"] as const)("%s() ends those under way", async (how) => {
			const bench = secureBench();
			const clients = [await plainClient(bench), await plainClient(bench)];
			clients[1]?.socket.write(Buffer.from("1603010200010001fc0303", "hex"));
			while (bench.server.connections < 2) await turns(1);
			const events: string[] = [];
			bench.server.on("disconnect", ({ error }) => events.push(error?.message ?? ""));
			bench.server.on("close", () => events.push("close"));
			bench.server[how]();
			await bench.server.close();
			const message = "the server was closed before the TLS handshake was done";
			expect(events).toEqual([message, message, "close"]);
			for (const client of clients) await client.gone();
			expect(bench.server.connections).toBe(0);
		});

		test("close() at the moment when a handshake is done ends that connection", async () => {
			for (let round = 0; round < 10; round++) {
				const bench = secureBench();
				const client = tlsClient(bench, trusting);
				bench.server.once("connection", () => void bench.server.close());
				(await client).end();
				await bench.server.close();
				expect(bench.server.connections).toBe(0);
			}
		});
	});
});
