/** Real clients of an SMTP door: nodemailer, TLS, logins, LMTP, and a QMTP client at the next door of the same queue. */
import { connect as connectTls } from "node:tls";
import nodemailer from "nodemailer";
import { describe, expect, onTestFinished, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { createSmtpServer } from "../../src/gateway/smtp.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import { memoryQueue } from "../../src/queue/memory.js";
import { recipientDomains } from "../../src/server/hooks.js";
import { QmtpServer } from "../../src/server/server.js";
import { textOf } from "../support/bytes.js";
import { openDoor, type SmtpDialogue } from "../support/gateway-smtp.js";
import { certificate } from "../support/smtp-tls.js";

const own = await certificate("localhost");

/** Goes over to TLS on a dialogue's connection. */
async function secure(dialogue: SmtpDialogue): Promise<void> {
	const socket = connectTls({ socket: dialogue.socket, ca: own.cert, servername: "localhost" });
	dialogue.socket.removeAllListeners("data");
	await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
	dialogue.switchTo(socket);
}

describe("TLS", () => {
	test("STARTTLS works with a certificate of the user's, and Received says ESMTPS", async () => {
		const { greeted, queue } = await openDoor({ ...own, received: true });
		const dialogue = await greeted();
		expect(dialogue.replies[1]).toContain("STARTTLS");
		expect(await dialogue.ask("STARTTLS")).toMatch(/^220 /);
		await secure(dialogue);
		expect(await dialogue.ask("MAIL FROM:<>")).toMatch(/^503 /);
		expect(await dialogue.ask("EHLO me")).not.toContain("STARTTLS");
		expect(await dialogue.message()).toBe("250 ok");
		expect(queue.commits[0]?.text).toMatch(/ with ESMTPS; /);
	});

	test("a handshake that fails ends nothing but its connection", async () => {
		const { greeted, faults } = await openDoor(own);
		const dialogue = await greeted();
		await dialogue.ask("STARTTLS");
		dialogue.send("this is no TLS\r\n".repeat(10));
		await dialogue.end();
		expect(await (await greeted()).message()).toBe("250 ok");
		expect(faults).toEqual([]);
	});

	test("an envelope from before STARTTLS is forgotten", async () => {
		const { greeted } = await openDoor(own);
		const dialogue = await greeted();
		await dialogue.askAll(["MAIL FROM:<>", "RCPT TO:<a@example.com>", "STARTTLS"]);
		await secure(dialogue);
		expect(await dialogue.askAll(["EHLO me", "DATA"])).toEqual([
			expect.stringMatching(/^250-/),
			expect.stringMatching(/^503 /),
		]);
	});
});

describe("a login", () => {
	const onAuth = (
		auth: { username?: string | undefined },
		_: unknown,
		callback: (error: null, answer: object) => void,
	) => callback(null, auth.username === "joe" ? { user: "joe" } : {});
	const plain = (user: string) => `AUTH PLAIN ${Buffer.from(`\0${user}\0secret`).toString("base64")}`;

	test("is asked for where the user says how, and gives no right to relay", async () => {
		const { greeted } = await openDoor({ onAuth, allowInsecureAuth: true, hooks: {} });
		const dialogue = await greeted();
		expect(await dialogue.ask("MAIL FROM:<>")).toMatch(/^530 /);
		expect(await dialogue.ask(plain("eve"))).toMatch(/^535 /);
		expect(await dialogue.ask(plain("joe"))).toMatch(/^235 /);
		expect(await dialogue.ask("MAIL FROM:<>")).toMatch(/^250 /);
		expect(await dialogue.ask("RCPT TO:<a@example.com>")).toMatch(/^553 /);
	});

	test("can be optional", async () => {
		const { greeted } = await openDoor({ onAuth, authOptional: true });
		expect(await (await greeted()).message()).toBe("250 ok");
	});
});

describe("LMTP", () => {
	test("each recipient that was taken gets its own answer, equal addresses too", async () => {
		const responses = [
			accepted("ok"),
			deferred("later (#4.2.1)"),
			rejected("never (#5.1.1)"),
			accepted("ok 2"),
		];
		const { client, queue } = await openDoor({ lmtp: true, plan: { commit: async () => responses } });
		const dialogue = await client();
		await dialogue.ask("LHLO me");
		const replies = [await dialogue.message("hello\r\n", ["a@x.org", "b@x.org", "c@x.org", "a@x.org"])];
		for (let more = 0; more < 3; more++) replies.push(await dialogue.reply());
		expect(replies).toEqual(["250 ok", "451 later (#4.2.1)", "554 never (#5.1.1)", "250 ok 2"]);
		expect(queue.commits[0]?.envelope?.recipients).toHaveLength(4);
		expect(await dialogue.ask("NOOP")).toMatch(/^250/);
	});

	test("a message that is too large is refused for each", async () => {
		const { client } = await openDoor({ lmtp: true, limits: { messageBytes: 3 } });
		const dialogue = await client();
		await dialogue.ask("LHLO me");
		const recipients = ["a@x.org", "A@x.org"];
		expect([await dialogue.message("hello\r\n", recipients), await dialogue.reply()]).toEqual(
			Array(2).fill("552 sorry, that message size exceeds my databytes limit (#5.3.4)"),
		);
	});
});

describe("nodemailer", () => {
	test("sends a message with dots, UTF-8 and an attachment, over TLS", async () => {
		const { port, queue } = await openDoor(own);
		const transport = nodemailer.createTransport({
			host: "127.0.0.1",
			port,
			requireTLS: true,
			tls: { ca: own.cert, servername: "localhost" },
		});
		onTestFinished(() => transport.close());
		const text = ".\n..\nGrüße\n.\n";
		const info = await transport.sendMail({
			from: "sender@example.org",
			to: ["a@example.com", "b@example.com"],
			subject: "dots",
			text,
			attachments: [{ filename: "x.bin", content: Buffer.alloc(300_000, 7) }],
		});
		expect(info.accepted).toEqual(["a@example.com", "b@example.com"]);
		expect(info.response).toBe("250 ok");
		const [delivery] = queue.commits;
		expect(delivery?.envelope).toEqual({
			sender: "sender@example.org",
			recipients: ["a@example.com", "b@example.com"],
		});
		expect(delivery?.text).toContain("Subject: dots\n");
		expect(delivery?.text).not.toContain("\r");
		expect(delivery?.text).toContain("\n.\n..\n");
	});

	test("is told which recipients were refused", async () => {
		const { port, queue } = await openDoor({ hooks: { recipient: recipientDomains(["example.com"]) } });
		const transport = nodemailer.createTransport({ host: "127.0.0.1", port });
		onTestFinished(() => transport.close());
		const envelope = { from: "", to: ["a@example.com", "b@example.org"] };
		const info = await transport.sendMail({ envelope, raw: "Subject: x\r\n\r\nhello\r\n" });
		expect([info.accepted, info.rejected]).toEqual([["a@example.com"], ["b@example.org"]]);
		expect(queue.commits[0]?.envelope?.recipients).toEqual(["a@example.com"]);
	});

	test("many at once, each with its message", async () => {
		const { port, queue } = await openDoor();
		const transport = nodemailer.createTransport({ host: "127.0.0.1", port, pool: true, maxConnections: 10 });
		onTestFinished(() => transport.close());
		const bodies = Array.from({ length: 100 }, (_, index) => `${index}\n`);
		await Promise.all(
			bodies.map((raw, index) =>
				transport.sendMail({ envelope: { from: "", to: [`${index}@example.com`] }, raw }),
			),
		);
		const taken = queue.commits.map(({ text, envelope }) => [envelope?.recipients[0], text]);
		expect(taken.sort()).toEqual(bodies.map((body, index) => [`${index}@example.com`, body]).sort());
	});
});

test("two doors into one queue: what comes by QMTP and by SMTP lies in one row, alike", async () => {
	const queue = memoryQueue();
	const options = {
		queue,
		hooks: { recipient: recipientDomains(["example.com"]) },
		hostname: "mx.example.com",
	};
	await using qmtp = new QmtpServer(options);
	await using smtp = createSmtpServer(options);
	const { port } = await qmtp.listen({ port: 0, host: "127.0.0.1" });
	await new Promise<void>((resolve) => smtp.listen(0, "127.0.0.1", resolve));
	const mail = { sender: "s@example.org", recipients: ["a@example.com", "b@example.org"] };
	await using client = new QmtpClient({ host: "127.0.0.1", port });
	const sent = await client.send({ ...mail, message: "hello\n" });
	const transport = nodemailer.createTransport({
		host: "127.0.0.1",
		port: (smtp.server.address() as { port: number }).port,
	});
	const info = await transport.sendMail({
		envelope: { from: mail.sender, to: [...mail.recipients] },
		raw: "hello\r\n",
	});
	expect(sent.responses.map(({ status }) => status).join("")).toBe("KD");
	expect(info.rejected).toEqual(["b@example.org"]);
	expect(info.response).toMatch(/^250 ok \d+ qp \d+$/);
	const bodies = queue.messages.map(({ body }) =>
		textOf(body).replace(/\d+ \w{3} \d{4} [\d:]+ -0000/, "DATE"),
	);
	expect(bodies[0]).toBe("Received: from unknown (127.0.0.1)\n  by mx.example.com with QMTP; DATE\nhello\n");
	expect(bodies[1]).toMatch(
		/^Received: from unknown \(HELO \S+\) \(127\.0\.0\.1\)\n {2}by mx\.example\.com with ESMTP; DATE\nhello\n$/,
	);
	expect(queue.messages.map(({ envelope }) => envelope)).toEqual(
		Array(2).fill({ sender: mail.sender, recipients: ["a@example.com"] }),
	);
	expect(new Set(queue.messages.map(({ id }) => id)).size).toBe(2);
});
