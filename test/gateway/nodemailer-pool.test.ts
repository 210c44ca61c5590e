import { getEventListeners } from "node:events";
import { Readable } from "node:stream";
import { createTransport, type Mail } from "nodemailer";
import { expect, onTestFinished, test } from "vitest";
import {
	type QmtpMailError,
	type QmtpSentMessageInfo,
	type QmtpTransportOptions,
	qmtpTransport,
} from "../../src/gateway/nodemailer.js";
import {
	accept,
	acceptingServer,
	type ScriptedConnection,
	ScriptedServer,
} from "../support/client-server.js";
import { Gate, Signal, turns } from "../support/server-signal.js";

type Mailer = Mail<QmtpSentMessageInfo>;

/** A mailer for a server. It is closed when the test is over. */
function mailerOf(options: QmtpTransportOptions): Mailer {
	const mailer = createTransport(qmtpTransport(options));
	onTestFinished(() => mailer.close({ force: true }));
	return mailer;
}

function mail(number: number, more = {}) {
	return { from: "me@example.org", to: `rcpt${number}@example.com`, text: `mail ${number}`, ...more };
}

/** What `sendMail` fails with. */
function failure(sending: Promise<unknown>): Promise<QmtpMailError> {
	return sending.then(
		() => Promise.reject(new Error("it was sent")),
		(error) => error,
	);
}

function sendAll(mailer: Mailer, count: number): Promise<QmtpSentMessageInfo[]> {
	return Promise.all(Array.from({ length: count }, (_, number) => mailer.sendMail(mail(number))));
}

/** A server that answers when the test says so, and then all that comes. */
async function holdingServer() {
	const gate = new Gate();
	const server = await ScriptedServer.start(async (connection) => {
		await gate.promise;
		await connection.answerAll();
	});
	onTestFinished(() => gate.open()); // before the server's own end: what is last comes first
	return { server, release: () => gate.open() };
}

function packages({ connections }: ScriptedServer): number {
	return connections.reduce((sum, connection) => sum + connection.packages.length, 0);
}

test("200 messages at once go over one connection, and each is accepted", async () => {
	const server = await acceptingServer();
	const infos = await sendAll(mailerOf({ port: server.port }), 200);
	expect(infos.map(({ accepted }) => accepted[0])).toEqual(
		infos.map((_, number) => `rcpt${number}@example.com`),
	);
	expect(server.connections).toHaveLength(1);
	expect(new Set(server.bodies.map((body) => /mail \d+/.exec(body)?.[0])).size).toBe(200);
});

test("200 messages at once share the connections of a pool", async () => {
	const server = await acceptingServer();
	const infos = await sendAll(mailerOf({ port: server.port, pool: true, maxConnections: 3 }), 200);
	expect(infos.filter(({ accepted }) => accepted.length === 1)).toHaveLength(200);
	expect(server.connections).toHaveLength(3);
	for (const connection of server.connections) expect(connection.packages.length).toBeGreaterThan(50);
});

test("a pool has five connections at most, and no more than it has messages", async () => {
	const { server, release } = await holdingServer();
	const mailer = mailerOf({ port: server.port, pool: true });
	const first = [mailer.sendMail(mail(1)), mailer.sendMail(mail(2))];
	await server.changes.until(() => server.connections.length === 2);
	const all = Promise.all([...first, sendAll(mailer, 20)]);
	await server.changes.until(() => server.connections.length === 5);
	release();
	await all;
	expect(server.connections).toHaveLength(5);
});

test("a message waits, unopened, while a connection has a hundred under way", async () => {
	const { server, release } = await holdingServer();
	const mailer = mailerOf({ port: server.port });
	const hundred = sendAll(mailer, 99);
	expect(mailer.isIdle()).toBe(true);
	const last = mailer.sendMail(mail(99));
	expect(mailer.isIdle()).toBe(false);
	let opened = false;
	const content = new Readable({
		read() {
			opened = true;
			this.push(null);
		},
	});
	const waiting = mailer.sendMail(mail(100, { attachments: [{ content }] }));
	const connection = await server.connection();
	await connection.received(100);
	await turns(100);
	expect(opened).toBe(false);
	release();
	await Promise.all([hundred, last, waiting]);
	expect(opened).toBe(true);
	expect(packages(server)).toBe(101);
});

test("who sends while the mailer is idle, and goes on when it becomes idle again, sends all", async () => {
	const server = await acceptingServer();
	const mailer = mailerOf({ port: server.port, pool: true, maxConnections: 2 });
	const sent: Promise<unknown>[] = [];
	let idles = 0;
	const done = new Gate();
	mailer.on("idle", () => {
		idles++;
		while (mailer.isIdle() && sent.length < 500) sent.push(mailer.sendMail(mail(sent.length)));
		if (sent.length === 500) done.open();
	});
	await done.promise;
	await Promise.all(sent);
	expect(packages(server)).toBe(500);
	expect(idles).toBeGreaterThan(1); // 200 at a time
});

test("a connection that has had its messages is replaced, and there are never more than allowed", async () => {
	let open = 0;
	let most = 0;
	const server = await ScriptedServer.start(async (connection) => {
		most = Math.max(most, ++open);
		connection.socket.on("close", () => open--);
		await connection.answerAll();
	});
	const mailer = mailerOf({ port: server.port, pool: true, maxConnections: 2, maxMessages: 3 });
	await sendAll(mailer, 20);
	expect(server.connections.map((connection: ScriptedConnection) => connection.packages.length)).toEqual([
		...[3, 3, 3, 3, 3, 3],
		2,
	]);
	expect(most).toBe(2);
});

test("with one message a connection each has its own", async () => {
	const server = await acceptingServer();
	const mailer = mailerOf({ port: server.port, maxMessages: 1 });
	await sendAll(mailer, 4);
	await mailer.sendMail(mail(4));
	expect(server.connections).toHaveLength(5);
});

test("close lets out the mail that it has, waiting mail too, and refuses what comes later", async () => {
	const { server, release } = await holdingServer();
	const mailer = mailerOf({ port: server.port });
	const cleared = new Gate();
	mailer.on("clear", () => cleared.open());
	const sending = sendAll(mailer, 150);
	await (await server.connection()).received(100);
	mailer.close();
	expect(mailer.isIdle()).toBe(false);
	const late = await failure(mailer.sendMail(mail(150)));
	expect(late).toMatchObject({ code: "ECONNECTION", message: "The transport was closed" });
	release();
	expect(await sending).toHaveLength(150);
	await cleared.promise;
	expect(server.connections[0]?.ended).toBe(true);
});

test("close with force fails the mail under way, which may have arrived, and what waits, which has not", async () => {
	const { server } = await holdingServer();
	const mailer = mailerOf({ port: server.port });
	const sending = Array.from({ length: 101 }, (_, number) => failure(mailer.sendMail(mail(number))));
	await (await server.connection()).received(100);
	await mailer.close({ force: true });
	const errors = await Promise.all(sending);
	for (const error of errors.slice(0, 100)) {
		expect(error).toMatchObject({
			code: "ECONNECTION",
			possiblyAccepted: true,
			cause: { code: "ERR_QMTP_DESTROYED" },
		});
	}
	expect(errors[100]).toMatchObject({ code: "ECONNECTION", message: "The transport was closed" });
	expect(errors[100]?.possiblyAccepted).toBeUndefined();
});

test("close ends a router's mail only with force, and not the router", async () => {
	let signal: AbortSignal | undefined;
	const router = {
		deliver: (_: unknown, call: { readonly signal: AbortSignal }) => {
			signal = call.signal;
			return new Promise<never>((_, reject) => {
				call.signal.addEventListener("abort", () => reject(call.signal.reason));
			});
		},
	};
	const mailer = createTransport(qmtpTransport({ router }));
	const sending = failure(mailer.sendMail(mail(1)));
	mailer.close();
	await turns();
	expect(signal?.aborted).toBe(false);
	mailer.close({ force: true });
	expect(await sending).toMatchObject({ code: "ECONNECTION", message: "The transport was closed" });
});

test("a signal that was given before the call stops it before there is a connection", async () => {
	const server = await acceptingServer();
	const mailer = mailerOf({ port: server.port });
	const signal = AbortSignal.abort(new Error("never mind"));
	const error = await failure(mailer.sendMail(mail(1, { signal })));
	expect(error).toMatchObject({ code: "EABORT", name: "AbortError" });
	await mailer.close();
	expect(server.connections).toEqual([]);
});

test("a signal that was given while a plugin worked stops it before it is sent", async () => {
	const server = await acceptingServer();
	const transport = qmtpTransport({ port: server.port });
	const mailer = createTransport(transport);
	const abort = new AbortController();
	const reason = new Error("never mind");
	const error = await new Promise((resolve) => {
		mailer.use("stream", (stopped) => {
			abort.abort(reason);
			transport.send(stopped, resolve);
		});
		mailer.sendMail(mail(1, { signal: abort.signal })).catch(() => {});
	});
	expect(error).toMatchObject({ code: "EABORT", name: "AbortError", cause: reason });
	await mailer.close();
	expect(server.connections).toEqual([]);
});

test("a signal stops a message that waits, and the others go on", async () => {
	const { server, release } = await holdingServer();
	const mailer = mailerOf({ port: server.port });
	const hundred = sendAll(mailer, 100);
	const abort = new AbortController();
	const reason = new Error("never mind");
	const waiting = failure(mailer.sendMail(mail(100, { signal: abort.signal })));
	await (await server.connection()).received(100);
	abort.abort(reason);
	expect(await waiting).toMatchObject({ code: "EABORT", name: "AbortError", cause: reason });
	release();
	await hundred;
	expect(packages(server)).toBe(100);
});

test("a signal stops a message whose attachment hangs, and lets go of the attachment", async () => {
	const server = await acceptingServer();
	const mailer = mailerOf({ port: server.port });
	const abort = new AbortController();
	const asked = new Gate();
	const content = new Readable({ read: () => asked.open() });
	const closed = new Promise((resolve) => content.on("close", resolve));
	const sending = failure(mailer.sendMail(mail(1, { signal: abort.signal, attachments: [{ content }] })));
	await asked.promise;
	abort.abort();
	expect(await sending).toMatchObject({ code: "EABORT" });
	await closed;
	await mailer.sendMail(mail(2));
	expect(packages(server)).toBe(1);
});

test("a signal ends the wait for an answer, and the messages beside it get theirs", async () => {
	const { server, release } = await holdingServer();
	const mailer = mailerOf({ port: server.port });
	const abort = new AbortController();
	const stopped = failure(mailer.sendMail(mail(1, { signal: abort.signal })));
	const others = sendAll(mailer, 10);
	await (await server.connection()).received(11);
	abort.abort();
	expect(await stopped).toMatchObject({ code: "EABORT" });
	release();
	expect((await others).flatMap(({ rejected }) => rejected)).toEqual([]);
	expect(server.connections).toHaveLength(1);
});

test("a signal is heard no more when the mail was sent", async () => {
	const server = await acceptingServer();
	const mailer = mailerOf({ port: server.port });
	const { signal } = new AbortController();
	await mailer.sendMail(mail(1, { signal }));
	expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("a signal ends the wait for a router that does not listen to it", async () => {
	const asked = new Signal();
	let calls = 0;
	const deliver = () => {
		calls++;
		asked.notify();
		return new Promise<never>(() => {});
	};
	const mailer = createTransport(qmtpTransport({ router: { deliver } }));
	const abort = new AbortController();
	const sending = failure(mailer.sendMail(mail(1, { signal: abort.signal })));
	await asked.until(() => calls === 1);
	abort.abort();
	expect(await sending).toMatchObject({ code: "EABORT" });
});

test("a lost connection is made anew, and what surely did not arrive goes out once more", async () => {
	const server = await ScriptedServer.start(async (connection) => {
		if (connection.number > 0) return connection.answerAll();
		connection.write(accept(await connection.received()));
		await connection.receivedBytes(connection.bytes + 1);
		connection.socket.destroy();
	});
	const mailer = mailerOf({ port: server.port });
	await mailer.sendMail(mail(1));
	const large = "x".repeat(4_000_000);
	const info = await mailer.sendMail(mail(2, { text: large }));
	expect(info.accepted).toEqual(["rcpt2@example.com"]);
	expect(server.connections).toHaveLength(2);
});
