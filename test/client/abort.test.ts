/** A call that is given up: it ends at once, and the others go on as if it had never been. */
import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { mail, recipients, statuses } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { accept, acceptingServer, ScriptedServer } from "../support/client-server.js";
import { EndlessSource, hangingSource, STREAM_KINDS } from "../support/client-sources.js";
import { Gate } from "../support/server-signal.js";

noUnhandledRejections();

const GIVEN_UP = new Error("given up");
const CHUNK = Buffer.from("first line\n");

test("a signal that was aborted before: nothing is sent, and no connection is made", async () => {
	const server = await acceptingServer();
	const call = server.client().send(mail(), { signal: AbortSignal.abort(GIVEN_UP) });
	await expect(call).rejects.toBe(GIVEN_UP);
	expect(server.connections).toHaveLength(0);
});

test("a signal that is aborted in the turn of the call", async () => {
	const server = await acceptingServer();
	const client = server.client();
	const controller = new AbortController();
	const call = client.send(mail({ message: "withdrawn" }), controller);
	controller.abort(GIVEN_UP);
	await expect(call).rejects.toBe(GIVEN_UP);
	expect(statuses(await client.send(mail({ message: "sent" })))).toBe("K");
	expect(server.bodies).toEqual(["sent"]);
});

test("without a reason it is an AbortError", async () => {
	const server = await acceptingServer();
	const controller = new AbortController();
	const call = server.client().send(mail(), controller);
	controller.abort();
	await expect(call).rejects.toMatchObject({ name: "AbortError" });
});

test("a signal that times out", async () => {
	const server = await ScriptedServer.start((connection) => connection.received());
	const call = server.client().send(mail(), { signal: AbortSignal.timeout(30) });
	await expect(call).rejects.toMatchObject({ name: "TimeoutError" });
});

describe.each(STREAM_KINDS)("a %s that hangs", (kind) => {
	// A generator hangs in code that nobody can interrupt: it is let go of when it wakes up.
	const canBeInterrupted = kind !== "generator";

	test("while it is spooled: the call ends at once, and the stream is let go of", async () => {
		const server = await acceptingServer();
		const client = server.client();
		const controller = new AbortController();
		const source = hangingSource(kind, [CHUNK]);
		const call = client.send(mail({ message: source.message }), controller);
		await source.asked;
		controller.abort(GIVEN_UP);
		await expect(call).rejects.toBe(GIVEN_UP);
		if (!canBeInterrupted) source.more.open([CHUNK, CHUNK]);
		await source.released;
		await client.close();
		expect(server.connections).toHaveLength(0);
	});

	test("while it is spooled for single recipients", async () => {
		const server = await acceptingServer();
		const client = server.client({ maxRecipientsPerPackage: 1 });
		const controller = new AbortController();
		const source = hangingSource(kind, [CHUNK]);
		const options = mail({ message: source.message, size: 100, recipients: recipients(2) });
		const call = client.send(options, controller);
		await source.asked;
		controller.abort(GIVEN_UP);
		await expect(call).rejects.toBe(GIVEN_UP);
		if (!canBeInterrupted) source.more.open([CHUNK, CHUNK]);
		await source.released;
	});

	test("while it is spooled since the server answers once a package: other calls go on", async () => {
		const server = await ScriptedServer.start((connection) => connection.answerAll(() => "1:K,"));
		const client = server.client({ timeouts: { response: 60 } });
		const controller = new AbortController();
		const source = hangingSource(kind, [CHUNK]);
		const first = client.send(mail({ recipients: recipients(2) }));
		const options = mail({ message: source.message, size: 100, recipients: recipients(2), encoding: "lf" });
		const second = client.send(options, controller);
		const third = client.send(mail());
		expect(statuses(await first)).toBe("ZZ");
		await source.asked;
		controller.abort(GIVEN_UP);
		await expect(second).rejects.toBe(GIVEN_UP);
		expect(statuses(await third)).toBe("K");
		if (!canBeInterrupted) source.more.open([]);
		await source.released;
	});

	test("in the middle of its package: the package is withdrawn by closing our direction", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			if (connection.number > 0) return connection.answerAll();
			await connection.end();
			connection.socket.end(connection.packages.map(accept).join(""));
		});
		const client = server.client();
		const controller = new AbortController();
		const source = hangingSource(kind, [CHUNK]);
		const before = [client.send(mail({ message: "1" })), client.send(mail({ message: "2" }))];
		const call = client.send(mail({ message: source.message, size: 100, encoding: "lf" }), controller);
		const connection = await server.connection();
		await connection.changes.until(() => connection.unread === "101:\nfirst line\n");
		await source.asked;
		const behind = client.send(mail({ message: "3" }));
		controller.abort(GIVEN_UP);
		await expect(call).rejects.toBe(GIVEN_UP);
		if (!canBeInterrupted) source.more.open([CHUNK]);
		await source.released;
		expect((await Promise.all([...before, behind])).map(statuses)).toEqual(["K", "K", "K"]);
		expect(server.connections.map(({ packages }) => packages.map(({ body }) => body))).toEqual([
			["1", "2"],
			["3"],
		]);
		expect(connection.unread).toBe("101:\nfirst line\n");
	});

	test("and the client is destroyed while it is spooled: Z, and no connection is made", async () => {
		const server = await acceptingServer();
		const client = server.client();
		const source = hangingSource(kind, [CHUNK]);
		const call = client.send(mail({ message: source.message }));
		await source.asked;
		client.destroy();
		const result = await call;
		expect(result.responses[0]).toMatchObject({ status: "Z", possiblyAccepted: false });
		expect(result.responses[0]?.error?.code).toBe("ERR_QMTP_DESTROYED");
		if (!canBeInterrupted) source.more.open([]);
		await source.released;
		await client.close();
		expect(server.connections).toHaveLength(0);
	});

	test("but was never read, since its turn did not come: it is let go of", async () => {
		const server = await ScriptedServer.start((connection) => connection.received());
		const client = server.client({ limits: { pipelined: 1 } });
		const controller = new AbortController();
		const source = hangingSource(kind, [CHUNK]);
		const first = client.send(mail({ message: "first" }), controller);
		const call = client.send(mail({ message: source.message, size: 100 }), controller);
		await (await server.connection()).received();
		controller.abort(GIVEN_UP);
		await expect(first).rejects.toBe(GIVEN_UP);
		await expect(call).rejects.toBe(GIVEN_UP);
		await source.released;
	});
});

test("a stream without an end is not read on when its call was given up", async () => {
	const server = await acceptingServer();
	const client = server.client();
	const controller = new AbortController();
	const source = new EndlessSource();
	const call = client.send(mail({ message: source }), controller);
	await source.changes.until(() => source.given >= 10);
	controller.abort(GIVEN_UP);
	await expect(call).rejects.toBe(GIVEN_UP);
	await source.changes.until(() => source.released);
});

test("a call that waits in the queue is never sent", async () => {
	const answer = new Gate();
	const server = await ScriptedServer.start(async (connection) => {
		await connection.received();
		await answer.promise;
		await connection.answerAll();
	});
	const client = server.client({ limits: { pipelined: 1 } });
	const controller = new AbortController();
	const first = client.send(mail({ message: "first" }));
	const queued = client.send(mail({ message: "queued" }), controller);
	const third = client.send(mail({ message: "third" }));
	await (await server.connection()).received();
	controller.abort(GIVEN_UP);
	await expect(queued).rejects.toBe(GIVEN_UP);
	answer.open();
	expect(statuses(await first)).toBe("K");
	expect(statuses(await third)).toBe("K");
	expect(server.bodies).toEqual(["first", "third"]);
});

test("a large message in memory stops in the middle, also if the server does not read", async () => {
	const server = await ScriptedServer.start((connection) => {
		if (connection.number > 0) return connection.answerAll();
		connection.socket.pause();
	});
	const client = server.client();
	const controller = new AbortController();
	const begun = new Gate();
	const message = Buffer.alloc(16 * 1024 * 1024);
	const call = client.send(mail({ message, onProgress: () => begun.open() }), controller);
	await begun.promise;
	const behind = client.send(mail({ message: "behind" }));
	controller.abort(GIVEN_UP);
	await expect(call).rejects.toBe(GIVEN_UP);
	expect(statuses(await behind)).toBe("K");
	const [first] = server.connections;
	first?.socket.resume();
	await first?.end();
	expect(first?.packages).toEqual([]);
	first?.socket.end();
});

test("a package that was written keeps its place: its answer is not taken for the next one's", async () => {
	const answer = new Gate();
	const server = await ScriptedServer.start(async (connection) => {
		await connection.received(2);
		await answer.promise;
		connection.write("1:K,1:D,");
	});
	const client = server.client();
	const controller = new AbortController();
	const first = client.send(mail(), controller);
	const second = client.send(mail());
	await (await server.connection()).received(2);
	controller.abort(GIVEN_UP);
	await expect(first).rejects.toBe(GIVEN_UP);
	answer.open();
	expect(statuses(await second)).toBe("D");
	expect(server.connections).toHaveLength(1);
});

test("an abort after the answer changes nothing", async () => {
	const server = await acceptingServer();
	const client = server.client();
	const controller = new AbortController();
	const result = await client.send(mail(), controller);
	expect(getEventListeners(controller.signal, "abort")).toEqual([]);
	controller.abort(GIVEN_UP);
	expect(statuses(result)).toBe("K");
	expect(statuses(await client.send(mail()))).toBe("K");
	expect(server.connections).toHaveLength(1);
});
