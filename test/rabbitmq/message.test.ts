/** The properties of messages: ours, and what is left of those of others when they are parked. */
import type { ConsumeMessage } from "amqplib";
import { describe, expect, it } from "vitest";
import {
	deliveryCount,
	type MessageState,
	parkedProperties,
	properties,
	readState,
} from "../../src/queue/rabbitmq/message.js";

const STATE: MessageState = {
	id: "0012345678901234567890",
	encoding: "utf-8",
	queuedAt: 1_763_845_200_123,
	attempts: 3,
	nextAttempt: 1_763_848_800_000,
};

describe("the properties of a message", () => {
	it.each([
		STATE,
		{ ...STATE, encoding: "latin1" as const, id: "9".repeat(100) },
		{ ...STATE, queuedAt: 0, attempts: 0, nextAttempt: 0 },
		{ ...STATE, attempts: 2 ** 31, nextAttempt: Number.MAX_SAFE_INTEGER },
	])("are read back as they were written: $encoding, $attempts attempts", (state) => {
		expect(readState(arrived(properties(state)))).toEqual(state);
	});

	it("tell when it was queued in seconds, as AMQP has it, and of what kind it is", () => {
		const { timestamp, contentType, headers } = properties(STATE, { "x-qmtp-hops": 2 });
		expect(timestamp).toBe(1_763_845_200);
		expect(contentType).toBe("application/x-qmtp");
		expect(headers).toMatchObject({ "x-qmtp-hops": 2, "x-qmtp-attempts": 3 });
	});

	it("may leave out the attempts and the next one", () => {
		const { "x-qmtp-attempts": _, "x-qmtp-next-attempt": __, ...headers } = properties(STATE).headers;
		expect(readState(arrived({ ...properties(STATE), headers }))).toEqual({
			...STATE,
			attempts: 0,
			nextAttempt: 0,
		});
	});

	it.each([
		["no message-id", { messageId: undefined }],
		["a message-id that is too long", { messageId: "1".repeat(101) }],
		["a message-id that is no number", { messageId: "1\n2" }],
		["an empty message-id", { messageId: "" }],
		["no headers", { headers: undefined }],
		["no encoding", header("x-qmtp-encoding", undefined)],
		["an unknown encoding", header("x-qmtp-encoding", "utf-16")],
		["no time", header("x-qmtp-queued-at", undefined)],
		["a time that is a text", header("x-qmtp-queued-at", "1763845200123")],
		["a time that is a fraction", header("x-qmtp-queued-at", 0.5)],
		["a time before 1970", header("x-qmtp-queued-at", -1)],
		["attempts that are none", header("x-qmtp-attempts", Number.NaN)],
		["attempts that are a table", header("x-qmtp-attempts", {})],
		["a next attempt that is none", header("x-qmtp-next-attempt", Number.POSITIVE_INFINITY)],
	])("are refused with %s", (_, changed) => {
		const message = arrived({ ...properties(STATE), ...changed });
		expect(() => readState(message)).toThrow(/^its (message-id|header x-qmtp-)/);
	});
});

describe("the broker's count of deliveries", () => {
	it.each([
		[undefined, 0],
		[1, 1],
		[7, 7],
		["7", 0],
		[-1, 0],
		[0.5, 0],
		[Number.NaN, 0],
	])("%j is %j", (count, expected) => {
		expect(deliveryCount(arrived({ headers: { "x-delivery-count": count } }))).toBe(expected);
	});

	it("is 0 without headers", () => {
		expect(deliveryCount(arrived({ headers: undefined }))).toBe(0);
	});
});

describe("the properties of a message that is parked", () => {
	it("are its own, but for what would route it, let it expire or have it refused", () => {
		const parked = parkedProperties(
			arrived({
				messageId: "x",
				contentType: "text/plain",
				contentEncoding: "gzip",
				timestamp: 5,
				type: "t",
				appId: "a",
				userId: "somebody",
				expiration: "1000",
				replyTo: "amq.rabbitmq.reply-to",
				correlationId: "7",
				priority: 9,
				headers: {
					"x-qmtp-attempts": 4,
					note: "kept",
					flag: true,
					CC: ["other"],
					BCC: "another",
					"x-death": [],
					"x-first-death-queue": "q",
					"x-last-death-reason": "expired",
					"x-delivery-count": 3,
					table: { a: 1 },
				},
			}),
			"it is no package",
		);
		expect(parked).toEqual({
			messageId: "x",
			contentType: "text/plain",
			contentEncoding: "gzip",
			timestamp: 5,
			type: "t",
			appId: "a",
			headers: {
				"x-qmtp-parked-reason": "it is no package",
				"x-qmtp-attempts": 4,
				note: "kept",
				flag: true,
			},
		});
	});

	it("can be encoded, whatever came", () => {
		const headers: Record<string, unknown> = {
			"x-qmtp-parked-reason": "an older one",
			big: "x".repeat(20_000),
		};
		for (let number = 0; number < 1000; number++) headers[`h${number}`] = "y".repeat(60);
		headers["\ufffd".repeat(100)] = "a name that was not UTF-8";
		const parked = parkedProperties(
			arrived({ messageId: "\ufffd".repeat(100), timestamp: 2 ** 60, type: 7, headers }),
			"r".repeat(5000),
		);
		expect(parked).not.toHaveProperty("messageId");
		expect(parked).not.toHaveProperty("timestamp");
		expect(parked).not.toHaveProperty("type");
		expect(JSON.stringify(parked).length).toBeLessThan(20_000);
		expect(parked.headers).toHaveProperty("h0");
		expect(parked.headers).not.toHaveProperty("h999");
		expect(parked.headers["x-qmtp-parked-reason"]).toBe("r".repeat(1000));
	});

	it("need nothing of the message", () => {
		expect(parkedProperties(arrived({ headers: undefined }), "why")).toEqual({
			headers: { "x-qmtp-parked-reason": "why" },
		});
	});
});

function header(name: string, value: unknown): object {
	return { headers: { ...properties(STATE).headers, [name]: value } };
}

function arrived(given: object): ConsumeMessage {
	return { properties: given, fields: {}, content: Buffer.alloc(0) } as unknown as ConsumeMessage;
}
