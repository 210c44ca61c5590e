/** A target: that it is held to the median, and what is said of it. */
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { Target } from "../../benchmarks/results.js";
import { type Goal, holdTo } from "../../benchmarks/target.js";

const recorded = vi.hoisted(() => [] as Target[]);
vi.mock("../../benchmarks/results.js", () => ({
	recordTarget: (target: Target) => void recorded.push(target),
}));

beforeEach(() => void recorded.splice(0));

describe("holdTo", () => {
	test.each([
		["at least, reached by the median", { samples: [0.6, 0.7, 0.8], atLeast: 0.7 }, true, "met, with 0.700"],
		["at most, reached by the median", { samples: [9, 3, 1], atMost: 3 }, true, "met, with 3.000"],
		["at least, missed", { samples: [0.1, 0.2, 0.69999], atLeast: 0.7 }, false, ": MISSED, with 0.200"],
		[
			"at least, missed but in one round",
			{ samples: [0.798, 0.798, 0.9], atLeast: 0.8 },
			false,
			": MISSED in the median, met in the best round, with 0.798 (0.798 to 0.900)",
		],
		["at most, missed", { samples: [25, 24.01], atMost: 24 }, false, ": MISSED, with 24.5"],
		[
			"missed, with an alternative",
			{ samples: [0.1], atLeast: 1, metOtherwise: true },
			true,
			"met, with 0.100",
		],
	])("%s", (_, goal, met, said) => {
		expect(lineOf({ benchmark: "b", name: "this to that", ...goal })).toContain(said);
		const { metOtherwise, ...rest } = { metOtherwise: false, ...goal };
		expect(recorded).toEqual([
			{ benchmark: "b", name: "this to that", ...rest, value: expect.any(Number), met },
		]);
	});

	test("says the bound, and the note", () => {
		const goal = { benchmark: "b", name: "this to that", samples: [1], note: "or else" };
		expect(lineOf({ ...goal, atLeast: 0.7 })).toBe(
			"  target: this to that, at least 0.7: met, with 1.000 (1.000 to 1.000); or else",
		);
		expect(lineOf({ ...goal, atMost: 3 })).toContain("this to that, at most 3: met");
		expect(recorded).toMatchObject([{ note: "or else", value: 1 }, { value: 1 }]);
	});
});

function lineOf(goal: Goal): string {
	const log = vi.spyOn(console, "log").mockImplementation(() => {});
	onTestFinished(() => log.mockRestore());
	holdTo(goal);
	return log.mock.calls.at(-1)?.[0] ?? "";
}
