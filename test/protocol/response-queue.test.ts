import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { accepted, rejected } from "../../src/protocol/response.js";
import { ResponseQueue } from "../../src/protocol/response-queue.js";

describe("ResponseQueue", () => {
	test("numbers packages from 0, and goes on when they are answered", () => {
		const queue = new ResponseQueue();
		expect([queue.add(1), queue.add(0), queue.add(2)]).toEqual([0, 1, 2]);
		queue.respond(0, [accepted()]);
		expect(queue.take()).toHaveLength(1);
		expect(queue.add(1)).toBe(3);
		expect(queue.pending).toBe(3);
	});

	test("holds responses back until all packages before have theirs", () => {
		const queue = new ResponseQueue();
		for (let number = 0; number < 4; number++) queue.add(1);
		queue.respond(3, [accepted("3")]);
		queue.respond(1, [accepted("1")]);
		expect(queue.take()).toEqual([]);
		expect(queue.pending).toBe(4);
		queue.respond(0, [accepted("0")]);
		expect(queue.take()).toEqual([accepted("0"), accepted("1")]);
		expect(queue.pending).toBe(2);
		expect(queue.take()).toEqual([]);
		queue.respond(2, [accepted("2")]);
		expect(queue.take()).toEqual([accepted("2"), accepted("3")]);
		expect(queue.pending).toBe(0);
		expect(queue.take()).toEqual([]);
	});

	test("keeps the order of a package's recipients", () => {
		const queue = new ResponseQueue();
		queue.add(3);
		queue.respond(0, [accepted("a"), rejected("b"), accepted("c")]);
		expect(queue.take()).toEqual([accepted("a"), rejected("b"), accepted("c")]);
	});

	test("a package without recipients must be answered too, by nothing", () => {
		const queue = new ResponseQueue();
		queue.add(0);
		queue.add(1);
		queue.respond(1, [accepted()]);
		expect(queue.take()).toEqual([]);
		queue.respond(0, []);
		expect(queue.take()).toEqual([accepted()]);
		expect(queue.pending).toBe(0);
	});

	describe("ERR_QMTP_RESPONSES", () => {
		const refused = expect.objectContaining({ code: "ERR_QMTP_RESPONSES", name: "UsageError" });

		test.each([0, 1, 2, -1, 0.5, Number.NaN, Infinity])("for package %d, which was not added", (number) => {
			const queue = new ResponseQueue();
			if (number !== 0) queue.add(1);
			expect(() => queue.respond(number, [accepted()])).toThrow(refused);
		});

		test("for a second answer, sent or not", () => {
			const queue = new ResponseQueue();
			queue.add(1);
			queue.add(1);
			queue.respond(1, [accepted()]);
			expect(() => queue.respond(1, [accepted()])).toThrow(refused);
			queue.respond(0, [accepted()]);
			queue.take();
			expect(() => queue.respond(0, [accepted()])).toThrow(refused);
			expect(() => queue.respond(1, [accepted()])).toThrow(refused);
		});

		test("for a wrong number of responses; the right one is still taken after that", () => {
			const queue = new ResponseQueue();
			queue.add(2);
			for (const count of [0, 1, 3]) {
				expect(() => queue.respond(0, Array(count).fill(accepted()))).toThrow(refused);
			}
			queue.respond(0, [accepted(), rejected()]);
			expect(queue.take()).toEqual([accepted(), rejected()]);
		});
	});

	test("a hundred thousand packages, answered and taken in any order, are moved only a few times each", () => {
		const slices = countSliced(() => {
			const queue = new ResponseQueue();
			const window = 1000;
			let taken = 0;
			for (let number = 0; number < 100_000; number++) {
				queue.add(1);
				// Pairs in the wrong order, a window behind the newest package.
				if (number >= window) queue.respond((number - window) ^ 1, [accepted(String((number - window) ^ 1))]);
				for (const { description } of queue.take()) {
					if (description !== String(taken++)) expect.unreachable(`${description} is not in order`);
				}
			}
			expect(queue.pending).toBe(window);
			expect(taken).toBe(99_000);
		});
		expect(slices).toBeLessThan(2 * 100_000);
	});

	test("whatever the order of the answers, what is taken is in order", () => {
		fc.assert(
			fc.property(
				fc.array(fc.nat(3), { maxLength: 30 }).chain((recipients) => {
					const numbers = recipients.map((_, number) => number);
					const order = fc.shuffledSubarray(numbers, { minLength: numbers.length });
					return fc.tuple(fc.constant(recipients), order);
				}),
				([recipients, order]) => {
					const queue = new ResponseQueue();
					for (const count of recipients) queue.add(count);
					const responses = recipients.map((count, number) =>
						Array.from({ length: count }, (_, index) => accepted(`${number} ${index}`)),
					);
					const answered = new Set<number>();
					const taken: unknown[] = [];
					for (const number of order) {
						queue.respond(number, responses[number] ?? []);
						answered.add(number);
						taken.push(...queue.take());
						const firstUnanswered = recipients.findIndex((_, index) => !answered.has(index));
						const complete = firstUnanswered === -1 ? recipients.length : firstUnanswered;
						expect(taken).toEqual(responses.slice(0, complete).flat());
						expect(queue.pending).toBe(recipients.length - complete);
					}
				},
			),
		);
	});
});

/** How many elements the slices of arrays have while something runs. */
function countSliced(run: () => void): number {
	const { slice } = Array.prototype;
	let count = 0;
	Array.prototype.slice = function (this: unknown[], ...range) {
		const sliced = slice.apply(this, range);
		count += sliced.length;
		return sliced;
	};
	try {
		run();
	} finally {
		Array.prototype.slice = slice;
	}
	return count;
}
