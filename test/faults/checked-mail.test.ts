/** What the tests with faults and the soak run rely on: messages that tell whether they are whole, and what grows. */
import { describe, expect, test } from "vitest";
import { checkedBody, readChecked } from "../../benchmarks/soak/checked-mail.js";
import { growthOf, WARM_UP } from "../../benchmarks/soak/growth.js";
import { Random } from "../../benchmarks/soak/random.js";

describe("a checked message", () => {
	test.each([0, 1, 1000, 2_500_000])("of %i bytes is whole, with lines on top of it and without", (size) => {
		const body = checkedBody("some-id", size, new Random(7));
		expect(readChecked(body)).toEqual({ id: "some-id", whole: true });
		const stored = Buffer.concat([Buffer.from("Return-Path: <>\nReceived: from a\n  by b\n"), body]);
		expect(readChecked(stored)).toEqual({ id: "some-id", whole: true });
	});

	test("is not whole with a byte less, a byte more, or another byte anywhere", () => {
		const body = checkedBody("id", 100, new Random(7));
		expect(readChecked(body.subarray(0, -1))?.whole).toBe(false);
		expect(readChecked(Buffer.concat([body, Buffer.from("x")]))?.whole).toBe(false);
		for (let at = body.indexOf("\n\n") + 2; at < body.length; at++) {
			const other = Buffer.from(body);
			other[at] = (other[at] as number) ^ 1;
			expect(readChecked(other)?.whole).toBe(false);
		}
		expect(readChecked(Buffer.from("Subject: another\n\nmail\n"))).toBe(null);
		expect(readChecked(body.subarray(0, 10))).toBe(null);
	});
});

describe("growth", () => {
	const holdings = (memories: readonly number[]) => memories.map((memory) => ({ memory, descriptors: 20 }));
	const before = new Array<number>(1 + WARM_UP).fill(0);

	test("is that of the medians of the first third and the last, after the warm-up", () => {
		const memories = [...before, 10, 11, 12, 500, 500, 500, 31, 900, 30];
		expect(growthOf(holdings(memories))).toEqual({ memory: 20, descriptors: 0 });
	});

	test("is not told from less than six samples", () => {
		expect(growthOf(holdings([...before, 1, 2, 3, 4, 5]))).toBe(null);
		expect(growthOf(holdings([...before, 1, 1, 3, 4, 5, 5]))).toEqual({ memory: 4, descriptors: 0 });
	});
});
