import type { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { describe, expect, test } from "vitest";
import type { QmtpClient } from "../../src/client/client.js";
import { mail, statuses, unanswered } from "../support/client-mail.js";
import { plainServer } from "../support/client-plain-server.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { type ScriptedConnection, ScriptedServer } from "../support/client-server.js";
import { Bench } from "../support/server-bench.js";
import { Gate, turns } from "../support/server-signal.js";
import { describeWithCertificates } from "../support/tls-bench.js";
import { selfSigned, type TestCertificate } from "../support/tls-certificates.js";
import { clientOf, ScriptedTlsServer } from "../support/tls-server.js";

noUnhandledRejections();

const answering = (connection: ScriptedConnection) => connection.answerAll();

describeWithCertificates("a client with TLS", (made) => {
	const trusting = { tls: made.trusting };

	/** What a call is rejected with. Nothing can have been sent: the server has read no byte of mail. */
	async function refusal(client: QmtpClient, code = "ERR_QMTP_TLS"): Promise<string> {
		const error = await client.send(mail()).then(
			() => expect.unreachable("should have been rejected"),
			(error: Error) => error,
		);
		expect(error).toMatchObject({ name: "TransportError", code, cause: expect.any(Error) });
		return error.message.replace(/:\d+/, ":PORT");
	}

	describe("sends nothing to a server whose certificate", () => {
		/** The error with a server of that certificate. */
		async function refusalOf(certificate: TestCertificate, tls: ConnectionOptions | true): Promise<string> {
			const server = await ScriptedTlsServer.start(certificate, answering);
			const message = await refusal(server.client({ tls }));
			await turns();
			expect(server.connections.flatMap(({ packages }) => packages)).toEqual([]);
			return message.replace("no TLS with 127.0.0.1:PORT: the server's certificate ", "");
		}

		test("is signed by nobody it knows", async () => {
			const message = "is signed by nobody known here: to trust its authority, name that as ca";
			expect(await refusalOf(made.server, true)).toBe(message);
			expect(await refusalOf(made.server, {})).toBe(message);
		});

		test("has expired", async () => {
			const expired = await made.ca.issue({ name: "mx.test", names: "IP:127.0.0.1", days: -1 });
			expect(await refusalOf(expired, trusting.tls)).toBe("has expired");
		});

		test("is for another host", async () => {
			const wrong = await made.ca.issue({ name: "other.test", names: "DNS:other.test,DNS:another.test" });
			expect(await refusalOf(wrong, trusting.tls)).toBe(
				"is not for 127.0.0.1, but for other.test, another.test",
			);
			expect(await refusalOf(wrong, { ...trusting.tls, servername: "mx.test" })).toBe(
				"is not for mx.test, but for other.test, another.test",
			);
			const nameless = await made.ca.issue({ name: "127.0.0.1" });
			expect(await refusalOf(nameless, trusting.tls)).toBe("is not for 127.0.0.1, but for 127.0.0.1");
		});

		test("signed itself, unless it is trusted or nothing is checked", async () => {
			const own = await selfSigned("mx.test");
			expect(await refusalOf(own, trusting.tls)).toBe(
				"is self-signed: to trust it nevertheless, name it as ca",
			);
			const server = await ScriptedTlsServer.start(own, answering);
			for (const tls of [{ ca: own.cert, servername: "mx.test" }, { rejectUnauthorized: false }]) {
				expect(statuses(await server.client({ tls }).send(mail()))).toBe("K");
			}
		});
	});

	describe("says plainly that there is no TLS:", () => {
		const where = "no TLS with 127.0.0.1:PORT: ";
		const closed = `${where}the server closed the connection in the handshake: does it speak TLS on this port, and take connections?`;

		test.each([
			["a plain QMTP server", undefined],
			["a server that closes at once", (socket: Socket) => socket.end()],
			[
				"one that closes when it was sent something",
				(socket: Socket) => socket.once("data", () => socket.end()),
			],
			["one that resets", (socket: Socket) => socket.once("data", () => socket.resetAndDestroy())],
		])("%s", async (_, script) => {
			if (script !== undefined) {
				return expect(await refusal(clientOf(await plainServer(script), trusting))).toBe(closed);
			}
			const bench = new Bench();
			expect(await refusal(clientOf(await bench.port(), trusting))).toBe(closed);
			expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_NETSTRING_LENGTH_DIGIT" });
		});

		test.each([
			["an SMTP server", (socket: Socket) => socket.write("220 mx.test ESMTP\r\n")],
			[
				"an HTTP server",
				(socket: Socket) => socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
			],
			["a server of QMTP that greets", (socket: Socket) => socket.write("20:Zcome back, later\r\n!,")],
		])("%s", async (_, script) => {
			expect(await refusal(clientOf(await plainServer(script), trusting))).toBe(
				`${where}the server does not speak TLS on this port`,
			);
		});

		test("a server of other versions", async () => {
			const server = await ScriptedTlsServer.start({ ...made.server, maxVersion: "TLSv1.2" }, answering);
			const client = server.client({ tls: { ...trusting.tls, minVersion: "TLSv1.3" } });
			expect(await refusal(client)).toBe(
				`${where}the server and this client have no version of TLS in common`,
			);
		});

		test("a server that wants a certificate, before anything is sent, so that nothing may have been accepted", async () => {
			const tls = { ...made.server, ca: made.ca.cert, requestCert: true, rejectUnauthorized: true };
			for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
				const server = await ScriptedTlsServer.start({ ...tls, maxVersion }, answering);
				const message = await refusal(server.client(trusting));
				const plain = "the server asks for a client certificate, and there is none to give";
				expect(message).toBe(where + (maxVersion === "TLSv1.3" ? plain : "sslv3 alert handshake failure"));
				expect(server.connections).toEqual([]);
			}
		});

		test("a server where nobody listens is one without a connection", async () => {
			const server = await ScriptedServer.start(() => {});
			await server.stop();
			expect(await refusal(clientOf(server.port, trusting), "ERR_QMTP_CONNECT")).toBe(
				"no connection to 127.0.0.1:PORT: nothing listens there (connection refused)",
			);
		});

		test("a server that says nothing, when timeouts.connect has passed", async () => {
			const gone = new Gate();
			const port = await plainServer((socket) => socket.resume().once("end", () => gone.open()));
			const client = clientOf(port, { ...trusting, timeouts: { connect: 300 } });
			expect(await refusal(client, "ERR_QMTP_CONNECT_TIMEOUT")).toBe(
				"no TLS with 127.0.0.1:PORT within 300 ms: the server says nothing; is this a port for TLS?",
			);
			await gone.promise;
		});

		test("a plain client of a TLS server gets a Z with an error, and does not hang", async () => {
			const bench = new Bench({ tls: made.server });
			const result = await clientOf(await bench.port(), {}).send(mail());
			expect(result.responses).toEqual([unanswered("ERR_QMTP_CONNECTION_CLOSED", true)]);
			expect((await bench.disconnected()).error?.message).toBe("the client does not speak TLS");
		});
	});
});
