/** What has changed from one report to another. */
import { figure, printTable } from "../report.js";
import type { Result, Target } from "../results.js";
import { median } from "../rounds.js";
import type { Report } from "./report.js";

/** A figure of both reports, or of one of them. */
export interface Change {
	readonly benchmark: string;
	readonly name: string;
	/** The unit; "target" of what is held to a target. */
	readonly unit: string;
	/** The median, if it was there. */
	readonly old?: number;
	/** The median, if it is there. */
	readonly new?: number;
	/** New to old, of a figure that both have. */
	readonly ratio?: number;
	/** Whether the ranges have nothing in common; else it may be noise, and it is undefined. */
	readonly verdict?: "better" | "worse";
}

/**
 * Compares what both reports have, by benchmark, name and unit, in the order of the new one. What only one of them has
 * comes with the one value; but a benchmark that was not run this time is left out.
 */
export function changesBetween(before: Report, after: Report): Change[] {
	const old = byKey(before);
	const now = byKey(after);
	const ran = new Set([...now.values()].map(({ benchmark }) => benchmark));
	const gone = [...old].filter(([key, { benchmark }]) => !now.has(key) && ran.has(benchmark));
	return [
		...[...now].map(([key, entry]) => change(old.get(key), entry)),
		...gone.map(([, entry]) => change(entry, undefined)),
	];
}

/** Prints the changes, a table for each benchmark. */
export function printChanges(before: Report, after: Report): void {
	console.log(`\nold: ${described(before)}\nnew: ${described(after)}`);
	if (before.machine.cpu !== after.machine.cpu || before.machine.cores !== after.machine.cores) {
		console.log("These are different machines: compare the targets, which are ratios, and not the figures.");
	}
	const changes = changesBetween(before, after);
	const cell = (value: number | undefined) => (value === undefined ? "-" : figure(value));
	for (const benchmark of new Set(changes.map((change) => change.benchmark))) {
		const rows = changes
			.filter((change) => change.benchmark === benchmark)
			.map((change) => [
				`${change.name}, ${change.unit}`,
				cell(change.old),
				cell(change.new),
				cell(change.ratio),
				change.verdict ?? "",
			]);
		printTable([[benchmark, "old", "new", "ratio", "beyond the range"], ...rows]);
	}
}

/** One figure, or one target, of a report. */
interface Entry {
	readonly benchmark: string;
	readonly name: string;
	readonly unit: string;
	readonly better: "higher" | "lower";
	readonly samples: readonly number[];
	readonly value: number;
}

function byKey({ results, targets }: Report): Map<string, Entry> {
	const entries = [...results.map(ofResult), ...targets.map(ofTarget)];
	return new Map(entries.map((entry) => [JSON.stringify([entry.benchmark, entry.name, entry.unit]), entry]));
}

function ofResult(result: Result): Entry {
	return { ...result, value: median(result.samples) };
}

function ofTarget({ benchmark, name, atMost, samples, value }: Target): Entry {
	return {
		benchmark,
		name,
		unit: "target",
		better: atMost === undefined ? "higher" : "lower",
		samples,
		value,
	};
}

function change(old: Entry | undefined, now: Entry | undefined): Change {
	const { benchmark, name, unit } = (now ?? old) as Entry;
	if (old === undefined || now === undefined) {
		const present = old === undefined ? { new: now?.value as number } : { old: old.value };
		return { benchmark, name, unit, ...present };
	}
	const verdict = verdictOf(old, now);
	return {
		benchmark,
		name,
		unit,
		old: old.value,
		new: now.value,
		...(old.value === 0 ? {} : { ratio: now.value / old.value }),
		...(verdict === undefined ? {} : { verdict }),
	};
}

/** A single sample has no range, and says nothing about noise. */
function verdictOf(old: Entry, now: Entry): "better" | "worse" | undefined {
	if (old.samples.length < 2 || now.samples.length < 2) return undefined;
	const isHigher = Math.min(...now.samples) > Math.max(...old.samples);
	const isLower = Math.max(...now.samples) < Math.min(...old.samples);
	if (!isHigher && !isLower) return undefined;
	return isHigher === (now.better === "higher") ? "better" : "worse";
}

function described({ machine, node, date, commit }: Report): string {
	return `${date.slice(0, 10)}, commit ${commit}, Node ${node}, ${machine.cpu}, ${machine.cores} cores`;
}
