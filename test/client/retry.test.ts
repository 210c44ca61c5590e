/** What is sent again after a connection failed, and what must not be. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { SendOptions } from "../../src/client/client.js";
import type { SendResult } from "../../src/client/result.js";
import { mail, statuses, unanswered } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { type ScriptedConnection, ScriptedServer } from "../support/client-server.js";
import { Gate } from "../support/server-signal.js";

noUnhandledRejections();

const BYTES = 8 * 1024 * 1024; // more than the sockets' buffers hold
const LARGE = Buffer.alloc(BYTES, "0123456789abcdef");

/** Lets the first connection fail in one of these ways, and answers on the others. */
function failingOnce(fail: (connection: ScriptedConnection) => unknown): Promise<ScriptedServer> {
	return ScriptedServer.start((connection) => {
		return connection.number === 0 ? fail(connection) : connection.answerAll();
	});
}

const failures: Record<string, (connection: ScriptedConnection) => unknown> = {
	"that ended": async (connection) => {
		await connection.receivedBytes(100_000);
		connection.socket.end();
	},
	"that was reset": async (connection) => {
		await connection.receivedBytes(100_000);
		connection.socket.resetAndDestroy();
	},
	"on which rubbish came": async (connection) => {
		await connection.receivedBytes(100_000);
		connection.write("rubbish");
	},
};

describe.each(Object.keys(failures))("a package not wholly handed over to a connection %s", (way) => {
	const fail = failures[way] as (connection: ScriptedConnection) => unknown;
	const repeatable: Record<string, () => Partial<SendOptions>> = {
		bytes: () => ({ message: LARGE }),
		"a file": () => ({ message: { path: largeFile() } }),
		"a stream that was spooled": () => ({ message: pieces() }),
	};

	test.each(Object.keys(repeatable))("is sent again once if it is %s", async (kind) => {
		const server = await failingOnce(fail);
		const result = await server.client().send(mail((repeatable[kind] as () => Partial<SendOptions>)()));
		expect(statuses(result)).toBe("K");
		expect(server.connections).toHaveLength(2);
		expect(server.bodies.map((body) => Buffer.from(body, "latin1").equals(LARGE))).toEqual([true]);
	});

	test("is Z, and surely not accepted, if it is a stream", async () => {
		const server = await failingOnce(fail);
		const result = await server.client().send(mail({ message: pieces(), size: BYTES, encoding: "lf" }));
		expect(statuses(result)).toBe("Z");
		expect(result.responses[0]?.possiblyAccepted).toBe(false);
		expect(server.connections).toHaveLength(1);
	});

	test("is sent twice and not three times", async () => {
		const server = await ScriptedServer.start(fail);
		const result = await server.client().send(mail({ message: LARGE }));
		expect(statuses(result)).toBe("Z");
		expect(result.responses[0]?.possiblyAccepted).toBe(false);
		expect(server.connections).toHaveLength(2);
	});
});

test("a package written whole is Z, possibly accepted, and is not sent again", async () => {
	const server = await failingOnce(async (connection) => {
		await connection.received();
		connection.socket.end();
	});
	const result = await server.client().send(mail({ message: LARGE.subarray(0, 1024 * 1024) }));
	expect(result.responses).toEqual([unanswered("ERR_QMTP_CONNECTION_CLOSED", true)]);
	expect(server.connections).toHaveLength(1);
});

test("one connection fails: what was written is Z, what was begun goes again, what was queued just goes", async () => {
	const server = await failingOnce(async (connection) => {
		await connection.received();
		await connection.receivedBytes(100_000);
		connection.socket.end();
	});
	const client = server.client();
	async function* stream() {
		yield Buffer.from("streamed");
	}
	const results = await Promise.all([
		client.send(mail({ message: "written" })),
		client.send(mail({ message: LARGE })),
		client.send(mail({ message: "queued" })),
		client.send(mail({ message: stream(), size: 8, encoding: "lf" })),
	]);
	expect(results.map(statuses)).toEqual(["Z", "K", "K", "K"]);
	expect(results[0]?.responses[0]?.possiblyAccepted).toBe(true);
	expect(server.connections).toHaveLength(2);
	expect(server.bodies.map((body) => body.slice(0, 10))).toEqual([
		"written",
		"0123456789",
		"queued",
		"streamed",
	]);
});

test("a package that was begun is Z, not an error, if there is no second connection", async () => {
	const server = await ScriptedServer.start(async (connection) => {
		await connection.receivedBytes(100_000);
		server.stopListening();
		connection.socket.end();
	});
	const client = server.client();
	const begun = client.send(mail({ message: LARGE }));
	const queued = client.send(mail());
	expect((await begun).responses).toEqual([unanswered("ERR_QMTP_CONNECT", false)]);
	await expect(queued).rejects.toMatchObject({ name: "TransportError", code: "ERR_QMTP_CONNECT" });
});

describe("a server that closes each connection at once", () => {
	const close = ({ socket }: ScriptedConnection) => socket.end();

	test("a call ends with Z after two connections", async () => {
		const server = await ScriptedServer.start(close);
		const result = await server.client().send(mail());
		expect(result.responses).toEqual([unanswered("ERR_QMTP_CONNECTION_CLOSED", false)]);
		expect(server.connections).toHaveLength(2);
	});

	test("a hundred calls do not make more connections than one", async () => {
		const server = await ScriptedServer.start(close);
		const client = server.client();
		const results = await Promise.all(Array.from({ length: 100 }, () => client.send(mail())));
		expect(results.map(statuses)).toEqual(Array(100).fill("Z"));
		expect(server.connections).toHaveLength(2);
	});

	test("a stream that was not begun has its second connection too", async () => {
		const server = await failingOnce(close);
		async function* stream() {
			yield Buffer.from("streamed");
		}
		const result = await server.client().send(mail({ message: stream(), size: 8, encoding: "lf" }));
		expect(statuses(result)).toBe("K");
		expect(server.connections).toHaveLength(2);
	});
});

test("a server that takes one package a connection gets each of them once", async () => {
	const server = await ScriptedServer.start(async (connection) => {
		await connection.received();
		connection.socket.end("1:K,");
	});
	const client = server.client({ limits: { pipelined: 1 } });
	const messages = Array.from({ length: 20 }, (_, index) => `message ${index}`);
	const results = await Promise.all(messages.map((message) => client.send(mail({ message }))));
	// What is written behind the first answer, and before the end that follows it was read, is lost or is not.
	const answered = server.connections.map(({ packages }) => packages[0]?.body);
	expect(messages.filter((_, index) => statuses(results[index] as SendResult) === "K")).toEqual(answered);
	for (const { responses } of results) {
		if (responses[0]?.status === "Z") expect(responses[0].possiblyAccepted).toBe(true);
	}
	expect(new Set(server.bodies).size).toBe(server.bodies.length);
});

test("the second connection is made when the first one's answers are not all there", async () => {
	const answer = new Gate();
	const server = await ScriptedServer.start(async (connection) => {
		if (connection.number > 0) return connection.answerAll();
		await connection.received();
		await answer.promise;
		connection.socket.end("1:K,");
	});
	const client = server.client();
	const controller = new AbortController();
	async function* stream() {
		yield Buffer.from("half");
		controller.abort(new Error("given up"));
		yield Buffer.from("never sent");
	}
	const first = client.send(mail({ message: "first" }));
	const given = client.send(mail({ message: stream(), size: 100, encoding: "lf" }), controller);
	await expect(given).rejects.toThrow("given up");
	expect(statuses(await client.send(mail({ message: "third" })))).toBe("K");
	answer.open();
	expect(statuses(await first)).toBe("K");
	expect(server.bodies).toEqual(["first", "third"]);
});

async function* pieces(): AsyncGenerator<Uint8Array> {
	for (let at = 0; at < BYTES; at += 50_000) yield LARGE.subarray(at, at + 50_000);
}

function largeFile(): string {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-test-"));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	writeFileSync(join(folder, "message"), LARGE);
	return join(folder, "message");
}
