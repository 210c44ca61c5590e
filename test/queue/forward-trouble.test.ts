/** Next hops that go away, or talk nonsense: a Z for the message that they had, and nothing else is lost. */
import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { ProtocolError, QueueError, TransportError } from "../../src/errors.js";
import type { QmtpResponse } from "../../src/protocol/response.js";
import { PackageConnection } from "../../src/queue/forward/package-connection.js";
import type { ForwardQueue, ForwardQueueOptions } from "../../src/queue/forward.js";
import { Timers } from "../../src/timers.js";
import { bytesOf, netstring } from "../support/bytes.js";
import { deafPort } from "../support/client-deaf-server.js";
import { response, type Script, ScriptedServer } from "../support/client-server.js";
import { forwardTo, startFront, startHop } from "../support/forward-hop.js";
import { deliver, noise, statuses, writeUntilWait } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { mail, TestClient } from "../support/server-client.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["a@example.com", "b@example.com"] };
const LARGE = 600_000;
const CONNECTION_ENDED = "the connection to the next hop ended before its answer (#4.4.2)";
const NO_CONNECTION = "no connection to the next hop (#4.4.1)";
const NONSENSE = "the next hop does not speak proper QMTP (#4.3.0)";
const TOO_LATE = "the next hop did not answer in time (#4.4.2)";
const TOO_FEW = "the next hop did not answer for each recipient (#4.3.0)";

async function forwarding(
	script: Script,
	options: ForwardQueueOptions = {},
): Promise<[ForwardQueue, ScriptedServer]> {
	const server = await ScriptedServer.start(script);
	return [forwardTo(server.port, options), server];
}

/** Large messages are those whose length is known. */
function send(queue: ForwardQueue, size: number): Promise<readonly QmtpResponse[]> {
	return deliver(queue, [noise(size)], ENVELOPE, messageInfo({ length: size }));
}

function deferredAs(description: string): QmtpResponse[] {
	return ENVELOPE.recipients.map(() => ({ status: "Z", description }));
}

describe.each([1000, LARGE])("a message of %i bytes", (size) => {
	test("is a Z for each recipient if the next hop closes the connection behind it", async () => {
		const [queue] = await forwarding(async (connection) => {
			await connection.received();
			connection.socket.end();
		});
		expect(await send(queue, size)).toEqual(deferredAs(CONNECTION_ENDED));
	});

	test("is a Z for each recipient if the next hop resets the connection behind it", async () => {
		const [queue] = await forwarding(async (connection) => {
			await connection.received();
			connection.socket.resetAndDestroy();
		});
		expect(await send(queue, size)).toEqual(deferredAs(CONNECTION_ENDED));
	});

	test("is a Z for each recipient if the next hop answers nonsense", async () => {
		const [queue] = await forwarding(async (connection) => {
			await connection.received();
			connection.write("250 ok\r\n");
		});
		expect(await send(queue, size)).toEqual(deferredAs(NONSENSE));
	});

	test("is a Z for each recipient if the next hop never answers", async () => {
		const [queue] = await forwarding(() => {}, { timeouts: { response: 50 } });
		expect(await send(queue, size)).toEqual(deferredAs(TOO_LATE));
	});

	test("rejects if there is no connection, and the cause says why", async () => {
		const [queue, server] = await forwarding(() => {});
		await server.stop();
		const failing = send(queue, size);
		await expect(failing).rejects.toThrow(QueueError);
		await expect(failing).rejects.toMatchObject({ message: NO_CONNECTION, permanent: false });
		await expect(failing).rejects.toMatchObject({ cause: { code: "ERR_QMTP_CONNECT" } });
	});

	test("rejects if the connection takes too long", async () => {
		const queue = forwardTo(await deafPort(), { timeouts: { connect: 50 } });
		const failing = send(queue, size);
		await expect(failing).rejects.toMatchObject({ message: NO_CONNECTION });
		await expect(failing).rejects.toMatchObject({ cause: { code: "ERR_QMTP_CONNECT_TIMEOUT" } });
	});

	test("does not wait for more than the answers: what comes behind them changes nothing", async () => {
		const [queue] = await forwarding(async (connection) => {
			await connection.received();
			connection.write(`${response("Kone") + response("Dtwo")}and more`);
		});
		expect(await send(queue, size)).toEqual([
			{ status: "K", description: "one" },
			{ status: "D", description: "two" },
		]);
	});
});

describe("a next hop that answers once a package", () => {
	test("is a Z for all recipients of a large message, since nobody knows whose answer it was", async () => {
		const [queue] = await forwarding(
			async (connection) => {
				await connection.received();
				connection.write(response("Kfor all"));
			},
			{ timeouts: { response: 400 } },
		);
		expect(await send(queue, LARGE)).toEqual(deferredAs(TOO_FEW));
	});

	test("gets large messages a recipient at a time if it is known", async () => {
		const [queue, server] = await forwarding((connection) => connection.answerAll(() => response("Kok")), {
			maxRecipientsPerPackage: 1,
		});
		expect(statuses(await send(queue, LARGE))).toBe("KK");
		expect(
			server.connections.flatMap(({ packages }) => packages.map(({ recipients }) => recipients)),
		).toEqual([["a@example.com"], ["b@example.com"]]);
	});
});

describe("a next hop that goes wrong in the middle of a large message", () => {
	/** Writes the first half, lets the next hop do what it does, and then writes on as long as that is possible. */
	async function interrupted(script: Script): Promise<QueueError> {
		const [queue, server] = await forwarding(async (connection) => {
			await connection.receivedBytes(100_000);
			await script(connection);
		});
		const delivery = await queue.open(messageInfo({ length: 100 * LARGE }));
		await delivery.write(noise(LARGE));
		const connection = await server.connection();
		try {
			for (let count = 1; count < 100; count++) {
				await delivery.write(noise(LARGE));
				await connection.gone();
			}
		} catch (error) {
			await delivery.abort(error as Error);
			return error as QueueError;
		}
		throw new Error("the queue did not notice");
	}

	test.each<[string, Script, string, new (...args: never[]) => Error]>([
		["closes", ({ socket }) => socket.destroy(), CONNECTION_ENDED, TransportError],
		["resets", ({ socket }) => socket.resetAndDestroy(), CONNECTION_ENDED, TransportError],
		["answers", (connection) => connection.write(response("Kok") + response("Kok")), NONSENSE, ProtocolError],
		["talks", (connection) => connection.write("421 bye\r\n"), NONSENSE, ProtocolError],
	])("and %s: a Z that is an error, with its cause", async (_, script, message, type) => {
		const error = await interrupted(script);
		expect(error).toBeInstanceOf(QueueError);
		expect(error).toMatchObject({ message, permanent: false });
		expect(error.cause).toBeInstanceOf(type);
	});

	test("half-closes: the same, though it could still read", async () => {
		const [queue] = await forwarding((connection) => connection.socket.end());
		const delivery = await queue.open(messageInfo({ length: 2 * LARGE }));
		await expect(
			(async () => {
				for (;;) {
					await delivery.write(noise(1));
					await new Promise((resolve) => setImmediate(resolve));
				}
			})(),
		).rejects.toMatchObject({ message: CONNECTION_ENDED });
		await delivery.abort(new Error("the next hop ended"));
	});

	test("and is only noticed at the commit: the commit rejects, since nothing was sent to its end", async () => {
		const [queue, server] = await forwarding(async (connection) => {
			await connection.receivedBytes(LARGE);
			connection.socket.destroy();
		});
		const delivery = await queue.open(messageInfo({ length: LARGE }));
		await delivery.write(noise(LARGE));
		const connection = await server.connection();
		await connection.changes.until(() => connection.closed);
		await new Promise((resolve) => setImmediate(resolve));
		await expect(delivery.commit(ENVELOPE)).rejects.toMatchObject({ message: CONNECTION_ENDED });
	});

	test("and reads nothing more: the write that waits rejects in time", async () => {
		const [queue] = await forwarding((connection) => connection.socket.pause(), {
			timeouts: { response: 50 },
		});
		const delivery = await queue.open(messageInfo({ length: 1000 * LARGE }));
		const { wait } = writeUntilWait(delivery, () => noise(LARGE), 100);
		const next = async () => {
			await wait;
			for (let count = 0; count < 100; count++) await delivery.write(noise(LARGE));
		};
		await expect(next()).rejects.toMatchObject({ message: TOO_LATE });
		await delivery.abort(new Error("too slow"));
	});

	test("a sender that is slow does not make the next hop late, but a next hop that answers slowly is", async () => {
		const server = await ScriptedServer.start(() => {});
		const socket = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
		await once(socket, "connect");
		const connection = new PackageConnection(socket, 1000, new Timers(1000));
		await connection.write(noise(100));
		connection.check(Number.MAX_VALUE);
		expect(connection.error).toBeNull();
		const answers = connection.finish(noise(1), 1);
		connection.check(performance.now());
		expect(connection.error).toBeNull();
		connection.check(Number.MAX_VALUE);
		await expect(answers).rejects.toMatchObject({ code: "ERR_QMTP_RESPONSE_TIMEOUT" });
		await connection.ended;
	});
});

describe("what goes wrong with one message", () => {
	test("in the middle of a large one does not touch those on the shared connection", async () => {
		const [queue, server] = await forwarding(async (connection) => {
			if (connection.number === 0) return connection.answerAll();
			await connection.receivedBytes(100_000);
			connection.socket.destroy();
		});
		expect(statuses(await send(queue, 1000))).toBe("KK"); // makes the shared connection
		const small = await queue.open(messageInfo({ length: 1000 }));
		await small.write(noise(500));
		const front = await startFront(queue);
		const client = await TestClient.connect(front.port);
		client.send(mail({ message: `\n${"x".repeat(20 * LARGE)}`, recipients: ["a", "b"] }));
		client.send(mail());
		expect(await client.receives(3)).toEqual([
			`Z${CONNECTION_ENDED}`,
			`Z${CONNECTION_ENDED}`,
			expect.stringMatching(/^Kfor /),
		]);
		await small.write(noise(500));
		expect(statuses(await small.commit(ENVELOPE))).toBe("KK");
		expect(front.faults).toHaveLength(1);
		expect(front.faults[0]).toMatchObject({
			cause: { code: expect.stringMatching(/CONNECTION_(CLOSED|LOST)/) },
		});
		expect(server.connections).toHaveLength(2);
	});

	test("in an address does not touch the others: they share a package", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port);
		const recipients = ["ok@x", "\ud800@x", "ok2@x"];
		expect(statuses(await deliver(queue, [bytesOf("x")], { sender: "", recipients }))).toBe(
			"KZK".replace("Z", "D"),
		);
	});

	test("a server reports no fault where the next hop may have stored the mail", async () => {
		const [queue] = await forwarding(async (connection) => {
			await connection.received();
			connection.socket.destroy();
		});
		const front = await startFront(queue);
		const client = await TestClient.connect(front.port);
		onTestFinished(() => void client.duplex.destroy());
		client.send(netstring("\nx") + netstring("s") + netstring(netstring("r")));
		expect(await client.receives(1)).toEqual([`Z${CONNECTION_ENDED}`]);
		expect(front.faults).toEqual([]);
	});
});
