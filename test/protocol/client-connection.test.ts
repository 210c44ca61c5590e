import { describe, expect, test } from "vitest";
import { ProtocolError } from "../../src/errors.js";
import { ClientConnection, type PackageResponses } from "../../src/protocol/client-connection.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import { bytesOf } from "../support/bytes.js";
import { everySplit } from "../support/every-split.js";

describe("ClientConnection", () => {
	test("numbers packages from 0, and gives each its responses, in every split", () => {
		const results = everySplit(bytesOf("2:Ka,2:Kb,2:Dc,2:Zd,"), (chunks) => {
			const connection = new ClientConnection();
			expect([connection.sent(1), connection.sent(2), connection.sent(1)]).toEqual([0, 1, 2]);
			return chunks.flatMap((chunk) => readAll(connection, chunk));
		});
		expect(results).toEqual([
			{ number: 0, recipients: 1, responses: [accepted("a")] },
			{ number: 1, recipients: 2, responses: [accepted("b"), rejected("c")] },
			{ number: 2, recipients: 1, responses: [deferred("d")] },
		]);
	});

	test("a package has its responses when the last one is whole", () => {
		const connection = new ClientConnection();
		connection.sent(2);
		expect(readAll(connection, bytesOf("1:K,1:K"))).toEqual([]);
		expect(connection.pending).toBe(1);
		expect(readAll(connection, bytesOf(","))).toHaveLength(1);
		expect(connection.pending).toBe(0);
	});

	test("a package without recipients has its responses as soon as those before it have theirs", () => {
		const connection = new ClientConnection();
		connection.sent(0);
		expect(connection.next()).toMatchObject({ number: 0, responses: [] });
		expect(connection.next()).toBeNull();
		connection.sent(1);
		connection.sent(0);
		connection.sent(0);
		expect(connection.next()).toBeNull();
		const results = readAll(connection, bytesOf("1:K,"));
		expect(results.map(({ number, responses }) => [number, responses.length])).toEqual([
			[1, 1],
			[2, 0],
			[3, 0],
		]);
		expect(connection.pending).toBe(0);
	});

	describe("ERR_QMTP_RESPONSE_UNEXPECTED", () => {
		test.each([
			["before any package", 0, "9:Zsorry :(,", 0],
			["behind the last response", 1, "3:Kok,3:Kok,", 6],
			["behind the responses to all packages", 3, "1:K,1:K,1:K,1:Z,", 12],
		])("%s, at its first byte, in every split", (_, packages, text, offset) => {
			const results = everySplit(bytesOf(text), (chunks) => {
				const connection = new ClientConnection();
				for (let left = packages; left > 0; left--) connection.sent(1);
				let results = 0;
				try {
					for (const chunk of chunks) {
						connection.receive(chunk);
						while (connection.next() !== null) results++;
					}
				} catch (error) {
					if (!(error instanceof ProtocolError)) throw error;
					return { results, code: error.code, offset: error.offset };
				}
				return expect.unreachable("should have thrown");
			});
			expect(results).toEqual({ results: packages, code: "ERR_QMTP_RESPONSE_UNEXPECTED", offset });
		});

		test("for a response that began before the package was sent, whatever it says", () => {
			const connection = new ClientConnection();
			expect(readAll(connection, bytesOf("3:K"))).toEqual([]);
			connection.sent(1);
			connection.receive(bytesOf("ok,3:Kok,"));
			const unexpected = expect.objectContaining({ code: "ERR_QMTP_RESPONSE_UNEXPECTED", offset: 0 });
			expect(() => connection.next()).toThrow(unexpected);
			expect(() => connection.next()).toThrow(unexpected);
			expect(connection.unanswered()).toMatchObject([{ number: 0, responses: [] }]);
		});

		test("not for one that begins when the package was sent, though the connection was asked before", () => {
			const connection = new ClientConnection();
			expect(connection.next()).toBeNull();
			connection.sent(1);
			expect(readAll(connection, bytesOf("3:Kok,"))).toHaveLength(1);
			expect(connection.next()).toBeNull();
			connection.sent(1);
			expect(readAll(connection, bytesOf("3:Kok,"))).toHaveLength(1);
		});

		test("for the responses to packages that were given up", () => {
			const connection = new ClientConnection();
			connection.sent(1);
			expect(readAll(connection, bytesOf("3:K"))).toEqual([]);
			connection.unanswered();
			connection.receive(bytesOf("ok,"));
			expect(() => connection.next()).toThrow(
				expect.objectContaining({ code: "ERR_QMTP_RESPONSE_UNEXPECTED", offset: 0 }),
			);
		});
	});

	test("throws the errors of responses, and keeps what came before them", () => {
		const connection = new ClientConnection();
		for (let left = 3; left > 0; left--) connection.sent(2);
		connection.receive(bytesOf("1:K,1:K,1:Z,3:xyz,"));
		expect(connection.next()).toMatchObject({ number: 0 });
		const refused = expect.objectContaining({ code: "ERR_QMTP_RESPONSE_STATUS", offset: 14 });
		expect(() => connection.next()).toThrow(refused);
		expect(() => connection.next()).toThrow(refused);
		expect(connection.unanswered()).toMatchObject([
			{ number: 1, responses: [deferred("")] },
			{ number: 2, responses: [] },
		]);
	});

	test("unanswered() takes the packages without all their responses, with those that came", () => {
		const connection = new ClientConnection();
		for (const recipients of [1, 3, 0, 2]) connection.sent(recipients);
		expect(readAll(connection, bytesOf("1:K,2:Ka,2:Db,2:K"))).toHaveLength(1);
		connection.receiveEnd();
		expect(connection.next()).toBeNull();
		expect(connection.pending).toBe(3);
		expect(connection.unanswered()).toMatchObject([
			{ number: 1, responses: [accepted("a"), rejected("b")] },
			{ number: 2, responses: [] },
			{ number: 3, responses: [] },
		]);
		expect(connection.unanswered()).toEqual([]);
		expect(connection.pending).toBe(0);
	});

	test("numbers go on behind unanswered packages", () => {
		const connection = new ClientConnection();
		connection.sent(1);
		connection.unanswered();
		expect(connection.sent(1)).toBe(1);
		expect(readAll(connection, bytesOf("1:K,"))).toMatchObject([{ number: 1 }]);
	});

	test("nothing can be received behind the end, and no byte may be dropped unread", () => {
		const connection = new ClientConnection();
		connection.sent(1);
		connection.sent(1);
		connection.receive(bytesOf("1:K,1:K,"));
		connection.next();
		expect(() => connection.receive(bytesOf("1:K,"))).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_UNREAD", name: "UsageError" }),
		);
		connection.receiveEnd();
		expect(connection.next()).toMatchObject({ number: 1 });
		expect(() => connection.receive(bytesOf("1:K,"))).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_ENDED", name: "UsageError" }),
		);
	});
});

function readAll(connection: ClientConnection, chunk: Uint8Array): PackageResponses[] {
	const results: PackageResponses[] = [];
	connection.receive(chunk);
	for (let result = connection.next(); result !== null; result = connection.next()) results.push(result);
	chunk.fill(0xff);
	return results;
}
