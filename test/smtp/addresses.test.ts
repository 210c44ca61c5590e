/** Addresses as SMTP says them, and those that it cannot say. */
import { expect, test } from "vitest";
import { smtpAddress } from "../../src/smtp/address.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { SmtpTestServer, smtpMail, summaries } from "../support/smtp-peer.js";

noUnhandledRejections();

test("what SMTP can say is said as it is", () => {
	for (const address of [
		"a@example.com",
		"a.b+c=d@example.com",
		"!#$%&'*+-/=?^_`{|}~@x",
		"postmaster",
		"a@[127.0.0.1]",
		"a@[IPv6:::1]",
		"#@[]",
		'"a b"@x',
		'"a\\"b"@x',
		"a@under_score.example",
	]) {
		expect(smtpAddress(address, "utf-8"), address).toEqual({ utf8: address, ascii: address });
	}
});

test("a local part that needs it is quoted", () => {
	for (const [address, quoted] of [
		["a b@x", '"a b"@x'],
		[" a@x", '" a"@x'],
		[".a@x", '".a"@x'],
		["a.@x", '"a."@x'],
		["a..b@x", '"a..b"@x'],
		["@x", '""@x'],
		['a"b@x', '"a\\"b"@x'],
		["a\\b@x", '"a\\\\b"@x'],
		["a@b@x", '"a@b"@x'],
		["a b", '"a b"'],
		['"a@x', '"\\"a"@x'],
		["\u00a0a@x", '"\u00a0a"@x'],
	] as const) {
		expect(smtpAddress(address, "utf-8")?.utf8, address).toBe(quoted);
	}
});

test("what SMTP cannot say has no form", () => {
	for (const address of [
		"",
		"a\r\nRCPT TO:<b>@x",
		"a\n@x",
		"a\u0000@x",
		"a\t@x",
		"a<b@x",
		'"a>b"@x',
		"a@x> SIZE=1",
		"a@x y",
		"a@x ",
		"a@x\u00a0",
		'"a@b"',
		"a@",
		"a@x,y",
		"a@[1.2.3.4",
		"a@\u00ad",
	]) {
		expect(smtpAddress(address, "utf-8"), JSON.stringify(address)).toBe(null);
	}
});

test("beyond ASCII, a domain has an ASCII form and a local part has none", () => {
	expect(smtpAddress("a@b\u00fccher.example", "utf-8")).toEqual({
		utf8: "a@b\u00fccher.example",
		ascii: "a@xn--bcher-kva.example",
	});
	expect(smtpAddress("j\u00fcrgen@x", "utf-8")).toEqual({ utf8: "j\u00fcrgen@x", ascii: null });
	expect(smtpAddress("\u{1f600}@x", "utf-8")?.ascii).toBe(null);
});

test("bytes that are UTF-8 are understood as that, and others cannot be said", () => {
	expect(smtpAddress("j\u00c3\u00bcrgen@x", "latin1")?.utf8).toBe("j\u00fcrgen@x");
	expect(smtpAddress("j\u00fcrgen@x", "latin1")).toBe(null);
});

test("a bad recipient is a D for itself alone, and never gets to the server", async () => {
	const server = await SmtpTestServer.start({});
	const recipients = ["a\r\nRSET@x", "ok@x", "<b@x", ""];
	expect(summaries(await server.client().send(smtpMail({ recipients })))).toEqual([
		"Dsorry, I can't handle that recipient (#5.1.3)",
		"K250 2.0.0 queued",
		"Dsorry, I can't handle that recipient (#5.1.3)",
		"Dsorry, I can't handle that recipient (#5.1.3)",
	]);
	expect((await server.peer()).commands).toEqual([
		"EHLO client.test",
		"MAIL FROM:<sender@example.com> BODY=8BITMIME",
		"RCPT TO:<ok@x>",
		"DATA",
	]);
});

test("a bad sender is a D for all, without a connection", async () => {
	const server = await SmtpTestServer.start({});
	const sender = "a>\r\nRSET";
	expect(summaries(await server.client().send(smtpMail({ sender })))).toEqual([
		"Dunacceptable sender (#5.1.7)",
	]);
	expect(server.peers).toHaveLength(0);
});

test("the empty sender is one", async () => {
	const server = await SmtpTestServer.start({});
	await server.client().send(smtpMail({ sender: "" }));
	expect(server.messages[0]?.mail).toBe("MAIL FROM:<> BODY=8BITMIME");
});

const mixed = ["j\u00fcrgen@x", "a@b\u00fccher.example", "plain@x"];

test("with SMTPUTF8 addresses beyond ASCII are said as they are", async () => {
	const server = await SmtpTestServer.start({ EHLO: "250-test\r\n250 SMTPUTF8" });
	const results = await server.client().send(smtpMail({ recipients: mixed }));
	expect(results.map(({ status }) => status)).toEqual(["K", "K", "K"]);
	expect(server.messages[0]?.mail).toBe("MAIL FROM:<sender@example.com> SMTPUTF8");
	expect(server.messages[0]?.rcpt.map((line) => Buffer.from(line, "latin1").toString())).toEqual([
		"RCPT TO:<j\u00fcrgen@x>",
		"RCPT TO:<a@b\u00fccher.example>",
		"RCPT TO:<plain@x>",
	]);
});

test("SMTPUTF8 is not asked for if all is ASCII", async () => {
	const server = await SmtpTestServer.start({ EHLO: "250-test\r\n250 SMTPUTF8" });
	await server.client().send(smtpMail());
	expect(server.messages[0]?.mail).toBe("MAIL FROM:<sender@example.com>");
});

test("without SMTPUTF8 domains are said in punycode, and local parts beyond ASCII are a D", async () => {
	const server = await SmtpTestServer.start({});
	expect(summaries(await server.client().send(smtpMail({ recipients: mixed })))).toEqual([
		"Dthe server does not take addresses beyond ASCII (#5.6.7)",
		"K250 2.0.0 queued",
		"K250 2.0.0 queued",
	]);
	expect(server.messages[0]?.rcpt).toEqual(["RCPT TO:<a@xn--bcher-kva.example>", "RCPT TO:<plain@x>"]);
});

test("without SMTPUTF8 a sender beyond ASCII is a D for all, and the connection stays of use", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client();
	expect(summaries(await client.send(smtpMail({ sender: "j\u00fcrgen@x" })))).toEqual([
		"Dthe server does not take addresses beyond ASCII (#5.6.7)",
	]);
	expect(summaries(await client.send(smtpMail()))).toEqual(["K250 2.0.0 queued"]);
	expect(server.peers).toHaveLength(1);
});
