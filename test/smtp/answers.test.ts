/** What the replies of a server become: each recipient's own answer, and never a K but for the 2xx after the data. */
import { expect, test } from "vitest";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { type SmtpScript, SmtpTestServer, smtpMail, summaries } from "../support/smtp-peer.js";

noUnhandledRejections();

const three = ["a@example.com", "b@example.com", "c@example.com"];

/** What three recipients get from a server that follows this script. */
async function answers(script: SmtpScript, recipients: readonly string[] = three): Promise<string[]> {
	const server = await SmtpTestServer.start(script);
	return summaries(await server.client().send(smtpMail({ recipients })));
}

const PIPELINING = "250-test\r\n250-PIPELINING\r\n250 8BITMIME";

test("a 2xx after the data is a K for all, with the server's text", async () => {
	expect(await answers({ message: "250 2.0.0 Ok: queued as 1234" })).toEqual([
		"K250 2.0.0 Ok: queued as 1234",
		"K250 2.0.0 Ok: queued as 1234",
		"K250 2.0.0 Ok: queued as 1234",
	]);
});

test("the results name the recipients as the caller gave them, and have no error", async () => {
	const server = await SmtpTestServer.start({});
	expect(await server.client().send(smtpMail({ recipients: ["a b@example.com"] }))).toEqual([
		{ recipient: "a b@example.com", status: "K", description: "250 2.0.0 queued" },
	]);
});

for (const [name, EHLO] of Object.entries({ "one by one": "250 test", pipelined: PIPELINING })) {
	test(`each recipient gets the reply to its own RCPT (${name})`, async () => {
		const RCPT = (_: unknown, line: string) => {
			if (line.includes("a@")) return "550 5.1.1 no such user (#5.1.1)";
			return line.includes("b@") ? "450 4.2.1 try later" : "250 ok";
		};
		expect(await answers({ EHLO, RCPT })).toEqual([
			"D550 5.1.1 no such user (#5.1.1)",
			"Z450 4.2.1 try later",
			"K250 2.0.0 queued",
		]);
	});

	test(`a refusal of MAIL is for all (${name})`, async () => {
		expect(
			await answers({ EHLO, MAIL: "553 5.1.8 bad sender", RCPT: "503 no MAIL", DATA: "503 no MAIL" }),
		).toEqual(three.map(() => "D553 5.1.8 bad sender"));
		expect(
			await answers({ EHLO, MAIL: "451 4.3.0 later", RCPT: "503 no MAIL", DATA: "503 no MAIL" }),
		).toEqual(three.map(() => "Z451 4.3.0 later"));
	});

	test(`a refusal of DATA is for all that RCPT took (${name})`, async () => {
		const RCPT = (_: unknown, line: string) => (line.includes("a@") ? "550 no" : "250 ok");
		expect(await answers({ EHLO, RCPT, DATA: "451 4.3.0 not now" })).toEqual([
			"D550 no",
			"Z451 4.3.0 not now",
			"Z451 4.3.0 not now",
		]);
		expect(await answers({ EHLO, RCPT, DATA: "554 5.5.1 no" })).toEqual([
			"D550 no",
			"D554 5.5.1 no",
			"D554 5.5.1 no",
		]);
	});

	test(`all recipients are refused, each with its own reply (${name})`, async () => {
		const RCPT = (_: unknown, line: string) => `${line.includes("b@") ? 450 : 550} no ${line.slice(9, 10)}`;
		expect(await answers({ EHLO, RCPT, DATA: "554 no valid recipients" })).toEqual([
			"D550 no a",
			"Z450 no b",
			"D550 no c",
		]);
	});

	test(`a 2xx to DATA is no leave to send, and nothing of the body goes out (${name})`, async () => {
		const server = await SmtpTestServer.start({ EHLO, DATA: "250 ok" });
		const body = "RSET\nNOOP\n";
		expect(summaries(await server.client().send(smtpMail({ body })))).toEqual([
			"Zthe connection was given up, as the server does not speak proper SMTP: 250 ok (#4.4.2) | ERR_QMTP_CONNECTION_LOST",
		]);
		const peer = await server.peer();
		await peer.gone();
		expect(peer.commands.at(-1)).toBe("DATA");
	});

	test(`a server that refuses the sender and lets the data begin gets none (${name})`, async () => {
		const server = await SmtpTestServer.start({ EHLO, MAIL: "550 no", DATA: "354 go on" });
		expect(summaries(await server.client().send(smtpMail()))).toEqual(["D550 no"]);
		const peer = await server.peer();
		expect(server.messages).toEqual([]);
		expect(peer.commands).not.toContain("NOOP");
	});
}

test("a server that refuses all recipients and lets the data begin gets no message", async () => {
	const server = await SmtpTestServer.start({ EHLO: PIPELINING, RCPT: "550 no", DATA: "354 go on" });
	const client = server.client();
	expect(summaries(await client.send(smtpMail()))).toEqual(["D550 no"]);
	expect(server.messages).toEqual([
		{ mail: "MAIL FROM:<sender@example.com> BODY=8BITMIME", rcpt: [], data: "" },
	]);
	expect(summaries(await client.send(smtpMail()))).toEqual(["D550 no"]);
	expect(server.peers).toHaveLength(1);
});

test("the reply after the data is for all that RCPT took", async () => {
	const RCPT = (_: unknown, line: string) => (line.includes("a@") ? "550 no" : "250 ok");
	expect(await answers({ RCPT, message: "554 5.7.1 spam" })).toEqual([
		"D550 no",
		"D554 5.7.1 spam",
		"D554 5.7.1 spam",
	]);
	expect(await answers({ RCPT, message: "452 4.3.1 full" })).toEqual([
		"D550 no",
		"Z452 4.3.1 full",
		"Z452 4.3.1 full",
	]);
});

test("552 to one RCPT of several may mean too many of them, and is a Z", async () => {
	expect(await answers({ RCPT: "552 5.2.2 full" })).toEqual(three.map(() => "Z552 5.2.2 full"));
	expect(await answers({ RCPT: "552 5.2.2 full" }, ["a@example.com"])).toEqual(["D552 5.2.2 full"]);
});

test("equal recipients are said once, and share their answer", async () => {
	const server = await SmtpTestServer.start({});
	const results = await server.client().send(smtpMail({ recipients: ["a@x", "b@x", "a@x"] }));
	expect(results.map(({ recipient, status }) => recipient + status)).toEqual(["a@xK", "b@xK", "a@xK"]);
	expect(server.messages[0]?.rcpt).toEqual(["RCPT TO:<a@x>", "RCPT TO:<b@x>"]);
});

test("a reply of several lines becomes one, with its code and its status once", async () => {
	const RCPT = "550-5.1.1 The account does not exist.\r\n550-5.1.1 Look for typos.\r\n550 5.1.1  See help";
	expect(await answers({ RCPT }, ["a@x"])).toEqual([
		"D550 5.1.1 The account does not exist. Look for typos. See help",
	]);
});

test("a reply is cleaned and cut, and its UTF-8 understood", async () => {
	const [long = ""] = await answers({ message: `250 ${"x".repeat(3000)}` }, ["a@x"]);
	expect(long).toBe(`K250 ${"x".repeat(496)}`);
	expect(await answers({ message: "250 gr\u00fc\u00dfe #7 \u0007\t(#2.0.0)" }, ["a@x"])).toEqual([
		"K250 gr\u00fc\u00dfe  7 (#2.0.0)",
	]);
	expect(await answers({ message: "550" }, ["a@x"])).toEqual(["D550"]);
});

const GIVEN_UP = "ERR_QMTP_CONNECTION_LOST | possibly accepted";

test("what is no answer to the message is a Z, and the server may have accepted it", async () => {
	for (const message of ["354 go on", "2 ok", "25", "ok", "2500 ok", "x250 ok"]) {
		expect(await answers({ message }, ["a@x"])).toEqual([
			`Zthe server does not speak proper SMTP: ${message} (#4.4.2) | ${GIVEN_UP}`,
		]);
	}
});

test("a 2xx that comes before the data has ended is no K", async () => {
	const server = await SmtpTestServer.start({ DATA: "354 go on\r\n250 queued" });
	const body = smtpMail({ body: "x".repeat(3_000_000) }).body;
	expect(summaries(await server.client().send(smtpMail({ body })))).toEqual([
		`Zthe server does not speak proper SMTP: 250 queued (#4.4.2) | ${GIVEN_UP}`,
	]);
	await (await server.peer()).gone();
	expect(server.messages).toEqual([]);
});

test("a refusal that comes before the data has ended is one, and ends the connection", async () => {
	const server = await SmtpTestServer.start({ DATA: "354 go on\r\n552 5.3.4 too big" });
	const client = server.client();
	const body = smtpMail({ body: "x".repeat(3_000_000) }).body;
	expect(summaries(await client.send(smtpMail({ body })))).toEqual(["D552 5.3.4 too big"]);
	expect(server.messages).toEqual([]);
	await (await server.peer()).gone();
});

test("a message above the server's SIZE is a D, and nothing is sent", async () => {
	const server = await SmtpTestServer.start({ EHLO: "250-test\r\n250 SIZE 10" });
	expect(summaries(await server.client().send(smtpMail()))).toEqual([
		"Dthe server takes no messages above 10 bytes (#5.3.4)",
	]);
	expect((await server.peer()).commands).toEqual(["EHLO client.test"]);
});

test("SIZE and 8BITMIME are said if they are offered", async () => {
	const server = await SmtpTestServer.start(
		{ EHLO: "250-test\r\n250-SIZE\r\n250 8BITMIME" },
		{ EHLO: "250 test" },
	);
	const client = server.client({ maxMessages: 1 });
	await client.send(smtpMail({ body: "\u00ff\n" }));
	await client.send(smtpMail({ body: "\u00ff\n" }));
	expect(server.messages.map(({ mail, data }) => [mail, data])).toEqual([
		["MAIL FROM:<sender@example.com> BODY=8BITMIME SIZE=2", "\u00ff\r\n"],
		["MAIL FROM:<sender@example.com>", "\u00ff\r\n"],
	]);
});
