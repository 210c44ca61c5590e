/** STARTTLS, against npm's smtp-server and against servers that make a mess of it. */
import { randomBytes } from "node:crypto";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { SmtpClient } from "../../src/smtp/client.js";
import type { SmtpClientOptions } from "../../src/smtp/options.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { SmtpTestServer, smtpMail, summaries } from "../support/smtp-peer.js";
import { certificate, npmServer, type TestCertificate } from "../support/smtp-tls.js";

noUnhandledRejections();

const HOST = "mx.test";
let tls: TestCertificate;

beforeAll(async () => {
	tls = await certificate(HOST);
});

/** A client that takes the server for mx.test. */
function client(port: number, options: Partial<SmtpClientOptions> = {}): SmtpClient {
	const made = new SmtpClient({ host: HOST, address: "127.0.0.1", port, name: "client.test", ...options });
	onTestFinished(async () => {
		made.destroy();
		await made.close();
	});
	return made;
}

test("opportunistic: TLS if it is offered, whatever the certificate", async () => {
	const server = await npmServer(await certificate("another.test"));
	const [result] = await client(server.port).send(smtpMail());
	expect(result?.status).toBe("K");
	expect(server.messages).toEqual([
		{
			mail: "sender@example.com",
			rcpt: ["rcpt@example.com"],
			data: "Subject: hello\r\n\r\nhello\r\n",
			secure: true,
		},
	]);
});

test("opportunistic: plain text if TLS is not offered", async () => {
	const server = await npmServer();
	const [result] = await client(server.port).send(smtpMail());
	expect(result?.status).toBe("K");
	expect(server.messages[0]?.secure).toBe(false);
});

test("never: plain text though TLS is offered", async () => {
	const server = await npmServer(tls);
	await client(server.port, { tls: "never" }).send(smtpMail());
	expect(server.messages[0]?.secure).toBe(false);
});

test("required: TLS with a certificate of the host's", async () => {
	const server = await npmServer(tls);
	const sender = client(server.port, { tls: "required", tlsOptions: { ca: tls.cert } });
	expect((await sender.send(smtpMail())).map(({ status }) => status)).toEqual(["K"]);
	expect((await sender.send(smtpMail())).map(({ status }) => status)).toEqual(["K"]);
	expect(server.messages.map(({ secure }) => secure)).toEqual([true, true]);
	await sender.close();
});

test("required: nothing is sent if the certificate is unknown or another host's, or TLS is not offered", async () => {
	const another = await certificate("another.test");
	for (const [server, tlsOptions] of [
		[await npmServer(tls), {}],
		[await npmServer(another), { ca: another.cert }],
		[await npmServer(), {}],
	] as const) {
		const [summary = ""] = summaries(
			await client(server.port, { tls: "required", tlsOptions }).send(smtpMail()),
		);
		expect(summary).toMatch(/^Zno (TLS|SMTP session) with mx\.test: .* \(#4\.4\.1\) \| ERR_QMTP_CONNECT$/);
		expect(server.messages).toEqual([]);
	}
});

test("required without verification, if that is what the options say", async () => {
	const server = await npmServer(tls);
	const sender = client(server.port, { tls: "required", tlsOptions: { rejectUnauthorized: false } });
	expect((await sender.send(smtpMail())).map(({ status }) => status)).toEqual(["K"]);
	expect(server.messages[0]?.secure).toBe(true);
});

test("5 MB of random bytes and single refusals, by TLS", async () => {
	const server = await npmServer(tls);
	const body = randomBytes(5_000_000)
		.toString("latin1")
		.replace(/[\r\n]/g, ".");
	const results = await client(server.port).send(smtpMail({ body, recipients: ["a@x", "no-one@x"] }));
	expect(results.map(({ status }) => status)).toEqual(["K", "D"]);
	expect(server.messages[0]?.data === `${body}\r\n`).toBe(true);
	expect(server.messages[0]?.rcpt).toEqual(["a@x"]);
});

const OFFER = "250-test\r\n250 STARTTLS";

test("opportunistic: a handshake that fails is followed by plain text on a new connection", async () => {
	for (const rubbish of ["this is no TLS\r\n", ""]) {
		const server = await SmtpTestServer.start(
			{
				EHLO: OFFER,
				STARTTLS: (peer) => {
					peer.socket.once("data", () => peer.socket.end(rubbish));
					return "220 go on";
				},
			},
			{ EHLO: OFFER },
		);
		expect(summaries(await server.client().send(smtpMail()))).toEqual(["K250 2.0.0 queued"]);
		expect(server.peers[1]?.commands).not.toContain("STARTTLS");
		expect(server.peers).toHaveLength(2);
	}
});

test("opportunistic: a handshake that hangs is given up in time, and followed by plain text", async () => {
	const server = await SmtpTestServer.start({ EHLO: OFFER, STARTTLS: "220 go on" }, { EHLO: OFFER });
	const sender = server.client({ timeouts: { response: 400 } });
	expect(summaries(await sender.send(smtpMail()))).toEqual(["K250 2.0.0 queued"]);
});

test("opportunistic: STARTTLS that is refused is done without, with what the server offered before", async () => {
	const server = await SmtpTestServer.start({
		EHLO: `${OFFER.replace(" STARTTLS", "-STARTTLS")}\r\n250 8BITMIME`,
		STARTTLS: "454 not now",
	});
	expect(summaries(await server.client().send(smtpMail()))).toEqual(["K250 2.0.0 queued"]);
	expect(server.messages[0]?.mail).toBe("MAIL FROM:<sender@example.com> BODY=8BITMIME");
	expect(server.peers).toHaveLength(1);
});

test("opportunistic: a connection that is closed at STARTTLS's own reply is no failure of TLS", async () => {
	const server = await SmtpTestServer.start({
		EHLO: OFFER,
		STARTTLS: (peer) => {
			peer.socket.destroy();
			return null;
		},
	});
	expect(summaries(await server.client().send(smtpMail()))[0]).toMatch(/^Z.*ERR_QMTP_CONNECTION_CLOSED$/);
});

test("what a server says in plain text behind its leave for TLS is not taken for what it says inside", async () => {
	const server = await SmtpTestServer.start(
		{ EHLO: OFFER, STARTTLS: "220 go on\r\n250-evil\r\n250 SMTPUTF8" },
		{ EHLO: "250 test" },
	);
	const sender = server.client({ timeouts: { response: 400 } });
	expect(summaries(await sender.send(smtpMail()))).toEqual(["K250 2.0.0 queued"]);
});

test("a call is given up in the handshake", async () => {
	const stop = new AbortController();
	const server = await SmtpTestServer.start({ EHLO: OFFER, STARTTLS: "220 go on" });
	const call = server.client().send(smtpMail(), { signal: stop.signal });
	await (await server.peer()).said("STARTTLS");
	stop.abort(new Error("too slow"));
	await expect(call).rejects.toThrow("too slow");
	await (await server.peer()).gone();
	expect(server.peers).toHaveLength(1);
});
