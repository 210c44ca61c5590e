/** Compares ways to do the same work in memory: measures them in turns, prints them as a table, and holds them to targets. */
import { copiedBytes, type Findings, type Pass, timed } from "./measure.js";
import { figure, printTable, spread } from "./report.js";
import { record } from "./results.js";
import { inTurns, median, ratio, ratios, type Samples, samplesOf } from "./rounds.js";
import { holdTo } from "./target.js";

/** What is compared. */
export interface Comparison {
	/** The benchmark, as `npm run bench -- NAME` calls it. */
	readonly benchmark: string;
	/** Heads the table. */
	readonly title: string;
	/** What the passes go through, in the singular. */
	readonly item: string;
	/** All of them; the first one is what the others' ratios refer to. */
	readonly passes: readonly Pass[];
	/** What each pass must find. */
	readonly expected: Pick<Findings, "items" | "bytes">;
	readonly rounds: number;
}

/** A ratio of speeds that must be reached. */
export interface SpeedTarget {
	/** The pass that is held to it. */
	readonly pass: string;
	/** The pass that it is compared with. */
	readonly to: string;
	/** How many times as fast it must be. */
	readonly atLeast: number;
	/** So many items a second are enough as well. */
	readonly orPerSecond?: number;
}

/** Measures the passes, and prints and records nanoseconds of CPU time for each item. */
export async function compare(comparison: Comparison): Promise<Samples> {
	const { benchmark, title, item, passes, expected, rounds } = comparison;
	const samples = await inTurns(
		passes.map((pass) => timed(pass, expected)),
		rounds,
	);
	const first = (passes[0] as Pass).name;
	const rows = [[title, `ns/${item}`, `${item}s/s`, "speed", `bytes copied/${item}`]];
	for (const pass of passes) {
		const times = samplesOf(samples, pass.name);
		rows.push([
			pass.name,
			spread(times),
			figure(1e9 / median(times)),
			figure(ratio(samples, first, pass.name)),
			figure(await copiedBytes(pass, expected.items)),
		]);
		record({
			benchmark,
			name: `${title}: ${pass.name}`,
			unit: `ns/${item}`,
			samples: times,
			better: "lower",
		});
	}
	printTable(rows);
	return samples;
}

/** Holds the speed of a pass to a target. */
export function holdSpeed(
	{ benchmark, title, item }: Comparison,
	samples: Samples,
	target: SpeedTarget,
): void {
	const { pass, to, atLeast, orPerSecond } = target;
	const goal = { benchmark, name: `${title}: ${pass} to ${to}`, samples: ratios(samples, to, pass), atLeast };
	console.log();
	if (orPerSecond === undefined) {
		holdTo(goal);
	} else {
		const perSecond = 1e9 / median(samplesOf(samples, pass));
		const note = `or ${figure(orPerSecond)} ${item}s/s; it has ${figure(perSecond)}`;
		holdTo({ ...goal, note, metOtherwise: perSecond >= orPerSecond });
	}
}
