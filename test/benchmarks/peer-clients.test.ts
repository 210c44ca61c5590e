/** The clients and servers of others that the benchmark `peers` runs: that they take and send what they are told to. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { describe, expect, onTestFinished, test } from "vitest";
import { messageBody, repeated, smallPackage } from "../../benchmarks/fixtures/packages.js";
import { sendPrebuilt } from "../../benchmarks/loopback/clients.js";
import { Mailfront } from "../../benchmarks/peers/mailfront.js";
import { type SmtpLoad, sendByNodemailer, sendBySource } from "../../benchmarks/peers/smtp-clients.js";
import { describeWithPrograms } from "../support/peers.js";

describe("nodemailer", () => smtpSuite(sendByNodemailer));

describeWithPrograms("smtp-source", { "smtp-source": "postfix" }, () => smtpSuite(sendBySource));

describeWithPrograms("mailfront", { tcpserver: "ucspi-tcp", "qmtpfront-echo": "mailfront" }, () => {
	test("answers every package with a K, and ends when it is told to", async () => {
		const folder = mkdtempSync(join(tmpdir(), "qmtp-peers-"));
		onTestFinished(() => rmSync(folder, { recursive: true }));
		const mailfront = await Mailfront.start(folder);
		const chunk = repeated(smallPackage(1024), 50);
		expect(await sendPrebuilt(mailfront.port, [chunk], 4)).toBe(200);
		await mailfront.stop();
		await expect(sendPrebuilt(mailfront.port, [chunk], 1)).rejects.toThrow("ECONNREFUSED");
	});
});

function smtpSuite(send: (load: SmtpLoad) => Promise<void>): void {
	const body = messageBody(1024);

	test("sends as many messages as it is told to, over as many connections", async () => {
		const server = await smtpServer();
		await send({ port: server.port, messages: 40, sessions: 4, body });
		expect(server.sizes).toHaveLength(40);
		expect(server.sizes.every((size) => size >= body.length)).toBe(true);
		expect(server.connections()).toBe(4);
	});

	test("rejects when a message is refused", async () => {
		const server = await smtpServer({ refuse: true });
		await expect(send({ port: server.port, messages: 1, sessions: 1, body })).rejects.toThrow();
	});
}

async function smtpServer({ refuse = false } = {}): Promise<{
	readonly port: number;
	readonly sizes: readonly number[];
	connections(): number;
}> {
	const sizes: number[] = [];
	let connections = 0;
	const server = new SMTPServer({
		disabledCommands: ["AUTH", "STARTTLS"],
		disableReverseLookup: true,
		onConnect(_session, callback) {
			connections++;
			callback();
		},
		onData(stream, _session, callback) {
			let size = 0;
			stream.on("data", (chunk: Buffer) => {
				size += chunk.length;
			});
			stream.on("end", () => {
				sizes.push(size);
				callback(refuse ? new Error("refused") : null);
			});
		},
	});
	server.on("error", () => {}); // a client that leaves
	server.listen(0, "127.0.0.1");
	await once(server.server, "listening");
	onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
	return { port: (server.server.address() as AddressInfo).port, sizes, connections: () => connections };
}
