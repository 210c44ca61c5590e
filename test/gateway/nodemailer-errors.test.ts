import { createTransport } from "nodemailer";
import { describe, expect, onTestFinished, test } from "vitest";
import { TransportError, UsageError } from "../../src/errors.js";
import { mailError } from "../../src/gateway/nodemailer/error.js";
import {
	type QmtpMailError,
	type QmtpTransport,
	type QmtpTransportOptions,
	qmtpTransport,
} from "../../src/gateway/nodemailer.js";
import { discardQueue } from "../../src/queue/discard.js";
import { QmtpServer } from "../../src/server/server.js";
import { deafPort } from "../support/client-deaf-server.js";
import { response, type Script, ScriptedServer } from "../support/client-server.js";

const MAIL = { from: "me@example.org", to: ["a@example.com", "b@example.com"], text: "hello" };

function transportTo(options: QmtpTransportOptions): QmtpTransport {
	const transport = qmtpTransport(options);
	onTestFinished(() => transport.close({ force: true }));
	return transport;
}

/** What a mail to such a server fails with. */
async function failure(options: QmtpTransportOptions, mail = {}): Promise<QmtpMailError> {
	const sending = createTransport(transportTo(options)).sendMail({ ...MAIL, ...mail });
	return sending.then(
		() => Promise.reject(new Error("it was sent")),
		(error) => error,
	);
}

async function portOf(script: Script): Promise<number> {
	return (await ScriptedServer.start(script)).port;
}

/** A port on which nothing listens. */
async function closedPort(): Promise<number> {
	const server = await ScriptedServer.start(() => {});
	await server.stop();
	return server.port;
}

const SHORT = { timeouts: { connect: 50, response: 50 } };

describe("a mail", () => {
	test("it fails at once if nothing listens", async () => {
		const error = await failure({ port: await closedPort() });
		expect(error).toMatchObject({
			code: "ESOCKET",
			originalCode: "ECONNREFUSED",
			command: "QMTP",
			cause: { code: "ERR_QMTP_CONNECT" },
		});
		expect(error).not.toHaveProperty("responseCode");
		expect(error).not.toHaveProperty("permanent");
	});

	test("it fails in time if there is no connection", async () => {
		const error = await failure({ port: await deafPort(), ...SHORT });
		expect(error).toMatchObject({ code: "ETIMEDOUT", timeoutType: "CONNECT_TIMEOUT" });
	});

	test("it fails in time if the server never answers, and may have arrived", async () => {
		const port = await portOf(() => {});
		expect(await failure({ port, ...SHORT }, { to: "a@example.com" })).toMatchObject({
			code: "ETIMEDOUT",
			timeoutType: "SOCKET_TIMEOUT",
			possiblyAccepted: true,
			rejected: ["a@example.com"],
			pending: ["a@example.com"],
			rejectedErrors: [{ recipient: "a@example.com", code: "ETIMEDOUT", possiblyAccepted: true }],
			cause: { code: "ERR_QMTP_RESPONSE_TIMEOUT" },
		});
	});

	test("it fails if the server closes the connection instead of answering, and may have arrived", async () => {
		const port = await portOf(async (connection) => {
			await connection.received();
			connection.socket.destroy();
		});
		const error = await failure({ port }, { to: "a@example.com" });
		expect(error).toMatchObject({ code: "ECONNECTION", possiblyAccepted: true, pending: ["a@example.com"] });
		expect(error).not.toHaveProperty("responseCode");
	});

	test("it fails if the server speaks another protocol", async () => {
		const port = await portOf((connection) => connection.write("220 mx.example.com ESMTP\r\n"));
		expect(await failure({ port })).toMatchObject({ code: "EPROTOCOL", pending: MAIL.to });
	});

	test("it succeeds for those who were accepted before the connection was lost", async () => {
		const port = await portOf(async (connection) => {
			if (connection.number > 0) return;
			await connection.received();
			connection.write(response("Kok\u0001"));
			await new Promise<void>((resolve) => connection.socket.end(resolve));
		});
		const info = await createTransport(transportTo({ port, ...SHORT })).sendMail(MAIL);
		expect(info).toMatchObject({
			accepted: ["a@example.com"],
			rejected: ["b@example.com"],
			pending: ["b@example.com"],
			response: "250 ok",
			rejectedErrors: [{ recipient: "b@example.com", code: "EPROTOCOL", possiblyAccepted: true }],
		});
	});

	test.each([
		[new TransportError("ERR_QMTP_CONNECT", "", { cause: systemError("ENOTFOUND") }), "EDNS", "ENOTFOUND"],
		[new TransportError("ERR_QMTP_DNS", ""), "EDNS", undefined],
		[new UsageError("ERR_QMTP_MESSAGE", ""), "EMESSAGE", undefined],
		[systemError("EIO"), "EMESSAGE", "EIO"],
		["text", "EMESSAGE", undefined],
	])("%s has a code of nodemailer's", (cause, code, originalCode) => {
		const error = mailError(cause);
		expect([error.code, error.originalCode, error.cause]).toEqual([code, originalCode, cause]);
		expect(mailError(error)).toBe(error);
	});
});

describe("verify", () => {
	test("it is true for a QMTP server", async () => {
		const server = new QmtpServer({ queue: discardQueue() });
		onTestFinished(() => server.close());
		const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
		const mailer = createTransport(transportTo({ port }));
		expect(await mailer.verify()).toBe(true);
		const answer = await new Promise((resolve) => {
			mailer.verify((error, success) => resolve({ error, success }));
		});
		expect(answer).toEqual({ error: null, success: true });
	});

	test("it fails if nothing listens, by callback too", async () => {
		const mailer = createTransport(transportTo({ port: await closedPort() }));
		const refused = { code: "ESOCKET", originalCode: "ECONNREFUSED" };
		await expect(mailer.verify()).rejects.toMatchObject(refused);
		expect(await new Promise((resolve) => mailer.verify(resolve))).toMatchObject(refused);
	});

	test("it fails in time if there is no connection", async () => {
		const transport = transportTo({ port: await deafPort(), ...SHORT });
		await expect(transport.verify()).rejects.toMatchObject({ code: "ETIMEDOUT" });
	});

	test("it fails if the server greets, as SMTP servers do", async () => {
		const port = await portOf((connection) => connection.write("220 mx.example.com ESMTP\r\n"));
		await expect(transportTo({ port }).verify()).rejects.toMatchObject({ code: "EPROTOCOL" });
	});

	test("it fails if the server greets only when it is told goodbye", async () => {
		const port = await portOf(async (connection) => {
			await connection.end();
			connection.socket.end("220 mx.example.com ESMTP\r\n");
		});
		await expect(transportTo({ port }).verify()).rejects.toMatchObject({ code: "EPROTOCOL" });
	});

	test("it fails if the server turns this host away", async () => {
		const port = await portOf((connection) => connection.socket.end());
		await expect(transportTo({ port }).verify()).rejects.toMatchObject({ code: "ECONNECTION" });
	});

	test("it fails if the connection is lost", async () => {
		const port = await portOf(async (connection) => {
			await connection.end();
			connection.socket.resetAndDestroy();
		});
		await expect(transportTo({ port }).verify()).rejects.toMatchObject({
			code: "ECONNECTION",
			originalCode: "ECONNRESET",
		});
	});

	test("it fails if the server does not close", async () => {
		const port = await portOf(() => {});
		await expect(transportTo({ port, ...SHORT }).verify()).rejects.toMatchObject({
			code: "ETIMEDOUT",
			timeoutType: "SOCKET_TIMEOUT",
		});
	});
});

function systemError(code: string): Error {
	return Object.assign(new Error(code), { code });
}
