import { createHash, createVerify, generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Readable, Transform } from "node:stream";
import { createTransport, type Mail } from "nodemailer";
import { describe, expect, onTestFinished, test } from "vitest";
import { TransportError } from "../../src/errors.js";
import {
	type QmtpMail,
	type QmtpMailError,
	type QmtpSentMessageInfo,
	type QmtpTransportOptions,
	qmtpTransport,
} from "../../src/gateway/nodemailer.js";
import { deferred, rejected } from "../../src/protocol/response.js";
import { type MemoryQueue, memoryQueue } from "../../src/queue/memory.js";
import { QmtpServer } from "../../src/server/server.js";

interface Setup {
	readonly mailer: Mail<QmtpSentMessageInfo>;
	readonly queue: MemoryQueue;
	/** The last message that the server took, one character a byte. */
	body(): string;
}

/** A server that defers later@ and rejects never@, and takes all else; and a mailer for it. */
async function setup(options: QmtpTransportOptions = {}, defaults = {}): Promise<Setup> {
	const queue = memoryQueue();
	const server = new QmtpServer({
		queue,
		received: false,
		hooks: {
			recipient: (address) => {
				if (address.startsWith("later")) return deferred("mailbox is full (#4.2.2)");
				if (address.startsWith("never")) return rejected("no mailbox here by that name (#5.1.1)");
				return undefined;
			},
		},
	});
	const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
	const mailer = createTransport(qmtpTransport({ port, ...options }), defaults);
	onTestFinished(async () => {
		mailer.close({ force: true });
		await server.close();
	});
	const body = () => Buffer.from(queue.messages.at(-1)?.body ?? []).toString("latin1");
	return { mailer, queue, body };
}

/** What `sendMail` fails with. */
function failure(sending: Promise<unknown>): Promise<QmtpMailError> {
	return sending.then(
		() => Promise.reject(new Error("it was sent")),
		(error) => error,
	);
}

const MAIL = { from: "Me <me@example.org>", to: "you@example.com", subject: "Hello", text: "Hello!\n" };

describe("the mail", () => {
	test("text, HTML and attachments arrive as parts, with LF line ends", async () => {
		const { mailer, body } = await setup();
		await mailer.sendMail({
			...MAIL,
			html: "<p>Hello!</p>",
			attachments: [{ filename: "a.txt", content: "in the attachment" }],
		});
		expect(body()).toContain("Content-Type: multipart/mixed");
		expect(body()).toContain("<p>Hello!</p>");
		expect(body()).toContain("Content-Disposition: attachment; filename=a.txt");
		expect(body()).toContain(Buffer.from("in the attachment").toString("base64"));
		expect(body()).not.toContain("\r");
	});

	test("a raw message arrives byte by byte, whichever line ends it has", async () => {
		const { mailer, body } = await setup();
		const lines = ["From: me@example.org", "Subject: raw", "", ".", "\xe4 and \0", "end", ""];
		for (const lineEnd of ["\r\n", "\n"]) {
			const raw = Buffer.from(lines.join(lineEnd), "latin1");
			await mailer.sendMail({ envelope: { from: "me@example.org", to: ["you@example.com"] }, raw });
			expect(body()).toBe(lines.join("\n"));
		}
	});

	test("an attachment of 5 MB that comes as a stream arrives whole", async () => {
		const { mailer, body } = await setup();
		const content = randomBytes(5_000_000);
		const chunks = Array.from({ length: 50 }, (_, index) =>
			content.subarray(index * 100_000, index * 100_000 + 100_000),
		);
		await mailer.sendMail({ ...MAIL, attachments: [{ filename: "b", content: Readable.from(chunks) }] });
		const base64 = /\nContent-Disposition: attachment; filename=b\n\n([A-Za-z0-9+/=\n]+)\n/.exec(body())?.[1];
		expect(sha256(Buffer.from(base64 ?? "", "base64"))).toBe(sha256(content));
	});

	test("a DKIM signature still holds when the lines end with CR LF again", async () => {
		const { mailer, body } = await setup();
		const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
		const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
		await mailer.sendMail({
			...MAIL,
			text: "two  spaces \n\nand a line\n\n\n",
			dkim: { domainName: "example.org", keySelector: "k", privateKey: key },
		});
		const { fields, text } = parse(body().replaceAll("\n", "\r\n"));
		const signature = fields.find(({ name }) => name === "dkim-signature");
		const tags = new Map(
			signature?.value.split(";").map((tag) => {
				const [name = "", ...value] = tag.split("=");
				return [name.trim(), value.join("=").replace(/\s/g, "")];
			}),
		);
		expect(tags.get("c")).toBe("relaxed/relaxed");
		const relaxedBody = text
			.replace(/[ \t]+/g, " ")
			.replaceAll(" \r\n", "\r\n")
			.replace(/(\r\n)*$/, "\r\n");
		expect(tags.get("bh")).toBe(createHash("sha256").update(relaxedBody, "latin1").digest("base64"));
		const signed = (tags.get("h") ?? "")
			.toLowerCase()
			.split(":")
			.map((name) => {
				return relaxed(fields.find((field) => field.name === name));
			});
		const last = relaxed(signature).replace(/b=[^;]*$/, "b=");
		const verifier = createVerify("RSA-SHA256").update([...signed.filter(Boolean), last].join("\r\n"));
		expect(verifier.verify(publicKey, tags.get("b") ?? "", "base64")).toBe(true);
	});

	test("plugins for compile and stream work on it", async () => {
		const { mailer, body } = await setup();
		mailer.use("compile", (mail, done) => {
			mail.data.text = `${mail.data.text} and goodbye`;
			done();
		});
		mailer.use("stream", (mail, done) => {
			mail.message.transform(
				() =>
					new Transform({
						transform: (chunk, _, next) =>
							next(null, chunk.toString("latin1").replace("goodbye", "farewell")),
					}),
			);
			done();
		});
		await mailer.sendMail({ ...MAIL, text: "Hello" });
		expect(body()).toContain("\n\nHello and farewell\n");
	});
});

describe("the envelope", () => {
	test("To, Cc and Bcc are its recipients, each once, and Bcc does not stand in the message", async () => {
		const { mailer, queue, body } = await setup();
		const info = await mailer.sendMail({
			...MAIL,
			to: ["You <you@example.com>", { name: "B", address: "b@example.com" }],
			cc: "c@example.com, you@example.com",
			bcc: "hidden@example.com",
		});
		const to = ["you@example.com", "b@example.com", "c@example.com", "hidden@example.com"];
		expect(queue.messages[0]?.envelope).toEqual({ sender: "me@example.org", recipients: to });
		expect(info.envelope).toEqual({ from: "me@example.org", to });
		expect(info.accepted).toEqual(to);
		expect(body()).toContain("\nCc: c@example.com, you@example.com\n");
		expect(body()).not.toContain("hidden");
	});

	test("one that is given is taken instead of the fields, without names", async () => {
		const { mailer, queue } = await setup();
		const envelope = {
			from: "Bounces <bounces@example.org>",
			to: "One <one@example.com>",
			cc: ["two@example.com"],
		};
		await mailer.sendMail({ ...MAIL, envelope });
		expect(queue.messages[0]?.envelope).toEqual({
			sender: "bounces@example.org",
			recipients: ["one@example.com", "two@example.com"],
		});
	});

	test.each([false, "", undefined] as const)("the sender %j is the empty one", async (from) => {
		const { mailer, queue } = await setup();
		const info = await mailer.sendMail({ ...MAIL, envelope: { from, to: "you@example.com" } });
		expect(queue.messages[0]?.sender).toBe("");
		expect(info.envelope.from).toBe("");
	});

	test("addresses beyond ASCII arrive as UTF-8, or with their domain in ASCII if that is all there is", async () => {
		const { mailer, queue } = await setup();
		await mailer.sendMail({
			...MAIL,
			from: "jürgen@bücher.example",
			to: ["anna@bücher.example", "井@例.example"],
		});
		expect(queue.messages[0]?.envelope).toEqual({
			sender: "jürgen@bücher.example",
			recipients: ["anna@xn--bcher-kva.example", "井@例.example"],
		});
	});

	test("a mail for nobody is not sent", async () => {
		const { mailer, queue } = await setup();
		const error = await failure(mailer.sendMail({ from: "me@example.org", text: "?" }));
		expect(error).toMatchObject({ code: "EENVELOPE", message: "No recipients defined", command: "QMTP" });
		expect(queue.messages).toEqual([]);
	});

	test("an address that cannot be encoded is not sent", async () => {
		const { mailer } = await setup({ addressEncoding: "latin1" });
		const error = await failure(mailer.sendMail({ ...MAIL, to: "井@example.com" }));
		expect(error).toMatchObject({ code: "EENVELOPE", cause: { code: "ERR_QMTP_ADDRESS" } });
	});
});

describe("what sendMail tells", () => {
	test("accepted are those with a K, rejected all others, and pending those of them with a Z", async () => {
		const { mailer } = await setup();
		const to = ["later@example.com", "you@example.com", "never@example.com", "they@example.com"];
		const info = await mailer.sendMail({ ...MAIL, to, messageId: "<1@example.org>" });
		expect(info).toMatchObject({
			messageId: "<1@example.org>",
			accepted: ["you@example.com", "they@example.com"],
			rejected: ["later@example.com", "never@example.com"],
			pending: ["later@example.com"],
			response: expect.stringMatching(/^250 ok \d+ qp \d+$/),
			responses: to.map((recipient, index) => ({ recipient, status: "ZKDK"[index] })),
		});
		expect(info.rejectedErrors).toMatchObject([
			{
				code: "EENVELOPE",
				recipient: "later@example.com",
				message: "Recipient was deferred: 451 mailbox is full (#4.2.2)",
				response: "451 mailbox is full (#4.2.2)",
				responseCode: 451,
				permanent: false,
			},
			{
				code: "EENVELOPE",
				recipient: "never@example.com",
				response: "554 no mailbox here by that name (#5.1.1)",
				responseCode: 554,
				permanent: true,
			},
		]);
	});

	test("the response is that of the first K, as a reply of SMTP", async () => {
		const { mailer } = await setup();
		const info = await mailer.sendMail(MAIL);
		expect(info.response).toBe(`250 ${info.responses[0]?.description}`);
		expect(info).toMatchObject({ rejected: [], pending: [], rejectedErrors: [] });
	});

	test("a mail that all recipients reject fails for good", async () => {
		const { mailer } = await setup();
		const to = ["never1@example.com", "never2@example.com"];
		const error = await failure(mailer.sendMail({ ...MAIL, to }));
		expect(error).toMatchObject({
			name: "QmtpMailError",
			code: "EENVELOPE",
			command: "QMTP",
			response: "554 no mailbox here by that name (#5.1.1)",
			responseCode: 554,
			permanent: true,
			rejected: to,
			pending: [],
			rejectedErrors: to.map((recipient) => ({ recipient, responseCode: 554 })),
			possiblyAccepted: false,
		});
		expect(error.message).toContain("all recipients were rejected: 554 no mailbox");
	});

	test("a mail that somebody deferred and nobody accepted fails for now", async () => {
		const { mailer } = await setup();
		const to = ["never@example.com", "later@example.com"];
		const error = await failure(mailer.sendMail({ ...MAIL, to }));
		expect(error).toMatchObject({
			code: "EENVELOPE",
			responseCode: 451,
			permanent: false,
			rejected: to,
			pending: ["later@example.com"],
		});
	});

	test("a callback gets what the promise gets", async () => {
		const { mailer } = await setup();
		const info = await new Promise<QmtpSentMessageInfo>((resolve, reject) => {
			mailer.sendMail(MAIL, (error, sent) => (error === null ? resolve(sent) : reject(error)));
		});
		expect(info.accepted).toEqual(["you@example.com"]);
		const error = await new Promise((resolve) => {
			mailer.sendMail({ ...MAIL, to: "never@example.com" }, (refused) => resolve(refused));
		});
		expect(error).toMatchObject({ code: "EENVELOPE", responseCode: 554 });
	});

	test("a message that cannot be read fails with the reason, and nothing of it is sent", async () => {
		const { mailer, queue } = await setup();
		const missing = { ...MAIL, attachments: [{ path: "/nowhere/at/all" }] };
		expect(await failure(mailer.sendMail(missing))).toMatchObject({
			code: "ESTREAM",
			originalCode: "ENOENT",
		});
		expect(await failure(mailer.sendMail({ ...missing, disableFileAccess: true }))).toMatchObject({
			code: "ESTREAM",
			originalCode: "EFILEACCESS",
		});
		await mailer.sendMail(MAIL);
		expect(queue.messages).toHaveLength(1);
	});
});

describe("the transport", () => {
	test("it has what nodemailer asks of a transport", async () => {
		const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
		const transport = qmtpTransport();
		expect(transport).toMatchObject({ name: "QMTP", version, supportsAbortSignal: true });
		for (const name of ["send", "verify", "close", "isIdle", "on"] as const) {
			expect(transport[name], name).toBeTypeOf("function");
		}
		expect(createTransport(transport).getVersionString()).toContain(`QMTP/${version}`);
	});

	test("defaults of the mailer apply", async () => {
		const { mailer, queue } = await setup({}, { from: "default@example.org" });
		await mailer.sendMail({ to: "you@example.com", text: "" });
		expect(queue.messages[0]?.sender).toBe("default@example.org");
	});

	test.each([
		[{ hots: "example.com" }, "there is no option hots"],
		[{ rateLimit: 5 }, "there is no option rateLimit"],
		[{ port: 0 }, "port must be a number from 1 to 65535, not 0"],
		[{ maxConnections: 2 }, "maxConnections is for a pool: set pool to true"],
		[{ pool: true, maxConnections: 0 }, "maxConnections must be a whole number from 1 on, not 0"],
		[{ maxMessages: 1.5 }, "maxMessages must be a whole number from 1 on, not 1.5"],
		[{ router: {} }, "router must have a deliver()"],
		[{ router: { deliver: () => {} }, host: "example.com" }, "there is no option host"],
	])("the options %j make no sense", (options, message) => {
		const error = expect.objectContaining({ code: "ERR_QMTP_OPTION", message });
		expect(() => qmtpTransport(options as QmtpTransportOptions)).toThrow(error);
	});

	test("a logger is told of each mail", async () => {
		const lines: unknown[] = [];
		const log = (level: string) => (data: object, message: string) => lines.push([level, data, message]);
		const { mailer } = await setup({ logger: { info: log("info"), error: log("error") } });
		const { response } = await mailer.sendMail({ ...MAIL, messageId: "<1@example.org>" });
		const data = { tnx: "send", messageId: "<1@example.org>" };
		expect(lines).toEqual([
			["info", data, "Sending message <1@example.org>"],
			["info", data, `Sent message: ${response}`],
		]);
		const err = await failure(mailer.sendMail({ ...MAIL, to: "never@example.com" }));
		expect(lines.at(-1)).toEqual(["error", { tnx: "send", err }, `Send error: ${err.message}`]);
	});

	test("a router gets the mail, and its responses are what counts", async () => {
		const mails: QmtpMail[] = [];
		let text = "";
		const router = {
			async deliver(mail: QmtpMail) {
				mails.push(mail);
				for await (const chunk of mail.message) text += Buffer.from(chunk).toString("latin1");
				const host = "mx.example.com";
				return {
					responses: [
						{ recipient: "you@example.com", status: "K" as const, description: "ok", protocol: "smtp", host },
						{ recipient: "b@example.com", status: "Z" as const, description: "busy\r\n250 ok" },
					],
				};
			},
		};
		const mailer = createTransport(qmtpTransport({ router }));
		const info = await mailer.sendMail({ ...MAIL, to: ["you@example.com", "b@example.com"] });
		expect(mails).toMatchObject([
			{ sender: "me@example.org", recipients: ["you@example.com", "b@example.com"], encoding: "crlf" },
		]);
		expect(text).toMatch(/\r\n\r\nHello!\n$/);
		expect(info).toMatchObject({
			accepted: ["you@example.com"],
			pending: ["b@example.com"],
			response: "250 ok",
		});
		expect(info.rejectedErrors[0]?.response).toBe("451 busy 250 ok");
		expect(info.responses[0]).toMatchObject({ protocol: "smtp", host: "mx.example.com" });
		expect(await mailer.verify()).toBe(true);
	});

	test("a router's D is permanent also if no server gave it", async () => {
		const error = new TransportError("ERR_QMTP_DNS_NAME", "there is no such domain");
		const result = {
			recipient: "you@example.com",
			status: "D" as const,
			description: "no host (#5.1.2)",
			error,
		};
		const router = { deliver: async () => ({ responses: [result] }) };
		const mailer = createTransport(qmtpTransport({ router }));
		expect(await failure(mailer.sendMail(MAIL))).toMatchObject({
			code: "EENVELOPE",
			responseCode: 554,
			permanent: true,
			pending: [],
			cause: error,
		});
	});

	test("a router that throws fails the mail", async () => {
		const broken = new Error("out of order");
		const mailer = createTransport(qmtpTransport({ router: { deliver: () => Promise.reject(broken) } }));
		const error = await failure(mailer.sendMail(MAIL));
		expect(error).toMatchObject({ code: "EMESSAGE", message: "out of order", cause: broken });
	});
});

interface Field {
	readonly name: string;
	readonly value: string;
}

function parse(message: string): { fields: Field[]; text: string } {
	const end = message.indexOf("\r\n\r\n");
	const fields = message
		.slice(0, end)
		.replace(/\r\n(?=[ \t])/g, "\0")
		.split("\r\n");
	return {
		fields: fields.map((field) => {
			const colon = field.indexOf(":");
			return {
				name: field.slice(0, colon).toLowerCase(),
				value: field.slice(colon + 1).replaceAll("\0", ""),
			};
		}),
		text: message.slice(end + 4),
	};
}

function relaxed(field: Field | undefined): string {
	return field === undefined ? "" : `${field.name}:${field.value.replace(/[ \t]+/g, " ").trim()}`;
}

function sha256(bytes: Uint8Array): string {
	return createHash("sha256").update(bytes).digest("hex");
}
