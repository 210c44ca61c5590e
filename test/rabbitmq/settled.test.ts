/** The memory of what was settled and of who is left, and the bound of what comes in. */

import type { ConsumeMessage } from "amqplib";
import { describe, expect, it } from "vitest";
import { encodePackage } from "../../src/protocol/package-encoder.js";
import { Arrival } from "../../src/queue/rabbitmq/arrival.js";
import { ByteWindow } from "../../src/queue/rabbitmq/byte-window.js";
import { type Mail, readMail } from "../../src/queue/rabbitmq/mail.js";
import { Rests } from "../../src/queue/rabbitmq/rests.js";
import { SettledMemory } from "../../src/queue/rabbitmq/settled.js";

describe("the memory", () => {
	it("forgets the oldest when it is full", () => {
		const memory = new SettledMemory(3);
		for (const key of ["a", "b", "c", "a", "d"]) memory.add(key);
		expect(["a", "b", "c", "d"].map((key) => memory.has(key))).toEqual([true, false, true, true]);
	});

	it("has room for 10,000", () => {
		const memory = new SettledMemory();
		for (let number = 0; number <= 10_000; number++) memory.add(String(number));
		expect([memory.has("0"), memory.has("1"), memory.has("10000")]).toEqual([false, true, true]);
	});

	it("knows what has come again and was acked, until it is settled once more", () => {
		const memory = new SettledMemory();
		memory.cameAgain("a");
		expect([memory.has("a"), memory.isGone("a")]).toEqual([false, false]);
		memory.add("a");
		expect(memory.isGone("a")).toBe(false);
		memory.cameAgain("a");
		expect(memory.isGone("a")).toBe(true);
		memory.add("a");
		expect(memory.isGone("a")).toBe(false);
	});
});

describe("messages with one id", () => {
	it("of two publishers that have counted alike are not taken for each other, and one that comes again is", () => {
		const memory = new SettledMemory();
		memory.add(mail({ correlationId: "one 1" }).key);
		const known = [{ correlationId: "one 1" }, { correlationId: "two 1" }, { correlationId: "one 2" }].map(
			(properties) => memory.has(mail(properties).key),
		);
		expect(known).toEqual([true, false, false]);
	});

	it("are known by the names of their copies, whoever passed them on", () => {
		const memory = new SettledMemory();
		memory.add(mail({ correlationId: "one 1" }, { "x-qmtp-copy": "first 1" }).key);
		const known = ["first 1", "second 1", "first 2"].map((copy) =>
			memory.has(mail({ correlationId: "one 9" }, { "x-qmtp-copy": copy }).key),
		);
		expect(known).toEqual([true, false, false]);
	});

	it("of two machines, published in one millisecond or another, are apart without any mark", () => {
		const memory = new SettledMemory();
		memory.add(mail({}, { "x-qmtp-queued-at": 1 }).key);
		expect(memory.has(mail({}, { "x-qmtp-queued-at": 2 }).key)).toBe(false);
	});
});

describe("who is left", () => {
	it("is remembered by positions, again and again, and for that message alone", () => {
		const rests = new Rests();
		const first = mail({ correlationId: "one" });
		rests.add(first, [0, 2, 3]);
		const second = rests.of(mail({ correlationId: "one" }));
		expect(second.envelope.recipients).toEqual(["a", "a", "c"]);
		rests.add(second, [1, 2]);
		expect(rests.of(mail({ correlationId: "one" })).envelope.recipients).toEqual(["a", "c"]);
		expect(rests.of(mail({ correlationId: "two" })).envelope.recipients).toEqual(["a", "b", "a", "c"]);
	});

	it("is forgotten for the oldest when there are a thousand others", () => {
		const rests = new Rests();
		for (let number = 0; number <= 1000; number++) rests.add(mail({ correlationId: `${number}` }), [0]);
		const left = [0, 1, 1000].map((number) => rests.of(mail({ correlationId: `${number}` })).positions);
		expect(left.map((positions) => positions?.length)).toEqual([undefined, 1, 1]);
	});
});

describe("the window", () => {
	it("is as many messages of the size that came lately as there is room for, and changes seldom", () => {
		const window = new ByteWindow(64_000_000);
		const seen = new Set<number>();
		for (let count = 0; count < 200; count++) {
			window.take(1000);
			window.release(1000);
			seen.add(window.messages);
		}
		expect(window.messages).toBe(32_768); // 64,000 rounded down
		expect(seen.size).toBeLessThan(12);
		for (let count = 0; count < 50; count++) {
			window.take(16_000_000);
			window.release(16_000_000);
		}
		expect(window.messages).toBe(4);
		for (let count = 0; count < 60; count++) {
			window.take(100_000_000);
			window.release(100_000_000);
		}
		expect(window.messages).toBe(1); // a message larger than the window comes alone
	});

	it("has room for as many as fit beside what is held, and for one of any size when nothing is", () => {
		const window = new ByteWindow(100_000);
		for (let count = 0; count < 200; count++) {
			window.take(1000);
			window.release(1000);
		}
		expect([window.room > 95, window.room <= 100]).toEqual([true, true]);
		window.take(50_000);
		expect(window.room).toBeLessThan(10); // for they are larger now
		window.take(60_000);
		expect(window.room).toBeLessThanOrEqual(0);
		window.release(110_000);
		for (let count = 0; count < 100; count++) window.leaveOut(1_000_000);
		expect(window.room).toBe(1);
	});

	it("does not soon grow again for small ones when large ones were left out", () => {
		const [bold, careful] = [new ByteWindow(1_000_000), new ByteWindow(1_000_000)];
		for (const window of [bold, careful]) {
			for (let count = 0; count < 100; count++) {
				window.take(100_000);
				window.release(100_000);
			}
		}
		careful.leaveOut(100_000);
		for (const window of [bold, careful]) {
			for (let count = 0; count < 60; count++) {
				window.take(100);
				window.release(100);
			}
		}
		expect([bold.messages > 1000, careful.messages < 20]).toEqual([true, true]);
	});

	it("lets nothing come when enough is held, and takes nothing in when far too much is", () => {
		const window = new ByteWindow(1000);
		window.take(999);
		expect(window.messages).toBeGreaterThan(0);
		window.take(1);
		expect([window.messages, window.isFull]).toEqual([0, false]);
		window.take(1000);
		expect(window.isFull).toBe(true);
		window.release(1001);
		expect([window.messages > 0, window.isFull]).toEqual([true, false]);
	});
});

/** A message to four, two of whom are one. */
function mail(properties: object, headers: object = {}): Mail {
	const envelope = { sender: "", recipients: ["a", "b", "a", "c"] };
	const { head, tail } = encodePackage(envelope, { encoding: "lf", length: 2 });
	const all = { "x-qmtp-encoding": "utf-8", "x-qmtp-queued-at": 1_800_000_000_000, ...headers };
	const message = {
		content: Buffer.concat([head, Buffer.from("x\n"), tail]),
		properties: { messageId: "1", headers: all, ...properties },
		fields: {},
	};
	const channel = { isOpen: true, ack: async () => {}, nack: () => {} };
	return readMail(new Arrival(message as unknown as ConsumeMessage, channel));
}
