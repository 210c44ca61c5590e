/**
 * What the benchmarks found, for programs: kept as it is recorded, and appended at the exit of the process, one JSON
 * object a line, to the file that QMTP_BENCH_RESULTS names. Without that variable nothing is written.
 *
 * A line is a {@link Result} or a {@link Target}; only targets have `met`.
 */
import { appendFileSync } from "node:fs";

/** One figure of a benchmark. */
export interface Result {
	/** The benchmark, as `npm run bench -- NAME` calls it. */
	readonly benchmark: string;
	/** What was measured, unique within the benchmark. */
	readonly name: string;
	/** What the samples count. */
	readonly unit: string;
	/** One for each round, in their order. */
	readonly samples: readonly number[];
	/** Which way is good. */
	readonly better: "higher" | "lower";
}

/** A ratio with its target. */
export interface Target {
	/** The benchmark, as `npm run bench -- NAME` calls it. */
	readonly benchmark: string;
	/** What is held to the target, unique within the benchmark. */
	readonly name: string;
	/** What counts: the median. */
	readonly value: number;
	/** One for each round, in their order. */
	readonly samples: readonly number[];
	/** The least that is good enough. */
	readonly atLeast?: number;
	/** The most that is good enough. */
	readonly atMost?: number;
	/** Whether it is. */
	readonly met: boolean;
	/** What else there is to say, such as what stands in the way. */
	readonly note?: string;
}

/** Keeps a figure. */
export function record(result: Result): void {
	keep(result);
}

/** Keeps a ratio that is held to a target. */
export function recordTarget(target: Target): void {
	keep(target);
}

function keep(entry: Result | Target): void {
	if (lines.length === 0) process.once("exit", append);
	lines.push(JSON.stringify(entry));
}

function append(): void {
	const { QMTP_BENCH_RESULTS } = process.env;
	if (QMTP_BENCH_RESULTS) appendFileSync(QMTP_BENCH_RESULTS, lines.map((line) => `${line}\n`).join(""));
}

const lines: string[] = [];
