/** What callers must not do, and what is missing. */
import { expect, test, vi } from "vitest";
import { SmtpClient } from "../../src/smtp/client.js";
import type { SmtpClientOptions } from "../../src/smtp/options.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { smtpMail } from "../support/smtp-peer.js";

noUnhandledRejections();

test("options that make no sense are refused", () => {
	const bad: readonly Record<string, unknown>[] = [
		{ host: undefined },
		{ host: "" },
		{ host: "a b" },
		{ port: 0 },
		{ port: 65536 },
		{ port: "25" },
		{ address: "" },
		{ name: "client\r\nRSET" },
		{ tls: "yes" },
		{ tls: true },
		{ tlsOptions: "strict" },
		{ maxMessages: 0 },
		{ timeouts: { response: 0 } },
		{ timeouts: { greeting: 1 } },
		{ secure: true },
	];
	for (const options of bad) {
		expect(
			() => new SmtpClient({ host: "mx.example", ...options } as unknown as SmtpClientOptions),
			JSON.stringify(options),
		).toThrow(expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }));
	}
});

test("mail that makes no sense is refused, before anything is connected", async () => {
	const client = new SmtpClient({ host: "no-such-host.invalid" });
	const bad: readonly (readonly [string, Record<string, unknown>])[] = [
		["ERR_QMTP_RECIPIENTS", { recipients: [] }],
		["ERR_QMTP_RECIPIENTS", { recipients: "a@x" }],
		["ERR_QMTP_ADDRESS", { recipients: [1] }],
		["ERR_QMTP_ADDRESS", { sender: undefined }],
		["ERR_QMTP_ADDRESS", { sender: "\ud800@x" }],
		["ERR_QMTP_ADDRESS", { sender: "\u0100@x", addressEncoding: "latin1" }],
		["ERR_QMTP_OPTION", { addressEncoding: "ascii" }],
		["ERR_QMTP_MESSAGE", { encoding: "cr" }],
	];
	for (const [code, options] of bad) {
		await expect(client.send(smtpMail(options)), JSON.stringify(options)).rejects.toMatchObject({ code });
	}
	const body = "text" as never;
	await expect(client.send({ ...smtpMail(), body })).rejects.toMatchObject({ code: "ERR_QMTP_MESSAGE" });
});

test("without nodemailer the error says what to install", async () => {
	vi.doMock("nodemailer/lib/smtp-connection", () => {
		throw new Error("Cannot find package");
	});
	vi.resetModules();
	try {
		const { SmtpClient: Client } = await import("../../src/smtp/client.js");
		await expect(new Client({ host: "127.0.0.1" }).send(smtpMail())).rejects.toMatchObject({
			name: "UsageError",
			code: "ERR_QMTP_PACKAGE",
			message: expect.stringContaining("npm install nodemailer"),
			cause: expect.any(Error),
		});
	} finally {
		vi.doUnmock("nodemailer/lib/smtp-connection");
		vi.resetModules();
	}
});
