/** The memory of what was settled, and the bound of what comes in. */
import { describe, expect, it } from "vitest";
import { ByteWindow } from "../../src/queue/rabbitmq/byte-window.js";
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
