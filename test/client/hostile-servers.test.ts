/** Servers that end the connection, say nothing, or say what is no QMTP: never a K that was not given, never a hang. */
import { describe, expect, test } from "vitest";
import { ProtocolError, TransportError } from "../../src/errors.js";
import { mail, recipients, statuses, unanswered } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer, response, type Script, ScriptedServer } from "../support/client-server.js";
import { Gate } from "../support/server-signal.js";

noUnhandledRejections();

const LARGE = Buffer.alloc(8 * 1024 * 1024, "x"); // more than the sockets' buffers hold

describe("a server that ends the connection", () => {
	const endings: Record<string, Script> = {
		"closes after it has read the package": async (connection) => {
			await connection.received();
			connection.socket.end();
		},
		"half-closes while it owes an answer, and reads on": async (connection) => {
			await connection.received();
			connection.socket.end();
			connection.socket.resume();
		},
		"closes inside a response": async (connection) => {
			await connection.received();
			connection.socket.end("9:Kalmos");
		},
		"destroys the connection after the package": async (connection) => {
			await connection.received();
			connection.socket.destroy();
		},
	};
	test.each(Object.keys(endings))("%s: Z, possibly accepted", async (name) => {
		const server = await ScriptedServer.start(endings[name] as Script);
		const result = await server.client().send(mail());
		expect(result.responses).toEqual([unanswered("ERR_QMTP_CONNECTION_CLOSED", true)]);
		expect(result.deferred).toEqual(["rcpt@example.com"]);
		expect(result.responses[0]?.error).toBeInstanceOf(TransportError);
		expect(result.responses[0]?.description).toBe("the connection ended before the answer (#4.4.2)");
		expect(server.connections).toHaveLength(1);
	});

	test("resets the connection: Z, possibly accepted", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.socket.resetAndDestroy();
		});
		const result = await server.client().send(mail());
		expect(result.responses).toEqual([unanswered("ERR_QMTP_CONNECTION_LOST", true)]);
		expect(result.responses[0]?.error?.cause).toMatchObject({ code: "ECONNRESET" });
	});

	test("answers two of three packages: the third is Z, and the answers that came stand", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received(3);
			connection.socket.end("2:K1,2:D2,");
		});
		const client = server.client();
		const results = await Promise.all([client.send(mail()), client.send(mail()), client.send(mail())]);
		expect(results.map(statuses)).toEqual(["K", "D", "Z"]);
		expect(results[0]?.responses[0]).toEqual({
			recipient: "rcpt@example.com",
			status: "K",
			description: "1",
		});
		expect(results[2]?.responses[0]).toMatchObject({ possiblyAccepted: true });
	});

	test("accepts connections and closes them without having read a byte", async () => {
		const server = await ScriptedServer.start(({ socket }) => {
			socket.pause();
			socket.end();
		});
		const result = await server.client().send(mail({ message: LARGE }));
		expect(statuses(result)).toBe("Z");
		expect(server.connections).toHaveLength(2);
	});

	test("closes in the middle of each package", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.receivedBytes(1000);
			connection.socket.end();
		});
		const result = await server.client().send(mail({ message: LARGE }));
		expect(result.responses).toEqual([unanswered("ERR_QMTP_CONNECTION_CLOSED", false)]);
		expect(server.connections).toHaveLength(2);
	});

	test("answers and closes while a client writes: what it answered stands", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received(1);
			connection.socket.end("2:K1,");
		});
		const gate = new Gate();
		const client = server.client();
		const first = client.send(mail());
		const second = client.send(mail({ message: hanging(gate.promise), size: 10, encoding: "lf" }));
		expect(statuses(await first)).toBe("K");
		expect((await second).responses).toEqual([unanswered("ERR_QMTP_CONNECTION_CLOSED", false)]);
	});
});

describe("a server that does not answer", () => {
	const timeouts = { response: 50 };

	test("reads and says nothing: Z after the response timeout, and the connection is closed", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await connection.gone();
		});
		const result = await server.client({ timeouts }).send(mail());
		expect(result.responses).toEqual([unanswered("ERR_QMTP_RESPONSE_TIMEOUT", true)]);
		expect(result.responses[0]?.description).toBe("the server did not answer in time (#4.4.2)");
		await (await server.connection()).gone();
	});

	test("says nothing to several recipients either", async () => {
		const server = await ScriptedServer.start((connection) => connection.received());
		const result = await server.client({ timeouts }).send(mail({ recipients: recipients(2) }));
		expect(result.responses).toEqual(
			recipients(2).map((recipient) => unanswered("ERR_QMTP_RESPONSE_TIMEOUT", true, recipient)),
		);
	});

	test("never reads: Z after the response timeout, and surely not accepted", async () => {
		const server = await ScriptedServer.start(({ socket }) => socket.pause());
		const result = await server.client({ timeouts }).send(mail({ message: LARGE }));
		expect(result.responses).toEqual([unanswered("ERR_QMTP_RESPONSE_TIMEOUT", false)]);
		expect(server.connections).toHaveLength(2);
	});

	test("never reads, while packages that were written wait for their answers", async () => {
		const server = await ScriptedServer.start(({ socket }) => socket.pause());
		const client = server.client({ timeouts });
		const results = await Promise.all([client.send(mail()), client.send(mail({ message: LARGE }))]);
		expect(results.map(({ responses }) => responses[0]?.possiblyAccepted)).toEqual([true, false]);
	});

	test("answers too late: the answer reaches nobody, and the next call has a connection of its own", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			if (connection.number === 0) await connection.gone();
			else connection.write("2:Dn,");
			connection.socket.end("2:K1,");
		});
		const client = server.client({ timeouts });
		expect(statuses(await client.send(mail()))).toBe("Z");
		expect(statuses(await client.send(mail()))).toBe("D");
		expect(server.connections).toHaveLength(2);
	});
});

describe("a server that says what is no answer", () => {
	const rubbish: Record<string, [text: string, code: string]> = {
		"an SMTP greeting": ["220 mail.example.com ESMTP\r\n", "ERR_NETSTRING_LENGTH_DIGIT"],
		"a colon without a length": [":K,", "ERR_NETSTRING_LENGTH_EMPTY"],
		"a length with zeros in front": ["02:Ko,", "ERR_NETSTRING_LENGTH_ZEROS"],
		"a response without its comma": ["2:Ko;", "ERR_NETSTRING_COMMA"],
		"an unknown status": ["2:ko,", "ERR_QMTP_RESPONSE_STATUS"],
		"an empty response": ["0:,", "ERR_QMTP_RESPONSE_EMPTY"],
		"a response that is too long": ["65537:K", "ERR_NETSTRING_TOO_LONG"],
		"a length beyond all numbers": ["9".repeat(400), "ERR_NETSTRING_TOO_LONG"],
	};
	test.each(Object.keys(rubbish))("%s: Z with a ProtocolError, possibly accepted", async (name) => {
		const [text, code] = rubbish[name] as [string, string];
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write(text);
			await connection.gone();
		});
		const result = await server.client().send(mail());
		expect(result.responses).toEqual([unanswered(code, true)]);
		expect(result.responses[0]?.error).toBeInstanceOf(ProtocolError);
		expect(result.responses[0]?.description).toBe("the server does not speak proper QMTP (#4.3.0)");
	});

	test("rubbish behind good answers: the good ones stand", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received(2);
			connection.write("2:K1,x");
		});
		const client = server.client();
		const results = await Promise.all([client.send(mail()), client.send(mail())]);
		expect(results.map(statuses)).toEqual(["K", "Z"]);
	});

	test("the longest response that is allowed is an answer", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write(response(`D${"n".repeat(65535)}`));
		});
		const result = await server.client().send(mail());
		expect(result.responses[0]?.description).toHaveLength(65535);
	});

	test("a response that comes byte by byte is an answer", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			for (const byte of "4:Kyes,4:Dno!,") {
				await new Promise((resolve) => connection.socket.write(byte, resolve));
			}
		});
		const result = await server.client().send(mail({ recipients: recipients(2) }));
		expect(statuses(result)).toBe("KD");
	});

	test("after each of these the client works on", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			if (connection.number > 0) return connection.answerAll();
			await connection.received();
			connection.write("rubbish");
		});
		const client = server.client();
		expect(statuses(await client.send(mail()))).toBe("Z");
		expect(statuses(await client.send(mail()))).toBe("K");
	});
});

test("a server that answers keeps its connection for the next call", async () => {
	const server = await acceptingServer();
	const client = server.client();
	for (let call = 0; call < 3; call++) expect(statuses(await client.send(mail()))).toBe("K");
	expect(server.connections).toHaveLength(1);
});

async function* hanging(until: Promise<void>): AsyncGenerator<Uint8Array> {
	yield Buffer.from("half ");
	await until;
}
