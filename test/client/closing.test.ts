/** The end of a client, and connections that are not there: close, destroy, refusal, and time. */
import { describe, expect, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { TransportError } from "../../src/errors.js";
import { deafPort } from "../support/client-deaf-server.js";
import { mail, statuses, unanswered } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer, ScriptedServer } from "../support/client-server.js";
import { hangingSource } from "../support/client-sources.js";
import { Gate, turns } from "../support/server-signal.js";

noUnhandledRejections();

describe("close()", () => {
	test("waits for the calls under way, queued ones included, and then ends the connection", async () => {
		const answer = new Gate();
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await answer.promise;
			await connection.answerAll();
		});
		const client = server.client({ limits: { pipelined: 1 } });
		const calls = [client.send(mail()), client.send(mail()), client.send(mail())];
		let closed = false;
		const closing = client.close().then(() => {
			closed = true;
		});
		await (await server.connection()).received();
		await turns();
		expect(closed).toBe(false);
		answer.open();
		expect((await Promise.all(calls)).map(statuses)).toEqual(["K", "K", "K"]);
		await closing;
		expect(server.connections[0]?.ended).toBe(true);
		expect(server.connections[0]?.error).toBeNull();
	});

	test("waits for a message that is still spooled", async () => {
		const server = await acceptingServer();
		const client = server.client();
		const source = hangingSource("Readable", [Buffer.from("in ")]);
		const call = client.send(mail({ message: source.message }));
		const closing = client.close();
		await source.asked;
		source.more.open([Buffer.from("time")]);
		await closing;
		expect(statuses(await call)).toBe("K");
		expect(server.bodies).toEqual(["in time"]);
	});

	test("works on a client that never sent, more than once, and after destroy()", async () => {
		const server = await acceptingServer();
		const client = server.client();
		expect(client.close()).toBe(client.close());
		await client.close();
		client.destroy();
		client.destroy();
		await client.close();
		expect(server.connections).toHaveLength(0);
	});

	test("does not wait for a connection that nobody wants any more", async () => {
		const port = await deafPort();
		const client = new QmtpClient({ port });
		const controller = new AbortController();
		const call = client.send(mail(), controller);
		await turns();
		controller.abort(new Error("given up"));
		await expect(call).rejects.toThrow("given up");
		await client.close();
	});

	test("does not wait long for an answer that nobody wants any more", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.end();
			connection.socket.end();
		});
		const client = server.client();
		const controller = new AbortController();
		const call = client.send(mail(), controller);
		await (await server.connection()).received();
		controller.abort(new Error("given up"));
		await expect(call).rejects.toThrow("given up");
		await client.close();
	});

	test("await using closes the client", async () => {
		const server = await acceptingServer();
		{
			await using client = new QmtpClient({ port: server.port });
			expect(statuses(await client.send(mail()))).toBe("K");
		}
		await (await server.connection()).end();
	});
});

describe("destroy()", () => {
	test("calls under way are Z: written ones possibly accepted, the others surely not", async () => {
		const server = await ScriptedServer.start((connection) => connection.gone());
		const client = server.client({ limits: { pipelined: 2 } });
		const calls = [1, 2, 3, 4].map(() => client.send(mail()));
		await (await server.connection()).received(2);
		client.destroy();
		const results = await Promise.all(calls);
		expect(results.map(({ responses }) => responses[0])).toEqual(
			[true, true, false, false].map((possibly) => unanswered("ERR_QMTP_DESTROYED", possibly)),
		);
		await client.close();
		await server.connections[0]?.gone();
		expect(server.connections).toHaveLength(1);
	});

	test("a package under way is not sent again on another connection", async () => {
		const server = await ScriptedServer.start(({ socket }) => {
			socket.pause();
		});
		const client = server.client();
		const begun = new Gate();
		const message = Buffer.alloc(16 * 1024 * 1024);
		const call = client.send(mail({ message, onProgress: () => begun.open() }));
		await begun.promise;
		client.destroy();
		expect((await call).responses).toEqual([unanswered("ERR_QMTP_DESTROYED", false)]);
		await client.close();
		await turns();
		expect(server.connections).toHaveLength(1);
	});

	test("while the client connects", async () => {
		const server = await acceptingServer();
		const client = server.client();
		const call = client.send(mail());
		client.destroy();
		expect((await call).responses).toEqual([unanswered("ERR_QMTP_DESTROYED", false)]);
		await client.close();
		await turns();
		expect(server.bodies).toEqual([]);
	});

	test.each([0, 1, 2, 3, 5, 8])("%d turns after the call", async (count) => {
		const server = await acceptingServer();
		const client = server.client();
		const call = client.send(mail());
		await turns(count);
		client.destroy();
		const [response] = (await call).responses;
		if (response?.status === "Z" && !response.possiblyAccepted) expect(server.bodies).toEqual([]);
		await client.close();
		for (const connection of server.connections) await connection.gone();
	});

	test("by the caller's own progress report", async () => {
		const server = await acceptingServer();
		const client = server.client();
		const result = await client.send(mail({ onProgress: () => client.destroy() }));
		expect(statuses(result)).toBe("Z");
	});
});

describe("the idle timeout", () => {
	test("ends the connection, and the next call makes another", async () => {
		const server = await acceptingServer();
		const client = server.client({ timeouts: { idle: 30 } });
		expect(statuses(await client.send(mail()))).toBe("K");
		await (await server.connection()).end();
		expect(statuses(await client.send(mail()))).toBe("K");
		expect(server.connections).toHaveLength(2);
	});

	test("does not end a connection on which a message waits for its source", async () => {
		const server = await acceptingServer();
		const client = server.client({ timeouts: { idle: 10, response: 40 } });
		const source = hangingSource("generator", [Buffer.from("in ")]);
		const call = client.send(mail({ message: source.message, size: 7, encoding: "lf" }));
		await source.asked;
		await new Promise((resolve) => setTimeout(resolve, 100));
		source.more.open([Buffer.from("time")]);
		expect(statuses(await call)).toBe("K");
		expect(server.connections).toHaveLength(1);
	});
});

describe("no connection", () => {
	test("nothing listens there: the calls reject, and the next one may find a server", async () => {
		const server = await acceptingServer();
		server.stopListening();
		const { port } = server;
		const client = server.client();
		for (const call of [client.send(mail()), client.send(mail())]) {
			await expect(call).rejects.toBeInstanceOf(TransportError);
			await expect(call).rejects.toMatchObject({
				code: "ERR_QMTP_CONNECT",
				message: `no connection to 127.0.0.1:${port}: nothing listens there (connection refused)`,
				cause: expect.objectContaining({ code: "ECONNREFUSED" }),
			});
		}
		const another = await acceptingServer(port);
		expect(statuses(await client.send(mail()))).toBe("K");
		expect(another.connections).toHaveLength(1);
	});

	test("there is no host by that name", async () => {
		const client = new QmtpClient({ host: "nowhere.invalid" });
		await expect(client.send(mail())).rejects.toMatchObject({
			code: "ERR_QMTP_CONNECT",
			message: expect.stringMatching(
				/^no connection to nowhere\.invalid:209: (there is no host by that name|the name cannot be looked up now)$/,
			),
		});
		await client.close();
	});

	test("it does not come in time", async () => {
		const port = await deafPort();
		const client = new QmtpClient({ port, timeouts: { connect: 50 } });
		await expect(client.send(mail())).rejects.toMatchObject({
			code: "ERR_QMTP_CONNECT_TIMEOUT",
			message: `no connection to 127.0.0.1:${port} within 50 ms`,
		});
		await client.close();
	});
});
