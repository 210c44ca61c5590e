/** Servers that answer once a package, too often, too early or too late: no answer goes to another's recipient. */
import { describe, expect, test } from "vitest";
import type { QmtpClient } from "../../src/client/client.js";
import { mail, recipients, statuses, unanswered } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { type ScriptedConnection, ScriptedServer } from "../support/client-server.js";
import { Gate } from "../support/server-signal.js";

noUnhandledRejections();

const timeouts = { response: 60 };

/** Answers once a package, whatever its recipients. */
function onceAPackage(answer: string): Promise<ScriptedServer> {
	return ScriptedServer.start((connection) => connection.answerAll(() => answer));
}

function recipientCounts({ connections }: ScriptedServer): number[][] {
	return connections.map(({ packages }) => packages.map(({ recipients }) => recipients.length));
}

describe("a server that answers once a package", () => {
	test("all recipients of the first package are Z, and later ones get a package each", async () => {
		const server = await onceAPackage("4:Kone,");
		const client = server.client({ timeouts });
		const first = await client.send(mail({ recipients: recipients(3) }));
		expect(first.responses).toEqual(
			recipients(3).map((recipient) => unanswered("ERR_QMTP_RESPONSE_COUNT", true, recipient)),
		);
		expect(first.responses[0]?.description).toBe("the server did not answer for each recipient (#4.3.0)");
		expect(first.responses[0]?.error?.cause).toMatchObject({ code: "ERR_QMTP_RESPONSE_TIMEOUT" });

		const second = await client.send(mail({ recipients: recipients(3) }));
		expect(statuses(second)).toBe("KKK");
		expect(second.responses.map(({ recipient }) => recipient)).toEqual(recipients(3));
		expect(recipientCounts(server)).toEqual([[3], [1, 1, 1]]);
	});

	test("what waited behind the first package goes to one recipient at a time on a new connection", async () => {
		const server = await onceAPackage("4:Kone,");
		const client = server.client({ timeouts });
		const results = await Promise.all([
			client.send(mail({ recipients: recipients(3), message: "first" })),
			client.send(mail({ message: "single" })),
			client.send(mail({ recipients: recipients(2), message: "second" })),
		]);
		expect(results.map(statuses)).toEqual(["ZZZ", "K", "KK"]);
		expect(server.bodies).toEqual(["first", "single", "second", "second"]);
		expect(recipientCounts(server)).toEqual([[3], [1, 1, 1]]);
	});

	test("a stream that waited is spooled, and each of its recipients gets the whole of it", async () => {
		const server = await onceAPackage("4:Kone,");
		const client = server.client({ timeouts });
		async function* stream() {
			yield Buffer.from("in two ");
			yield Buffer.from("pieces");
		}
		const [, result] = await Promise.all([
			client.send(mail({ recipients: recipients(2), message: "first" })),
			client.send(mail({ recipients: recipients(2), message: stream(), size: 13, encoding: "lf" })),
		]);
		expect(statuses(result)).toBe("KK");
		expect(server.bodies).toEqual(["first", "in two pieces", "in two pieces"]);
	});

	test("a refusal of the whole package is nobody's K", async () => {
		const server = await onceAPackage("3:Dno,");
		const client = server.client({ timeouts });
		expect(statuses(await client.send(mail({ recipients: recipients(2) })))).toBe("ZZ");
		expect(statuses(await client.send(mail({ recipients: recipients(2) })))).toBe("DD");
	});

	test.each([
		["K", "KZZ"],
		["D", "ZZZ"],
		["KK", "KKZ"],
		["KD", "KZZ"],
		["ZK", "ZZZ"],
	])(
		"it says %s to three recipients and closes: %s, since only K at the front are surely theirs",
		async (said, got) => {
			const server = await ScriptedServer.start(async (connection) => {
				await connection.received();
				connection.socket.end([...said].map((status) => `1:${status},`).join(""));
			});
			const client = server.client();
			const result = await client.send(mail({ recipients: recipients(3) }));
			expect(statuses(result)).toBe(got);
			expect(result.responses[2]).toEqual(unanswered("ERR_QMTP_RESPONSE_COUNT", true, "rcpt2@example.com"));
		},
	);

	test("maxRecipientsPerPackage: 1 needs no trial, and keeps the order of the recipients", async () => {
		const server = await ScriptedServer.start((connection) =>
			connection.answerAll((package_) => (package_.recipients[0]?.startsWith("rcpt1") ? "2:Dn," : "2:Ky,")),
		);
		const client = server.client({ maxRecipientsPerPackage: 1 });
		const result = await client.send(mail({ recipients: recipients(3) }));
		expect(statuses(result)).toBe("KDK");
		expect(result).toMatchObject({
			accepted: ["rcpt0@example.com", "rcpt2@example.com"],
			rejected: ["rcpt1@example.com"],
			deferred: [],
		});
		expect(recipientCounts(server)).toEqual([[1, 1, 1]]);
	});

	test("maxRecipientsPerPackage: 4 makes packages of four, and one of what is left", async () => {
		const server = await ScriptedServer.start((connection) => connection.answerAll());
		const client = server.client({ maxRecipientsPerPackage: 4 });
		const result = await client.send(mail({ recipients: recipients(10) }));
		expect(statuses(result)).toBe("K".repeat(10));
		expect(recipientCounts(server)).toEqual([[4, 4, 2]]);
		expect(server.connections[0]?.packages.flatMap(({ recipients }) => recipients)).toEqual(recipients(10));
	});
});

describe("a server that answers the second package wrongly", () => {
	test("too few answers: those that came stand, the others are Z", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write("1:K,1:D,1:K,");
			await connection.received(2);
			connection.write("1:D,");
		});
		const client = server.client({ timeouts });
		expect(statuses(await client.send(mail({ recipients: recipients(3) })))).toBe("KDK");
		const second = await client.send(mail({ recipients: recipients(3) }));
		expect(statuses(second)).toBe("DZZ");
		expect(second.responses[1]).toEqual(unanswered("ERR_QMTP_RESPONSE_TIMEOUT", true, "rcpt1@example.com"));
	});

	test("too many answers: those that were owed stand, and the connection is given up", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write(connection.number === 0 ? "1:D,1:K," : "1:Z,");
			await connection.gone();
		});
		const client = server.client();
		expect(statuses(await client.send(mail()))).toBe("D");
		expect(statuses(await client.send(mail()))).toBe("Z");
		expect(server.connections).toHaveLength(2);
	});
});

describe("a server that answers unasked", () => {
	// A source that opens the gate when the package has begun, and ends it when the client knows of the answer.
	async function* begun(gate: Gate, end: Promise<void>): AsyncGenerator<Uint8Array> {
		yield Buffer.from("begun");
		gate.open();
		await end;
		yield Buffer.from(" and ended");
	}

	test("in the middle of a package: it is no answer to that package, which surely was not accepted", async () => {
		const never = new Gate();
		const begins = new Gate();
		const server = await ScriptedServer.start(async (connection) => {
			await begins.promise;
			connection.write("2:K!,");
		});
		const message = begun(begins, never.promise);
		const result = await server.client().send(mail({ message, size: 15, encoding: "lf" }));
		expect(result.responses).toEqual([unanswered("ERR_QMTP_RESPONSE_UNEXPECTED", false)]);
	});

	test("part of the answer in the middle of the package, and the rest behind it, is no answer either", async () => {
		const begins = new Gate();
		const partRead = new Gate();
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write("2:K1,");
			await connection.received(2);
			connection.write("2:K2,2:");
			await partRead.promise;
			await connection.received(3);
			connection.write("K!,");
		});
		const client = server.client();
		// The answer to the second package comes in the same chunk as the part, which is how the test knows of both.
		const message = begun(begins, partRead.promise);
		const sends = [
			client.send(mail()),
			client.send(mail()).then(async (result) => {
				partRead.open();
				return result;
			}),
			client.send(mail({ message, size: 15, encoding: "lf" })),
		];
		const results = await Promise.all(sends);
		expect(results.map(statuses)).toEqual(["K", "K", "Z"]);
		expect(results[2]?.responses).toEqual([unanswered("ERR_QMTP_RESPONSE_UNEXPECTED", true)]);
	});

	test("when nothing is under way: the next call has a connection of its own", async () => {
		const answers = ["1:K,", "1:D,"];
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write(answers[connection.number] as string);
			await idle.promise;
			connection.write("1:K,");
		});
		const idle = new Gate();
		const client = server.client();
		expect(statuses(await client.send(mail()))).toBe("K");
		idle.open();
		await (await server.connection()).gone();
		expect(statuses(await client.send(mail()))).toBe("D");
		expect(server.connections).toHaveLength(2);
	});

	test("when a client connects: no package is begun on that connection", async () => {
		const greeting = async (connection: ScriptedConnection) => connection.write("2:K!,");
		const server = await ScriptedServer.start(greeting);
		await expectNoK(server.client(), server);
	});

	test("when a client connects, and closes at once", async () => {
		const server = await ScriptedServer.start(({ socket }) => socket.end("27:Z4.3.0 I am not set up yet.,"));
		await expectNoK(server.client(), server);
	});

	async function expectNoK(client: QmtpClient, server: ScriptedServer): Promise<void> {
		for (let call = 1; call <= 20; call++) {
			const result = await client.send(mail());
			expect(result.responses).toEqual([unanswered("ERR_QMTP_RESPONSE_UNEXPECTED", false)]);
			expect(server.connections).toHaveLength(2 * call);
		}
		expect(server.bodies).toEqual([]);
	}
});
