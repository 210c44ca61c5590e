/** A figure that is held to a target: printed in one line, and recorded. */
import { figure, spread } from "./report.js";
import { recordTarget } from "./results.js";
import { median } from "./rounds.js";

/** What is held to a target. One of `atLeast` and `atMost` is given. */
export interface Goal {
	/** The benchmark, as `npm run bench -- NAME` calls it. */
	readonly benchmark: string;
	/** What is compared with what, unique within the benchmark. */
	readonly name: string;
	/** One for each round. The median counts. */
	readonly samples: readonly number[];
	readonly atLeast?: number;
	readonly atMost?: number;
	/** What else there is to say. */
	readonly note?: string;
	/** Says that the target is reached although the median misses the bound, where it has an alternative. */
	readonly metOtherwise?: boolean;
}

/** Prints whether the target is reached, and records it. A target that is missed is said, and is no failure. */
export function holdTo({ metOtherwise = false, ...goal }: Goal): void {
	const { samples, atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = goal;
	const isMet = (value: number) => value >= atLeast && value <= atMost;
	const value = median(samples);
	const met = isMet(value) || metOtherwise;
	const verdict = met
		? "met"
		: samples.some(isMet)
			? "MISSED in the median, met in the best round"
			: "MISSED";
	recordTarget({ ...goal, value, met });
	const bound = goal.atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
	const note = goal.note === undefined ? "" : `; ${goal.note}`;
	console.log(`  target: ${goal.name}, ${bound}: ${verdict}, with ${spread(samples, exact)}${note}`);
}

/** Ratios are near one another: three decimals, so that 0.798 is not shown as a 0.8 that is missed. */
function exact(value: number): string {
	return Math.abs(value) < 10 ? value.toFixed(3) : figure(value);
}
