/** Many packages on one connection: how many at once, in how few writes, and what never holds them up. */
import { Socket } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { accepted } from "../../src/protocol/response.js";
import { memoryQueue } from "../../src/queue/memory.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { QmtpServer } from "../../src/server/server.js";
import { bytesOf } from "../support/bytes.js";
import { mail, recipients, statuses } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import {
	accept,
	acceptingServer,
	type ReceivedPackage,
	response,
	type ScriptedConnection,
	ScriptedServer,
} from "../support/client-server.js";
import { Gate, settled, turns } from "../support/server-signal.js";

noUnhandledRejections();

/** Reads until no more comes, and only then answers all of it, again and again. */
async function answerWhenQuiet(connection: ScriptedConnection, counts: number[]): Promise<void> {
	for (let answered = 0; !connection.ended; ) {
		await connection.changes.until(() => connection.packages.length > answered || connection.ended);
		await settled(() => connection.bytes);
		const fresh = connection.packages.slice(answered);
		counts.push(fresh.length);
		answered += fresh.length;
		connection.write(fresh.map(accept).join(""));
	}
}

describe("a thousand calls at once", () => {
	const answerOf = ({ body }: ReceivedPackage) => response(`${"KZD"[Number(body) % 3]}to ${body}`);

	test.each([1, 7, 4096, 1_000_000])("each gets its own answer, in chunks of %d bytes", async (size) => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received(1000);
			const bytes = bytesOf(connection.packages.map(answerOf).join(""));
			for (let at = 0; at < bytes.length; at += size) {
				connection.socket.write(bytes.subarray(at, at + size));
				if (at % 50 === 0) await turns(1);
			}
		});
		const client = server.client();
		const calls = Array.from({ length: 1000 }, (_, index) => client.send(mail({ message: `${index}` })));
		const results = await Promise.all(calls);
		expect(results.map(({ responses }) => responses[0])).toEqual(
			results.map((_, index) => ({
				recipient: "rcpt@example.com",
				status: "KZD"[index % 3],
				description: `to ${index}`,
			})),
		);
		expect(server.connections).toHaveLength(1);
		expect(server.bodies).toEqual(results.map((_, index) => `${index}`));
	});

	test("a real server takes them all", async () => {
		const queue = memoryQueue();
		const server = new QmtpServer({ queue, hooks: { recipient: acceptAnyone }, received: false });
		const { port } = (await server.listen({ port: 0, host: "127.0.0.1" })) as { port: number };
		const scripted = await acceptingServer(); // for its client, which is destroyed at the end
		const client = scripted.client({ port });
		const results = await Promise.all(
			Array.from({ length: 1000 }, (_, index) =>
				client.send(mail({ message: `${index}`, recipients: recipients(1 + (index % 3)) })),
			),
		);
		expect(results.every(({ accepted, responses }) => accepted.length === responses.length)).toBe(true);
		expect(queue.messages).toHaveLength(1000);
		await client.close();
		await server.close();
	});
});

describe("the limits", () => {
	test("limits.pipelined is the most that waits for answers", async () => {
		const counts: number[] = [];
		const server = await ScriptedServer.start((connection) => answerWhenQuiet(connection, counts));
		const client = server.client({ limits: { pipelined: 30 } });
		const results = await Promise.all(Array.from({ length: 100 }, () => client.send(mail())));
		expect(results.map(statuses).join("")).toBe("K".repeat(100));
		expect(Math.max(...counts)).toBe(30);
	});

	test("limits.inFlightBytes is the most of bodies that wait for answers", async () => {
		const counts: number[] = [];
		const server = await ScriptedServer.start((connection) => answerWhenQuiet(connection, counts));
		const client = server.client({ limits: { inFlightBytes: 5000 } });
		const message = "x".repeat(1000);
		const results = await Promise.all(Array.from({ length: 20 }, () => client.send(mail({ message }))));
		expect(results.map(statuses).join("")).toBe("K".repeat(20));
		expect(counts).toEqual([5, 5, 5, 5]);
	});

	test("a body larger than limits.inFlightBytes goes alone", async () => {
		const counts: number[] = [];
		const server = await ScriptedServer.start((connection) => answerWhenQuiet(connection, counts));
		const client = server.client({ limits: { inFlightBytes: 5000 } });
		const messages = ["a", "x".repeat(6000), "b", "c"];
		await Promise.all(messages.map((message) => client.send(mail({ message }))));
		expect(counts).toEqual([1, 1, 2]);
		expect(server.bodies).toEqual(messages);
	});
});

describe("packages with several recipients", () => {
	test("the first is sent alone, and when all its answers came the others are pipelined", async () => {
		const counts: number[] = [];
		const server = await ScriptedServer.start((connection) => answerWhenQuiet(connection, counts));
		const client = server.client();
		const calls = Array.from({ length: 10 }, () => client.send(mail({ recipients: recipients(3) })));
		expect((await Promise.all(calls)).map(statuses)).toEqual(Array(10).fill("KKK"));
		expect(counts).toEqual([1, 9]);
	});

	test("those with one recipient are pipelined at once, in front of the first with several and behind it", async () => {
		const counts: number[] = [];
		const server = await ScriptedServer.start((connection) => answerWhenQuiet(connection, counts));
		const client = server.client();
		const counted = [1, 1, 2, 1, 2, 1];
		const calls = counted.map((count) => client.send(mail({ recipients: recipients(count) })));
		expect((await Promise.all(calls)).map(statuses)).toEqual(["K", "K", "KK", "K", "KK", "K"]);
		expect(counts).toEqual([2, 1, 3]);
	});

	test("equal recipients have an answer each", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write("2:Ka,2:Db,2:Zc,");
		});
		const same = "rcpt@example.com";
		const result = await server.client().send(mail({ recipients: [same, same, same] }));
		expect(result.responses).toEqual([
			{ recipient: same, status: "K", description: "a" },
			{ recipient: same, status: "D", description: "b" },
			{ recipient: same, status: "Z", description: "c" },
		]);
	});
});

describe("writes", () => {
	test("calls made in one turn go out together", async () => {
		const server = await acceptingServer();
		const client = server.client();
		await client.send(mail());
		const connection = await server.connection();
		const before = connection.chunks;
		await Promise.all(Array.from({ length: 200 }, () => client.send(mail())));
		expect(connection.chunks - before).toBeLessThanOrEqual(2);
	});

	test("and so do calls made in the same turn by what waits for promises", async () => {
		const server = await acceptingServer();
		const client = server.client();
		await client.send(mail());
		const written = vi.spyOn(Socket.prototype, "write");
		const send = async (_: unknown, waits: number) => {
			for (let waited = 0; waited < waits; waited++) await null;
			return await client.send(mail());
		};
		await Promise.all(Array.from({ length: 200 }, send));
		const packages = written.mock.calls.filter(([bytes]) => String(bytes).includes("rcpt@example.com"));
		written.mockRestore();
		expect(packages.length).toBeLessThanOrEqual(2);
	});

	test("a package is on its way although the source of the next one gives nothing", async () => {
		const source = new Gate();
		const server = await acceptingServer();
		const client = server.client();
		async function* stream() {
			await source.promise;
			yield Buffer.from("late");
		}
		const first = client.send(mail({ message: "first" }));
		const second = client.send(mail({ message: stream(), size: 4, encoding: "lf" }));
		expect(statuses(await first)).toBe("K");
		source.open(); // so a source may even wait for the answer to the message in front of it
		expect(statuses(await second)).toBe("K");
		expect(server.bodies).toEqual(["first", "late"]);
	});

	test("a small package behind a stream is on its way when the stream has ended", async () => {
		const server = await acceptingServer();
		const client = server.client();
		async function* stream() {
			yield Buffer.from("one");
		}
		const calls = [
			client.send(mail({ message: stream(), size: 3, encoding: "lf" })),
			client.send(mail({ message: "two" })),
		];
		expect((await Promise.all(calls)).map(statuses)).toEqual(["K", "K"]);
	});
});

describe("no deadlock", () => {
	test("a server answers with long texts to each package while the client has more to write", async () => {
		const text = `D${"no ".repeat(20_000)}`;
		const server = await ScriptedServer.start(async (connection) => {
			// Like a server that has one thread: it reads on only when its answer is out.
			for (let answered = 0; answered < 300; answered++) {
				await connection.received(answered + 1);
				connection.socket.pause();
				await new Promise((resolve) => connection.socket.write(response(text), resolve));
				connection.socket.resume();
			}
		});
		const client = server.client();
		const message = Buffer.alloc(100_000, "x");
		const results = await Promise.all(Array.from({ length: 300 }, () => client.send(mail({ message }))));
		expect(results.map(statuses).join("")).toBe("D".repeat(300));
	});

	test("a real server, large messages and many recipients", async () => {
		const queue = memoryQueue({ maxBytes: 1e9 });
		const recipient = () => undefined;
		const server = new QmtpServer({ queue, hooks: { recipient, message: () => accepted() && undefined } });
		const { port } = (await server.listen({ port: 0, host: "127.0.0.1" })) as { port: number };
		const scripted = await acceptingServer();
		const client = scripted.client({ port, limits: { inFlightBytes: 1e9 } });
		const message = Buffer.alloc(1_000_000, "line of text\n");
		const results = await Promise.all(
			Array.from({ length: 30 }, () => client.send(mail({ message, recipients: recipients(1000) }))),
		);
		expect(results.every(({ accepted }) => accepted.length === 1000)).toBe(true);
		expect(queue.messages).toHaveLength(30);
		await client.close();
		await server.close();
	});
});
