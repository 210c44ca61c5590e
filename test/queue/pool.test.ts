import { expect, test } from "vitest";
import { Pool } from "../../src/queue/pool.js";

test("an item is nobody else's until it is given back", async () => {
	let made = 0;
	const pool = new Pool(2, () => ++made);
	expect([pool.take(), pool.take()]).toEqual([1, 2]);
	const third = pool.take();
	const fourth = pool.take();
	pool.give(2);
	expect(await third).toBe(2); // who came first
	pool.give(1);
	expect(await fourth).toBe(1);
	pool.give(1);
	expect(pool.take()).toBe(1);
	expect(made).toBe(2);
});

test("items are made when they are needed, and used again", () => {
	let made = 0;
	const pool = new Pool(100, () => ++made);
	for (let count = 0; count < 10; count++) pool.give(pool.take() as number);
	expect(made).toBe(1);
});

test("an item comes back when its use has failed", async () => {
	const pool = new Pool(1, () => "item");
	const fail = () => Promise.reject(new Error("no use"));
	await expect(pool.with(fail)).rejects.toThrow("no use");
	const uses = [pool.with(async (item) => item), pool.with(fail), pool.with(async (item) => item)];
	const results = await Promise.allSettled(uses);
	expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});
