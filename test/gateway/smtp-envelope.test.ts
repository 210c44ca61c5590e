/** What an SMTP door answers before a message's body: to the connection, to MAIL, to RCPT. */
import { connect } from "node:net";
import { describe, expect, test, vi } from "vitest";
import type { Peer } from "../../src/protocol/peer.js";
import { rejected, type Verdict } from "../../src/protocol/response.js";
import { acceptAnyone, recipientDomains } from "../../src/server/hooks.js";
import { openDoor, SENDER, SmtpDialogue } from "../support/gateway-smtp.js";

const MAIL = `MAIL FROM:<${SENDER}>`;
const RCPT = "RCPT TO:<rcpt@example.com>";

describe("the greeting", () => {
	test("names the host, and EHLO announces the size limit and neither AUTH nor STARTTLS", async () => {
		const { client } = await openDoor({ limits: { messageBytes: 12_345 } });
		const dialogue = await client();
		expect(dialogue.replies).toEqual(["220 mx.example.com ESMTP"]);
		const features = (await dialogue.ask("EHLO me")).split("\n");
		expect(features).toContain("250 SIZE 12345");
		expect(features.join()).toMatch(/PIPELINING.*8BITMIME.*SMTPUTF8/);
		expect(features.join()).not.toMatch(/AUTH|STARTTLS/);
		expect(await dialogue.ask("AUTH PLAIN AGEAYg==")).toMatch(/^500 /);
		expect(await dialogue.ask("STARTTLS")).toMatch(/^500 /);
		expect(await dialogue.ask("WIZ me")).toMatch(/^500 /);
	});

	test("without a limit there is no SIZE", async () => {
		const { client } = await openDoor({ limits: { messageBytes: Number.POSITIVE_INFINITY } });
		expect(await (await client()).ask("EHLO me")).not.toContain("SIZE");
	});

	test("one connection too many gets 421", async () => {
		const { client } = await openDoor({ limits: { connections: 1 } });
		await client();
		const second = await client();
		expect(second.replies[0]).toMatch(/^421 /);
		await second.end();
	});
});

describe("authorize", () => {
	test("gets both ends of the connection, and no host name that nobody looked up", async () => {
		const peers: Peer[] = [];
		const { client, port } = await openDoor({ hooks: { authorize: (peer) => peers.push(peer) > 0 } });
		const { socket } = await client();
		const ends = { remoteAddress: "127.0.0.1", remotePort: socket.localPort };
		expect(peers).toEqual([{ ...ends, localAddress: "127.0.0.1", localPort: port }]);
	});

	test("gets the host name where smtp-server is told to look it up", async () => {
		const peers: Peer[] = [];
		const { client } = await openDoor({
			hooks: { authorize: (peer) => peers.push(peer) > 0 },
			disableReverseLookup: false,
			resolver: { reverse: (_, callback) => callback(null, ["client.example.org"]) },
		});
		await client();
		expect(peers[0]?.remoteHost).toBe("client.example.org");
	});

	test("gets the client's address from a PROXY header where smtp-server is told to take one", async () => {
		const peers: Peer[] = [];
		const { port } = await openDoor({ hooks: { authorize: (peer) => peers.push(peer) > 0 }, useProxy: true });
		const dialogue = new SmtpDialogue(connect(port, "127.0.0.1"));
		expect(await dialogue.ask("PROXY TCP4 192.0.2.1 192.0.2.2 1234 25")).toMatch(/^220 /);
		expect(peers).toMatchObject([{ remoteAddress: "192.0.2.1", remotePort: 1234 }]);
	});

	test.each([
		["false", () => false],
		["a promise of false", async () => false],
		["nothing", () => undefined as unknown as boolean],
	])("with %s the connection is refused with 554", async (_, authorize) => {
		const { client } = await openDoor({ hooks: { authorize } });
		const dialogue = await client();
		expect(dialogue.replies[0]).toMatch(/^554 sorry, .*\(#5\.7\.1\)$/);
		await dialogue.end();
	});

	test("a throw is 421 and a fault", async () => {
		const authorize = () => Promise.reject(new Error("no database"));
		const { client, faults } = await openDoor({ hooks: { authorize } });
		const dialogue = await client();
		expect(dialogue.replies[0]).toBe("421 temporary failure of authorization (#4.3.0)");
		await dialogue.end();
		expect(faults).toMatchObject([
			{ error: { message: "no database" }, context: { peer: { remoteAddress: "127.0.0.1" } } },
		]);
	});

	test("a client that a proxy speaks for by XCLIENT is asked about anew, and has not the proxy's rights", async () => {
		const authorize = vi.fn(({ remoteAddress }: Peer) => {
			if (remoteAddress === "192.0.2.66") return false;
			return remoteAddress === "127.0.0.1" ? { relay: true } : true;
		});
		const { greeted } = await openDoor({ hooks: { authorize }, useXClient: true });
		const proxy = await greeted();
		expect(await proxy.askAll([MAIL, RCPT])).toEqual(["250 Accepted", "250 Accepted"]);
		for (const [address, mail, rcpt] of [
			["192.0.2.1", /^250 /, /^553 /],
			["192.0.2.66", /^553 sorry/, /^503 /],
			["[UNAVAILABLE]", /^250 /, /^553 /],
		] as const) {
			const dialogue = await greeted();
			await dialogue.ask(`XCLIENT ADDR=${address}`);
			await dialogue.ask("EHLO other");
			expect(await dialogue.ask(MAIL)).toMatch(mail);
			expect(await dialogue.ask(RCPT)).toMatch(rcpt);
		}
		expect(authorize.mock.calls.map(([{ remoteAddress }]) => remoteAddress)).toContain("");
	});
});

describe("recipients", () => {
	test("without a recipient hook and without the right to relay nobody's mail is taken", async () => {
		const { greeted } = await openDoor({ hooks: {} });
		const dialogue = await greeted();
		expect(await dialogue.askAll([MAIL, RCPT, "DATA"])).toEqual([
			"250 Accepted",
			"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
			"503 Error: need RCPT command",
		]);
	});

	test("who may relay has its recipients taken, with the suffix in the envelope alone", async () => {
		const { greeted, queue, packages } = await openDoor({
			hooks: { authorize: () => ({ relay: true, suffix: "@relay" }) },
		});
		expect(await (await greeted()).message()).toBe("250 ok");
		expect(queue.commits[0]?.envelope).toEqual({ sender: SENDER, recipients: ["rcpt@example.com@relay"] });
		expect(packages[0]?.recipients).toEqual(["rcpt@example.com"]);
	});

	test("a suffix without the right to relay is nothing", async () => {
		const hooks = { authorize: () => ({ suffix: "@relay" }), recipient: acceptAnyone };
		const { greeted, queue } = await openDoor({ hooks });
		await (await greeted()).message();
		expect(queue.commits[0]?.envelope?.recipients).toEqual(["rcpt@example.com"]);
	});

	test("each recipient is answered by itself, and the message goes to those that were taken", async () => {
		const { greeted, queue, packages } = await openDoor({
			hooks: { recipient: recipientDomains(["example.com"]) },
		});
		const dialogue = await greeted();
		const recipients = ["a@example.com", "b@example.org", "postmaster", "c@EXAMPLE.COM"];
		const rcpt = recipients.map((address) => `RCPT TO:<${address}>`);
		const replies = await dialogue.askAll([MAIL, ...rcpt, "DATA"]);
		expect(replies.map((reply) => reply.slice(0, 3))).toEqual(["250", "250", "553", "250", "250", "354"]);
		expect(await dialogue.ask("hello\r\n.")).toBe("250 ok");
		expect(queue.commits[0]?.envelope?.recipients).toEqual(["a@example.com", "postmaster", "c@EXAMPLE.COM"]);
		expect(packages).toMatchObject([{ recipients, bodyBytes: 6, sender: SENDER }]);
		expect(packages[0]?.responses.map(({ status }) => status).join("")).toBe("KDKK");
	});

	test("an address that comes twice is two recipients, as in QMTP", async () => {
		const { greeted, queue } = await openDoor();
		const dialogue = await greeted();
		await dialogue.message("hello\r\n", ["a@example.com", "A@example.com", "a@example.com"]);
		expect(queue.commits[0]?.envelope?.recipients).toEqual([
			"a@example.com",
			"A@example.com",
			"a@example.com",
		]);
	});

	test("those beyond the limit get 452, refused ones counted, and the message goes to the others", async () => {
		const recipient = (address: string): Verdict => (address.startsWith("no") ? rejected() : undefined);
		const { greeted, queue } = await openDoor({ limits: { recipients: 3 }, hooks: { recipient } });
		const dialogue = await greeted();
		const rcpt = ["a", "no", "b", "c", "a"].map((name) => `RCPT TO:<${name}@example.com>`);
		const replies = await dialogue.askAll([MAIL, ...rcpt]);
		expect(replies.slice(4)).toEqual([
			"452 sorry, too many recipients in one package (#4.5.3)",
			"452 sorry, too many recipients in one package (#4.5.3)",
		]);
		expect(await dialogue.askAll(["DATA", "hello\r\n."])).toEqual([expect.stringMatching(/^354/), "250 ok"]);
		expect(queue.commits[0]?.envelope?.recipients).toEqual(["a@example.com", "b@example.com"]);
	});

	test("a thousand recipients are taken by one message", async () => {
		const { greeted, queue } = await openDoor();
		const recipients = Array.from({ length: 1000 }, (_, index) => `rcpt${index}@example.com`);
		expect(await (await greeted()).message("hello\r\n", recipients)).toBe("250 ok");
		expect(queue.commits[0]?.envelope?.recipients).toEqual(recipients);
	});
});

describe("addresses", () => {
	test("quotes of SMTP are gone in the envelope, and before the hooks", async () => {
		const seen: string[] = [];
		const recipient = (address: string) => void seen.push(address);
		const { greeted, queue } = await openDoor({ hooks: { recipient } });
		const dialogue = await greeted();
		await dialogue.envelope(
			['"a.b"@example.com', '"q\\"q"@example.com', "o'neil+x@[192.0.2.1]"],
			'"s"@x.org',
		);
		await dialogue.ask("hello\r\n.");
		expect(seen).toEqual(["a.b@example.com", 'q"q@example.com', "o'neil+x@[192.0.2.1]"]);
		expect(queue.commits[0]?.envelope).toEqual({ sender: "s@x.org", recipients: seen });
	});

	test("UTF-8 comes through, and a domain is in its ASCII form however it was written", async () => {
		const { greeted, queue } = await openDoor({
			hooks: { recipient: recipientDomains(["xn--mnchen-3ya.example"]) },
		});
		const dialogue = await greeted();
		const utf8 = Buffer.from("jörg@münchen.example").toString("latin1");
		expect(await dialogue.message("hello\r\n", [utf8, "joe@xn--mnchen-3ya.example"])).toBe("250 ok");
		expect(queue.commits[0]?.envelope?.recipients).toEqual([
			"jörg@xn--mnchen-3ya.example",
			"joe@xn--mnchen-3ya.example",
		]);
		expect(queue.commits[0]?.info.addressEncoding).toBe("utf-8");
	});

	test("what is no UTF-8 is refused by itself", async () => {
		const { greeted } = await openDoor();
		const dialogue = await greeted();
		expect(await dialogue.ask("MAIL FROM:<j\xf6rg@example.org>")).toBe("553 unacceptable sender (#5.1.7)");
		expect(await dialogue.askAll([MAIL, "RCPT TO:<j\xf6rg@example.com>", RCPT])).toEqual([
			"250 Accepted",
			"553 sorry, I can't handle that recipient (#5.1.3)",
			"250 Accepted",
		]);
	});

	test("the sender of bounces is empty", async () => {
		const { greeted, queue } = await openDoor();
		const dialogue = await greeted();
		await dialogue.envelope(["a@example.com"], "");
		await dialogue.ask(".");
		expect(queue.commits[0]?.envelope?.sender).toBe("");
	});

	test("one that is too long is refused, the suffix counted", async () => {
		const { greeted } = await openDoor({
			hooks: { authorize: () => ({ relay: true, suffix: "@1234567" }) },
			limits: { addressBytes: 20 },
		});
		const dialogue = await greeted();
		expect(await dialogue.ask("MAIL FROM:<abcdefgh@example.org>")).toBe("250 Accepted");
		expect(await dialogue.ask("RCPT TO:<ab@c.example>")).toBe("250 Accepted");
		expect(await dialogue.ask("RCPT TO:<abc@c.example>")).toMatch(/^553 .*#5\.1\.3/);
		await dialogue.ask("RSET");
		expect(await dialogue.ask("MAIL FROM:<abcdefghi@example.org>")).toMatch(/^553 .*#5\.1\.7/);
	});
});
