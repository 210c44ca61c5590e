import { describe, expect, test } from "vitest";
import { accepted, rejected } from "../../src/protocol/response.js";
import { ServerConnection, type ServerEvent } from "../../src/protocol/server-connection.js";
import { bytesOf, copyOf, textOf } from "../support/bytes.js";
import { everySplit } from "../support/every-split.js";

const FIRST = "2:\na,1:s,4:1:x,,"; // 16 bytes
const SECOND = "2:\rb,0:,8:1:y,1:z,,";

describe("ServerConnection", () => {
	test("tells the events of each package with its number, in every split", () => {
		const events = everySplit(bytesOf(FIRST + SECOND), (chunks) => {
			const connection = new ServerConnection();
			return chunks.flatMap((chunk) => readAll(connection, chunk)).map(plain);
		});
		expect(events).toEqual([
			{ type: "message", number: 0, encoding: "lf", length: 1 },
			{ type: "body", number: 0, bytes: "a" },
			{ type: "sender", number: 0, address: "s" },
			{ type: "recipient", number: 0, address: "x" },
			{ type: "end", number: 0 },
			{ type: "message", number: 1, encoding: "crlf", length: 1 },
			{ type: "body", number: 1, bytes: "b" },
			{ type: "sender", number: 1, address: "" },
			{ type: "recipient", number: 1, address: "y" },
			{ type: "recipient", number: 1, address: "z" },
			{ type: "end", number: 1 },
		]);
	});

	test("the number is -1 before the first package, and counts from its message on", () => {
		const connection = new ServerConnection();
		expect(connection.number).toBe(-1);
		connection.receive(bytesOf(FIRST + SECOND));
		const numbers: number[] = [];
		while (connection.next() !== null) numbers.push(connection.number);
		expect(numbers).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
	});

	test("step() counts packages and recipients as next() does", () => {
		const connection = new ServerConnection();
		connection.receive(bytesOf(FIRST + SECOND));
		while (connection.step() !== 0);
		expect(connection.pending).toBe(2);
		connection.respond(1, [accepted("y"), accepted("z")]);
		connection.respond(0, [accepted("x")]);
		expect(connection.transmit()).toEqual([accepted("x"), accepted("y"), accepted("z")]);
	});

	test("an address over the limit is null and still wants its response", () => {
		const connection = new ServerConnection({ addressBytes: 2 });
		const events = readAll(connection, bytesOf("1:\n,3:abc,10:1:x,3:abc,,"));
		expect(events.map(plain).slice(1, -1)).toEqual([
			{ type: "sender", number: 0, address: null },
			{ type: "recipient", number: 0, address: "x" },
			{ type: "recipient", number: 0, address: null },
		]);
		connection.respond(0, [accepted(), rejected()]);
		expect(connection.transmit()).toHaveLength(2);
	});

	test("a package is answered when its last byte was read, and not before", () => {
		const connection = new ServerConnection();
		readAll(connection, bytesOf(FIRST.slice(0, -1)));
		expect(connection.pending).toBe(0);
		expect(() => connection.respond(0, [accepted()])).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_RESPONSES" }),
		);
		readAll(connection, bytesOf(","));
		expect(connection.pending).toBe(1);
		connection.respond(0, [accepted()]);
		expect(connection.transmit()).toEqual([accepted()]);
		expect(connection.pending).toBe(0);
	});

	test("respond refuses a wrong number of responses", () => {
		const connection = new ServerConnection();
		readAll(connection, bytesOf(SECOND));
		for (const responses of [[], [accepted()], [accepted(), accepted(), accepted()]]) {
			expect(() => connection.respond(0, responses)).toThrow(
				expect.objectContaining({ code: "ERR_QMTP_RESPONSES", name: "UsageError" }),
			);
		}
	});

	test("a package without recipients is answered by nothing", () => {
		const connection = new ServerConnection();
		readAll(connection, bytesOf(`1:\n,0:,0:,${FIRST}`));
		connection.respond(1, [accepted()]);
		expect(connection.transmit()).toEqual([]);
		connection.respond(0, []);
		expect(connection.transmit()).toEqual([accepted()]);
	});

	test("skipBody drops the rest of the current body and no other", () => {
		const connection = new ServerConnection();
		connection.receive(bytesOf(FIRST + SECOND));
		const types: string[] = [];
		for (let event = connection.next(); event !== null; event = connection.next()) {
			if (event.type === "message" && event.number === 0) connection.skipBody();
			types.push(event.type);
		}
		expect(types).toEqual([
			...["message", "sender", "recipient", "end"],
			...["message", "body", "sender", "recipient", "recipient", "end"],
		]);
	});

	test("packages in front of an error can be answered behind it", () => {
		const connection = new ServerConnection();
		connection.receive(bytesOf(`${FIRST}x`));
		for (let left = 5; left > 0; left--) expect(connection.next()).not.toBeNull();
		const error = expect.objectContaining({ code: "ERR_NETSTRING_LENGTH_DIGIT", offset: 16 });
		expect(() => connection.next()).toThrow(error);
		expect(() => connection.next()).toThrow(error);
		connection.respond(0, [accepted()]);
		expect(connection.transmit()).toEqual([accepted()]);
	});

	describe("the end of the client's bytes", () => {
		test.each([0, 16])("behind %d bytes, between two packages, is clean", (length) => {
			expect(closeAfter(FIRST.slice(0, length))).toEqual({ type: "close", clean: true });
		});

		test("anywhere inside a package it is not", () => {
			for (let length = 1; length < FIRST.length; length++) {
				expect(closeAfter(FIRST.slice(0, length))).toEqual({ type: "close", clean: false });
			}
		});

		test("is told once, behind the events of what was received before it", () => {
			for (const [text, clean] of [
				[FIRST, true],
				[FIRST + SECOND.slice(0, 7), false],
			] as const) {
				const connection = new ServerConnection();
				connection.receive(bytesOf(text));
				connection.receiveEnd();
				connection.receiveEnd();
				const events: ServerEvent[] = [];
				for (let event = connection.next(); event !== null; event = connection.next()) events.push(event);
				expect(events.findIndex(({ type }) => type === "end")).toBe(4);
				expect(events.filter(({ type }) => type === "close")).toEqual([{ type: "close", clean }]);
				expect(events.at(-1)?.type).toBe("close");
				expect(connection.next()).toBeNull();
			}
		});

		test("does not keep packages from being answered", () => {
			const connection = new ServerConnection();
			readAll(connection, bytesOf(FIRST));
			connection.receiveEnd();
			expect(connection.next()).toEqual({ type: "close", clean: true });
			expect(connection.pending).toBe(1);
			connection.respond(0, [accepted()]);
			expect(connection.transmit()).toEqual([accepted()]);
		});

		test("nothing can be received behind it", () => {
			const connection = new ServerConnection();
			connection.receiveEnd();
			expect(() => connection.receive(bytesOf(FIRST))).toThrow(
				expect.objectContaining({ code: "ERR_QMTP_ENDED", name: "UsageError" }),
			);
		});
	});
});

function closeAfter(text: string): ServerEvent | null {
	const connection = new ServerConnection();
	readAll(connection, bytesOf(text));
	expect(connection.idle).toBe(text === "" || text === FIRST);
	connection.receiveEnd();
	return connection.next();
}

function readAll(connection: ServerConnection, chunk: Uint8Array): ServerEvent[] {
	const events: ServerEvent[] = [];
	connection.receive(chunk);
	for (let event = connection.next(); event !== null; event = connection.next()) {
		events.push(event.type === "body" ? { ...event, bytes: copyOf(event.bytes) } : event);
	}
	chunk.fill(0xff);
	return events;
}

function plain(event: ServerEvent): unknown {
	if (event.type === "body") return { ...event, bytes: textOf(event.bytes) };
	if (event.type !== "sender" && event.type !== "recipient") return event;
	return { ...event, address: event.address === null ? null : textOf(event.address) };
}
