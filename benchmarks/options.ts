/** The arguments of a benchmark's main.js, as scripts/bench.mjs passes them on. */
import { parseArgs } from "node:util";

/** What a benchmark can be told. */
export interface BenchmarkOptions {
	/** How often each thing is measured, the warm-up not counted. */
	readonly rounds: number;
	/** Whether server processes write CPU profiles. */
	readonly cpuProf: boolean;
}

/** Reads the arguments of this process. */
export function benchmarkOptions(defaults: { readonly rounds: number }): BenchmarkOptions {
	const { values } = parseArgs({ options: { rounds: { type: "string" }, "cpu-prof": { type: "boolean" } } });
	return { rounds: Number(values.rounds ?? defaults.rounds), cpuProf: values["cpu-prof"] ?? false };
}
