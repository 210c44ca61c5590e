/** Connections that are refused, lost or silent at each step: what the recipients get, and what is sent once more. */
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { SmtpClient } from "../../src/smtp/client.js";
import { deafPort } from "../support/client-deaf-server.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { turns } from "../support/server-signal.js";
import {
	type Answer,
	onceBody,
	type SmtpPeer,
	type SmtpScript,
	SmtpTestServer,
	smtpMail,
	summaries,
} from "../support/smtp-peer.js";

noUnhandledRejections();

function close(peer: SmtpPeer): null {
	peer.socket.destroy();
	return null;
}

async function reset(peer: SmtpPeer): Promise<null> {
	await turns(); // a connection that is reset at once may never have been one for the client
	peer.socket.resetAndDestroy();
	return null;
}

const BEFORE_THE_END = ["MAIL", "RCPT", "DATA"] as const;
const ENDED = /^Z.*\(#4\.4\.2\) \| ERR_QMTP_CONNECTION_(CLOSED|LOST)$/;
const ENDED_LATE = /^Z.*\(#4\.4\.2\) \| ERR_QMTP_CONNECTION_(CLOSED|LOST) \| possibly accepted$/;

async function first(script: SmtpScript): Promise<string> {
	const server = await SmtpTestServer.start(script);
	const [summary = ""] = summaries(await server.client().send(smtpMail()));
	expect(server.peers).toHaveLength(1); // a fresh connection is not tried again
	return summary;
}

test("nothing listens there", async () => {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as { port: number };
	await new Promise((resolve) => server.close(resolve));
	const client = new SmtpClient({ host: "mx.example", address: "127.0.0.1", port });
	await expect(Promise.allSettled([client.send(smtpMail()), client.send(smtpMail())])).resolves.toMatchObject(
		[1, 2].map(() => ({
			reason: {
				name: "TransportError",
				code: "ERR_QMTP_CONNECT",
				message: `no connection to mx.example:${port} (127.0.0.1): nothing listens there (connection refused)`,
			},
		})),
	);
	await client.close();
});

test("no connection in time, and one that is given up", async () => {
	const port = await deafPort();
	const late = new SmtpClient({ host: "127.0.0.1", port, timeouts: { connect: 50 } });
	await expect(late.send(smtpMail())).rejects.toMatchObject({
		code: "ERR_QMTP_CONNECT_TIMEOUT",
		message: `no connection to 127.0.0.1:${port} within 50 ms`,
	});
	const client = new SmtpClient({ host: "127.0.0.1", port });
	const stop = new AbortController();
	const call = client.send(smtpMail(), { signal: stop.signal });
	await turns();
	stop.abort(new Error("too slow"));
	await expect(call).rejects.toThrow("too slow");
	await client.close();
});

test("a host that does not exist", async () => {
	const client = new SmtpClient({ host: "nowhere.invalid" });
	await expect(client.send(smtpMail())).rejects.toMatchObject({ code: "ERR_QMTP_CONNECT" });
});

test("a server that refuses the session says nothing about the mail, whatever the code", async () => {
	for (const greeting of ["554 5.7.1 no mail from you", "421 busy", "450 later", "220"]) {
		const script = greeting === "220" ? { EHLO: "550 no", HELO: "550 no" } : { greeting };
		const reply = greeting === "220" ? "550 no" : greeting;
		expect(await first(script)).toBe(`Zno SMTP session with 127.0.0.1: ${reply} (#4.4.1) | ERR_QMTP_CONNECT`);
	}
});

test("calls that wait get the same as the one that could not begin a session", async () => {
	const server = await SmtpTestServer.start({ greeting: "554 no" });
	const client = server.client();
	const results = await Promise.all([client.send(smtpMail()), client.send(smtpMail())]);
	expect(results.flat().map(({ status, error }) => [status, error?.code])).toEqual([
		["Z", "ERR_QMTP_CONNECT"],
		["Z", "ERR_QMTP_CONNECT"],
	]);
	expect(server.peers).toHaveLength(1);
});

test("HELO will do", async () => {
	expect(await first({ EHLO: "502 what?" })).toBe("K250 2.0.0 queued");
});

for (const step of ["greeting", "EHLO", ...BEFORE_THE_END] as const) {
	test(`the server closes at ${step}`, async () => expect(await first({ [step]: close })).toMatch(ENDED));
	test(`the server resets at ${step}`, async () => expect(await first({ [step]: reset })).toMatch(ENDED));
	test(`the server says nothing at ${step}`, async () => {
		const server = await SmtpTestServer.start({ [step]: null });
		const client = server.client({ timeouts: { response: 250 } });
		expect(summaries(await client.send(smtpMail()))).toEqual([
			"Zthe server did not answer in time (#4.4.2) | ERR_QMTP_RESPONSE_TIMEOUT",
		]);
	});
}

test("a loss after the data has ended may be a duplicate when it is sent again, and is not", async () => {
	for (const message of [close, reset]) expect(await first({ message })).toMatch(ENDED_LATE);
	const server = await SmtpTestServer.start({ message: null });
	const client = server.client({ timeouts: { response: 250 } });
	expect(summaries(await client.send(smtpMail()))).toEqual([
		"Zthe server did not answer in time (#4.4.2) | ERR_QMTP_RESPONSE_TIMEOUT | possibly accepted",
	]);
});

test("half a reply is none", async () => {
	const half: Answer = (peer) => {
		peer.socket.end("250 2.0.0 que");
		return null;
	};
	expect(await first({ message: half })).toMatch(ENDED_LATE);
	const refusal: Answer = (peer) => {
		peer.socket.end("550 5.0.0 no");
		return null;
	};
	expect(await first({ message: refusal })).toMatch(ENDED_LATE);
});

test("a loss while the data is under way cannot be a duplicate", async () => {
	const server = await SmtpTestServer.start({
		DATA: (peer) => {
			peer.gotData(100_000).then(() => peer.socket.resetAndDestroy());
			return "354 go on";
		},
	});
	async function* endless() {
		for (;;) yield Buffer.alloc(65536, "x\n");
	}
	const results = await server.client().send(smtpMail({ body: onceBody(2 ** 40, endless) }));
	expect(summaries(results)[0]).toMatch(ENDED);
});

test("those who were refused before the loss stay so", async () => {
	const RCPT = (_: unknown, line: string) => (line.includes("a@") ? "550 no" : "250 ok");
	const server = await SmtpTestServer.start({ RCPT, DATA: close });
	const results = summaries(await server.client().send(smtpMail({ recipients: ["a@x", "b@x"] })));
	expect(results[0]).toBe("D550 no");
	expect(results[1]).toMatch(ENDED);
});

test("421 is a Z wherever it comes", async () => {
	for (const step of BEFORE_THE_END)
		expect(await first({ [step]: "421 4.3.2 bye" }), step).toMatch(/^Z.*421 4\.3\.2 bye/);
	expect(await first({ message: "421 4.3.2 bye" })).toBe("Z421 4.3.2 bye");
	const PIPELINING = "250-test\r\n250 PIPELINING";
	for (const step of BEFORE_THE_END) {
		expect(await first({ EHLO: PIPELINING, [step]: "421 4.3.2 bye" }), step).toMatch(/^Z.*421 4\.3\.2 bye/);
	}
});

for (const [name, answer] of Object.entries({ closes: close, resets: reset, "says 421": "421 4.4.2 idle" })) {
	for (const step of BEFORE_THE_END) {
		test(`a used connection whose server ${name} at ${step} is replaced`, async () => {
			let messages = 0;
			const afterOne: Answer = (peer) => {
				if (messages > 0) return typeof answer === "string" ? answer : answer(peer);
				return step === "DATA" ? "354 go on" : "250 ok";
			};
			const server = await SmtpTestServer.start(
				{
					[step]: afterOne,
					message: () => {
						messages++;
						return "250 ok";
					},
				},
				{},
			);
			const client = server.client();
			expect(summaries(await client.send(smtpMail()))).toEqual(["K250 ok"]);
			expect(summaries(await client.send(smtpMail()))).toEqual(["K250 2.0.0 queued"]);
			expect(server.messages).toHaveLength(2);
			expect(server.peers).toHaveLength(2);
		});
	}
}

test("a message is not sent a third time", async () => {
	const server = await SmtpTestServer.start(
		{ MAIL: (peer) => (peer.messages.length > 0 ? close(peer) : "250 ok") },
		{ MAIL: close },
	);
	const client = server.client();
	await client.send(smtpMail());
	expect(summaries(await client.send(smtpMail()))[0]).toMatch(ENDED);
	expect(server.peers).toHaveLength(2);
});

test("a body that can be read once goes to a new connection only if it was not begun", async () => {
	for (const step of ["MAIL", "data"] as const) {
		const lose: Answer = (peer) => {
			if (peer.messages.length === 0) return step === "MAIL" ? "250 ok" : "354 go on";
			if (step === "MAIL") return close(peer);
			peer.gotData(1).then(() => peer.socket.destroy());
			return "354 go on";
		};
		const server = await SmtpTestServer.start({ [step === "MAIL" ? "MAIL" : "DATA"]: lose }, {});
		const client = server.client();
		await client.send(smtpMail());
		async function* chunks() {
			yield Buffer.from("begun\n");
			if (step === "data") await (await server.peer()).gone();
		}
		const [result = ""] = summaries(await client.send(smtpMail({ body: onceBody(6, chunks) })));
		if (step === "MAIL") expect(result).toBe("K250 2.0.0 queued");
		else expect(result).toMatch(/^Z/);
		expect(server.peers).toHaveLength(step === "MAIL" ? 2 : 1);
	}
});

test("a used connection that is lost after the data is not replaced", async () => {
	let messages = 0;
	const message: Answer = (peer) => (messages++ === 0 ? "250 ok" : close(peer));
	const server = await SmtpTestServer.start({ message }, {});
	const client = server.client();
	await client.send(smtpMail());
	expect(summaries(await client.send(smtpMail()))[0]).toMatch(ENDED_LATE);
	expect(server.peers).toHaveLength(1);
});

test("a reply too many is not taken for one to the next message", async () => {
	const server = await SmtpTestServer.start({ message: "250 ok\r\n250 ok again" }, {});
	const client = server.client();
	const results = await Promise.all([client.send(smtpMail()), client.send(smtpMail())]);
	expect(results.flatMap(summaries)).toEqual(["K250 ok", "K250 2.0.0 queued"]);
	expect(server.peers).toHaveLength(2);
});

test("a reply without an end is not read for ever", async () => {
	const server = await SmtpTestServer.start({ MAIL: `250-${"x".repeat(100_000)}` });
	expect(summaries(await server.client().send(smtpMail()))[0]).toMatch(/ERR_QMTP_CONNECTION_LOST$/);
});
