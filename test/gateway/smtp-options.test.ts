/** The options of an SMTP door, and the parts that need no connection. */
import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { envelopeAddress } from "../../src/gateway/smtp/address.js";
import { messageReply, replyOf } from "../../src/gateway/smtp/reply.js";
import { createSmtpServer, type SmtpServerOptions } from "../../src/gateway/smtp.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import { memoryQueue } from "../../src/queue/memory.js";

const queue = memoryQueue();

/** The code of the error that options make. */
function refused(options: object): unknown {
	try {
		createSmtpServer({ queue, ...options } as SmtpServerOptions);
	} catch (error) {
		expect(error).toBeInstanceOf(UsageError);
		return (error as UsageError).code;
	}
	return undefined;
}

describe("options", () => {
	test.each([
		["no queue", { queue: undefined }],
		["a queue that is none", { queue: {} }],
		["a limit that does not exist", { limits: { bytes: 1 } }],
		["a limit of nothing", { limits: { recipients: 0 } }],
		["a time that does not exist", { timeouts: { session: 1 } }],
		["a size in smtp-server's words", { size: 1000 }],
		["maxClients", { maxClients: 1 }],
		["a handler of smtp-server's", { onData: () => {} }],
		["TLS without a certificate", { secure: true }],
	])("%s is a UsageError", (_, options) => {
		expect(refused(options)).toBe("ERR_QMTP_OPTION");
	});

	test.each([
		["nothing but a queue", {}],
		["an option of smtp-server's that is undefined", { size: undefined }],
		["no time limits", { timeouts: { idle: Number.POSITIVE_INFINITY, commit: Number.POSITIVE_INFINITY } }],
		["TLS that another program has undone", { secure: true, secured: true }],
	])("%s will do", (_, options) => {
		expect(refused(options)).toBeUndefined();
	});

	test("what is smtp-server's is handed to it, and the object of the caller is left alone", () => {
		const options: SmtpServerOptions = {
			queue,
			banner: "hi",
			disabledCommands: ["VRFY"],
			limits: { messageBytes: 1000, connections: 7 },
			timeouts: { idle: 1000, close: 2000 },
		};
		const before = structuredClone({ ...options, queue: null });
		const door = createSmtpServer(options);
		expect(door.options).toMatchObject({
			banner: "hi",
			size: 1000,
			maxClients: 7,
			socketTimeout: 1000,
			closeTimeout: 2000,
			authOptional: true,
			disableReverseLookup: true,
		});
		expect(door.options.disabledCommands).toEqual(expect.arrayContaining(["VRFY", "AUTH", "STARTTLS"]));
		expect(door.options).not.toHaveProperty("queue");
		expect({ ...options, queue: null }).toEqual(before);
	});
});

describe("addresses", () => {
	test.each([
		["", ""],
		["a@example.com", "a@example.com"],
		["postmaster", "postmaster"],
		['"a.b"@example.com', "a.b@example.com"],
		['"a\\"\\\\b"@example.com', 'a"\\b@example.com'],
		['a."b.c".d@example.com', "a.b.c.d@example.com"],
		["jörg@example.com", "jörg@example.com"],
		["a@BÜCHER.example", "a@xn--bcher-kva.example"],
		["a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"],
		['"a@b"@example.com', "a@b@example.com"],
	])("%s means %s", (text, address) => {
		expect(envelopeAddress(text, 999)).toBe(address);
	});

	test.each([
		["an empty local part", '""@example.com'],
		["no domain", "a@"],
		["what was no UTF-8", "j\ufffdrg@example.com"],
		["a control character", "a\u0085@example.com"],
		["a domain that is none", "a@\u0085.example"],
		["half of a pair", "a\ud800@example.com"],
		["too many bytes", `${"\u{e4}".repeat(500)}@example.com`],
	])("%s means nothing", (_, text) => {
		expect(envelopeAddress(text, 999)).toBeNull();
	});
});

describe("replies", () => {
	test.each([
		[accepted("ok"), 250, 250],
		[deferred("x"), 451, 451],
		[deferred("full (#4.3.1)"), 451, 451],
		[deferred("many (#4.5.3)"), 452, 452],
		[rejected("x"), 550, 554],
		[rejected("who (#5.1.1)"), 550, 554],
		[rejected("not (#5.1.3)"), 553, 554],
		[rejected("not (#5.1.7)"), 553, 554],
		[rejected("not (#5.7.1)"), 553, 554],
		[rejected("big (#5.3.4)"), 552, 552],
	])("%j is %d to a command and %d to a message", (response, command, message) => {
		expect(replyOf(response, "envelope")).toEqual({ code: command, text: response.description });
		expect(replyOf(response, "message").code).toBe(message);
	});

	test("a text is one line of printable ASCII, whoever made the response", () => {
		const response = { status: "D", description: " a\r\n250 b\u{1f600}\u00e4\x7f " } as const;
		expect(replyOf(response, "message").text).toBe("a??250 b???");
		expect(messageReply(["a@example.com"], [response]).text).toBe("a??250 b???");
	});
});
