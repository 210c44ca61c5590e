/** Bodies that come by SMTP: what the queue sees of them, and how large they may be. */
import { describe, expect, test } from "vitest";
import { acceptAnyone } from "../../src/server/hooks.js";
import { openDoor, SENDER } from "../support/gateway-smtp.js";

const MIB = 1024 * 1024;

/** What a queue gets for a body as it is sent, without the last dot. */
async function queued(body: string, lines: "lf" | "as-sent" = "lf"): Promise<string | undefined> {
	const { greeted, queue } = await openDoor({ plan: { lines } });
	expect(await (await greeted()).message(body)).toBe("250 ok");
	return queue.commits[0]?.text;
}

const BODIES: readonly (readonly [name: string, sent: string, lf: string, crlf?: string])[] = [
	["lines", "Subject: x\r\n\r\nhello\r\n", "Subject: x\n\nhello\n"],
	["nothing", "", ""],
	["an empty line", "\r\n", "\n"],
	["stuffed dots", "..\r\n...\r\n..a\r\n", ".\n..\n.a\n", ".\r\n..\r\n.a\r\n"],
	["dots inside a line", "a.\r\n.b\r\n", "a.\n.b\n"],
	["8-bit and NUL", "\x00\xff\x80\xe4\r\n", "\x00\xff\x80\xe4\n"],
	["a lone CR, and several", "a\rb\r\r\nc\r\r\r\n", "a\rb\r\nc\r\r\n"],
	["a lone LF", "a\nb\r\n", "a\nb\n"],
	["LF CR", "a\n\rb\r\n", "a\n\rb\n"],
	["a long line", `${"x".repeat(100_000)}\r\n`, `${"x".repeat(100_000)}\n`],
];

describe("a body", () => {
	test.each(BODIES)("%s: CR LF becomes LF and nothing else changes", async (_, sent = "", lf = "") => {
		expect(await queued(sent)).toBe(lf);
	});

	test.each(BODIES)(
		"%s: a queue that takes bodies as sent gets CR LF",
		async (_, sent = "", __ = "", crlf = sent) => {
			expect(await queued(sent, "as-sent")).toBe(crlf);
		},
	);

	test("the same comes out wherever its chunks are cut", async () => {
		const sent = "..\r\na\r\r\n\r\n...b\r\n.\r\n";
		const { greeted, queue } = await openDoor();
		const dialogue = await greeted();
		dialogue.socket.setNoDelay(true);
		for (let cut = 1; cut < sent.length; cut++) {
			await dialogue.envelope();
			await dialogue.sent(sent.slice(0, cut));
			await new Promise((resolve) => setImmediate(resolve));
			dialogue.send(sent.slice(cut));
			expect(await dialogue.reply()).toBe("250 ok");
			expect(queue.commits.at(-1)?.text).toBe(".\na\r\n\n..b\n");
		}
	});

	test("sent byte by byte it is the same too", async () => {
		const { greeted, queue } = await openDoor();
		const dialogue = await greeted();
		await dialogue.envelope();
		for (const byte of "..\r\n.\n\r.\r\r\nx\r\n..\r\n.\r\n") {
			await dialogue.sent(byte);
			await new Promise((resolve) => setImmediate(resolve));
		}
		expect(await dialogue.reply()).toBe("250 ok");
		expect(queue.commits[0]?.text).toBe(".\n.\n\r.\r\nx\n.\n");
	});
});

describe("smuggling", () => {
	const smuggled = `MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nevil\r\n`;

	test.each([
		["LF dot LF", "\n.\n"],
		["LF dot CR LF", "\n.\r\n"],
		["CR LF dot LF", "\r\n.\n"],
		["CR dot CR", "\r.\r"],
		["CR dot CR LF", "\r.\r\n"],
		["CR LF dot CR", "\r\n.\r"],
		["LF dot CR", "\n.\r"],
		["CR CR LF dot CR CR LF", "\r\r\n.\r\r\n"],
		["NUL behind the dot", "\r\n.\0\r\n"],
	])("%s ends no message, and what follows is text", async (_, end) => {
		const { greeted, queue } = await openDoor();
		const dialogue = await greeted();
		expect(await dialogue.message(`text${end}${smuggled}`)).toBe("250 ok");
		expect(queue.commits).toHaveLength(1);
		expect(queue.commits[0]?.envelope?.recipients).toEqual(["rcpt@example.com"]);
		const text = `text${end}${smuggled}`;
		// A dot at the start of a line is an escape only before another one, so these come as they are.
		expect(queue.commits[0]?.text).toBe(text.replaceAll("\r\n", "\n"));
		expect(await dialogue.ask("NOOP")).toMatch(/^250/);
		expect(queue.deliveries).toHaveLength(1);
	});

	test("a dot that is stuffed behind a lone LF loses its escape, as smtp-server reads it", async () => {
		expect(await queued("a\n..b\r\n")).toBe("a\n.b\n");
	});
});

describe("the Received field", () => {
	const date = String.raw`\d+ [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d -0000`;
	const by = (protocol: string) => String.raw`  by mx\.example\.com with ${protocol}; ${date}`;

	test("stands on top as qmail-smtpd writes it", async () => {
		const { greeted, queue, packages } = await openDoor({ received: true });
		await (await greeted()).message();
		const from = String.raw`Received: from unknown \(HELO client\.example\.org\) \(127\.0\.0\.1\)`;
		expect(queue.commits[0]?.text).toMatch(new RegExp(`^${from}\n${by("ESMTP")}\nhello\n$`));
		expect(packages[0]?.bodyBytes).toBe(6);
	});

	test("has the line ends of the body, and says SMTP after HELO", async () => {
		const { client, queue } = await openDoor({ received: true, plan: { lines: "as-sent" } });
		const dialogue = await client();
		await dialogue.ask("HELO <ev(il>");
		await dialogue.message();
		const from = String.raw`Received: from unknown \(HELO \?ev\?il\?\) \(127\.0\.0\.1\)`;
		expect(queue.commits[0]?.text).toMatch(new RegExp(`^${from}\r\n${by("SMTP")}\r\nhello\r\n$`));
	});

	test("leaves out a name that the client gives itself if it is the known one", async () => {
		const { client, queue } = await openDoor({
			received: true,
			disableReverseLookup: false,
			resolver: { reverse: (_, callback) => callback(null, ["client.example.org"]) },
		});
		const dialogue = await client();
		await dialogue.ask("EHLO Client.example.org");
		await dialogue.message();
		expect(queue.commits[0]?.text).toMatch(/^Received: from client\.example\.org \(127\.0\.0\.1\)\n/);
	});

	test("counts for no size", async () => {
		const { greeted } = await openDoor({ received: true, limits: { messageBytes: 6 } });
		expect(await (await greeted()).message()).toBe("250 ok");
	});
});

describe("sizes", () => {
	const TOO_LARGE = "552 sorry, that message size exceeds my databytes limit (#5.3.4)";

	test("a message that declares too much is refused at MAIL, and none is opened", async () => {
		const { greeted, queue } = await openDoor({ limits: { messageBytes: 100 } });
		const dialogue = await greeted();
		expect(await dialogue.ask(`MAIL FROM:<${SENDER}> SIZE=101`)).toMatch(/^552 /);
		expect(await dialogue.ask(`MAIL FROM:<${SENDER}> SIZE=100`)).toMatch(/^250 /);
		expect(queue.calls).toEqual([]);
	});

	test("rights may lower the limit, and cannot raise what is announced to all", async () => {
		const { greeted } = await openDoor({
			limits: { messageBytes: 100 },
			hooks: { authorize: () => ({ messageBytes: 10 }), recipient: acceptAnyone },
		});
		const dialogue = await greeted();
		expect(await dialogue.ask(`MAIL FROM:<${SENDER}> SIZE=11`)).toBe(TOO_LARGE);
		expect(await dialogue.message("1234567890\r\n")).toBe(TOO_LARGE);
		const other = await openDoor({
			limits: { messageBytes: 10 },
			hooks: { authorize: () => ({ messageBytes: 100 }), recipient: acceptAnyone },
		});
		expect(await (await other.greeted()).message("1234567890\r\n")).toBe(TOO_LARGE);
	});

	test.each(["lf", "as-sent"] as const)(
		"a body counts as QMTP counts it, for a queue that takes %s",
		async (lines) => {
			const { greeted, queue, packages } = await openDoor({ limits: { messageBytes: 6 }, plan: { lines } });
			const dialogue = await greeted();
			expect(await dialogue.message("1\r\n2\r\n3\r\n")).toBe("250 ok");
			expect(await dialogue.message("1\r\n2\r\n34\r\n")).toBe(TOO_LARGE);
			expect(packages.map(({ bodyBytes }) => bodyBytes)[0]).toBe(6);
			expect(queue.commits).toHaveLength(1);
		},
	);

	test("a message of no bytes is taken where none more may be", async () => {
		const { greeted } = await openDoor({ limits: { messageBytes: 0 } });
		const dialogue = await greeted();
		expect(await dialogue.message("")).toBe("250 ok");
		expect(await dialogue.message("x\r\n")).toBe(TOO_LARGE);
	});

	test("what is too large is thrown away at once, read to its end, and answered; the next one passes", async () => {
		const { greeted, queue, faults } = await openDoor({ limits: { messageBytes: MIB } });
		const dialogue = await greeted();
		await dialogue.envelope();
		for (let sent = 0; sent < 3; sent++) dialogue.socket.write(Buffer.alloc(MIB / 2, "x"));
		await queue.called("abort");
		expect(dialogue.replies.at(-1)).toMatch(/^354/);
		for (let sent = 0; sent < 30; sent++) dialogue.socket.write(Buffer.alloc(MIB, "x"));
		dialogue.send("\r\n.\r\n");
		expect(await dialogue.reply()).toBe(TOO_LARGE);
		expect(queue.count("abort")).toBe(1);
		expect(await dialogue.message()).toBe("250 ok");
		expect(faults).toEqual([]);
	});
});
