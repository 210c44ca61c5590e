/** How connections are used again, and how they end. */
import { expect, test } from "vitest";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { Gate, turns } from "../support/server-signal.js";
import { onceBody, SmtpTestServer, smtpMail, summaries } from "../support/smtp-peer.js";

noUnhandledRejections();

const EACH = ["MAIL FROM:<sender@example.com> BODY=8BITMIME", "RCPT TO:<rcpt@example.com>", "DATA"];

test("messages go one after the other over one connection, in the order of the calls", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client();
	const bodies = ["1\n", "2\n", "3\n"];
	const results = await Promise.all(bodies.map((body) => client.send(smtpMail({ body }))));
	expect(results.flatMap(summaries)).toEqual(bodies.map(() => "K250 2.0.0 queued"));
	expect(server.messages.map(({ data }) => data)).toEqual(["1\r\n", "2\r\n", "3\r\n"]);
	expect((await server.peer()).commands).toEqual(["EHLO client.test", ...EACH, ...EACH, ...EACH]);
});

test("a transaction that did not end is reset before the next", async () => {
	let refusals = 0;
	const server = await SmtpTestServer.start({ RCPT: () => (refusals++ === 0 ? "550 no" : "250 ok") });
	const client = server.client();
	await client.send(smtpMail());
	await client.send(smtpMail());
	await client.send(smtpMail());
	const [mail = "", rcpt = ""] = EACH;
	expect((await server.peer()).commands).toEqual(["EHLO client.test", mail, rcpt, "RSET", ...EACH, ...EACH]);
});

test("a connection that cannot be reset is replaced", async () => {
	for (const RSET of ["500 no", null]) {
		const server = await SmtpTestServer.start({ RCPT: "550 no", RSET }, {});
		const client = server.client({ timeouts: { response: 250 } });
		await client.send(smtpMail());
		expect(summaries(await client.send(smtpMail()))).toEqual(["K250 2.0.0 queued"]);
		expect(server.peers).toHaveLength(2);
	}
});

test("after so many messages a connection ends with QUIT", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client({ maxMessages: 2 });
	await Promise.all([1, 2, 3].map(() => client.send(smtpMail())));
	expect(server.peers.map(({ messages }) => messages.length)).toEqual([2, 1]);
	const [first] = server.peers;
	await first?.gone();
	expect(first?.commands.at(-1)).toBe("QUIT");
});

test("after its time a connection ends with QUIT, and gets no further message", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client({ timeouts: { session: 1 } });
	await client.send(smtpMail());
	await (await server.peer()).said("QUIT");
	await client.send(smtpMail());
	expect(server.peers).toHaveLength(2);
});

test("a connection with nothing to do ends with QUIT", async () => {
	const server = await SmtpTestServer.start({});
	await server.client({ timeouts: { idle: 20 } }).send(smtpMail());
	const peer = await server.peer();
	await peer.said("QUIT");
	await peer.gone();
});

test("a server that closes an idle connection, with and without a 421, is no failure", async () => {
	for (const farewell of ["421 4.4.2 idle\r\n", ""]) {
		const server = await SmtpTestServer.start({});
		const client = server.client();
		await client.send(smtpMail());
		const peer = await server.peer();
		peer.socket.end(farewell);
		await peer.gone();
		expect(summaries(await client.send(smtpMail()))).toEqual(["K250 2.0.0 queued"]);
		expect(server.peers).toHaveLength(2);
	}
});

test("close() waits for the calls, says QUIT, and refuses later calls", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client();
	const calls = [client.send(smtpMail()), client.send(smtpMail())];
	await client.close();
	expect((await Promise.all(calls)).flatMap(summaries)).toEqual(["K250 2.0.0 queued", "K250 2.0.0 queued"]);
	expect((await server.peer()).commands.at(-1)).toBe("QUIT");
	await expect(client.send(smtpMail())).rejects.toMatchObject({ code: "ERR_QMTP_CLIENT_CLOSED" });
	await client.close();
});

test("close() of a client that was never used, and of one that lost its connection", async () => {
	const server = await SmtpTestServer.start({});
	await server.client().close();
	const client = server.client();
	await client.send(smtpMail());
	(await server.peer()).socket.destroy();
	await client[Symbol.asyncDispose]();
});

test("close() ends also if the server closes instead of answering QUIT", async () => {
	const server = await SmtpTestServer.start({
		QUIT: (peer) => {
			peer.socket.destroy();
			return null;
		},
	});
	const client = server.client();
	await client.send(smtpMail());
	await client.close();
});

test("destroy() ends the connection, and what is under way or waits is a Z", async () => {
	const server = await SmtpTestServer.start({ RCPT: null });
	const client = server.client();
	const calls = [client.send(smtpMail()), client.send(smtpMail())];
	await (await server.peer()).said("RCPT");
	client.destroy();
	expect((await Promise.all(calls)).flatMap(summaries)).toEqual([
		"Zthe client was destroyed (#4.4.2) | ERR_QMTP_DESTROYED",
		"Zthe client was destroyed (#4.4.2) | ERR_QMTP_DESTROYED",
	]);
	await client.close();
	await (await server.peer()).gone();
	expect(server.peers).toHaveLength(1);
});

test("destroy() on a used connection does not connect again, and tells what may be a duplicate", async () => {
	const hanging = new Gate<string>();
	const server = await SmtpTestServer.start({
		message: ({ messages }) => (messages.length === 1 ? "250 ok" : hanging.promise),
	});
	const client = server.client();
	await client.send(smtpMail());
	const call = client.send(smtpMail());
	const peer = await server.peer();
	await peer.changes.until(() => peer.messages.length === 2);
	client.destroy();
	expect(summaries(await call)).toEqual([
		"Zthe client was destroyed (#4.4.2) | ERR_QMTP_DESTROYED | possibly accepted",
	]);
	await client.close();
	expect(server.peers).toHaveLength(1);
	hanging.open("250 late");
});

test("destroy() while it connects, or before it can", async () => {
	const server = await SmtpTestServer.start({ greeting: null });
	const early = server.client();
	const call = early.send(smtpMail());
	early.destroy();
	const late = server.client();
	const lateCall = late.send(smtpMail());
	await server.peer();
	await turns();
	late.destroy();
	for (const results of [await call, await lateCall]) {
		expect(summaries(results)).toEqual(["Zthe client was destroyed (#4.4.2) | ERR_QMTP_DESTROYED"]);
	}
	await Promise.all([early.close(), late.close()]);
});

test("a call is given up before it begins", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client();
	const signal = AbortSignal.abort(new Error("changed my mind"));
	await expect(client.send(smtpMail(), { signal })).rejects.toThrow("changed my mind");
	expect(server.peers).toHaveLength(0);
});

for (const step of ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "message"] as const) {
	test(`a call is given up at ${step}: its connection is closed, and the next call has a new one`, async () => {
		const reached = new Gate();
		const server = await SmtpTestServer.start(
			{
				[step]: () => {
					reached.open();
					return null;
				},
			},
			{},
		);
		const client = server.client();
		const stop = new AbortController();
		const call = client.send(smtpMail(), { signal: stop.signal });
		const next = client.send(smtpMail());
		await reached.promise;
		stop.abort(new Error("too slow"));
		await expect(call).rejects.toThrow("too slow");
		await (await server.peer()).gone();
		expect(summaries(await next)).toEqual(["K250 2.0.0 queued"]);
		expect(server.peers).toHaveLength(2);
	});
}

test("a call is given up in the middle of its body: the server never gets a whole message", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client();
	const stop = new AbortController();
	async function* chunks() {
		yield Buffer.alloc(100_000, "x\n");
		await (await server.peer()).gotData(100_000);
		stop.abort(new Error("enough"));
		yield Buffer.alloc(100_000, "x\n");
	}
	const body = onceBody(200_000, chunks);
	await expect(client.send(smtpMail({ body }), { signal: stop.signal })).rejects.toThrow("enough");
	await (await server.peer()).gone();
	expect(server.messages).toEqual([]);
});

test("a call that waits is given up at once, and the one under way goes on", async () => {
	const gate = new Gate<string>();
	const server = await SmtpTestServer.start({ message: () => gate.promise });
	const client = server.client();
	const stop = new AbortController();
	const call = client.send(smtpMail());
	const waiting = client.send(smtpMail(), { signal: stop.signal });
	stop.abort(new Error("never mind"));
	await expect(waiting).rejects.toThrow("never mind");
	gate.open("250 ok");
	expect(summaries(await call)).toEqual(["K250 ok"]);
	await client.close();
	expect(server.messages).toHaveLength(1);
});
