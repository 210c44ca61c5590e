/** The figures of one run, with what they depend on: what `npm run bench -- --report` keeps, as JSON. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, type } from "node:os";
import type { Result, Target } from "../results.js";

/** A run. */
export interface Report {
	readonly machine: Machine;
	/** Node's version. */
	readonly node: string;
	/** When the run ended, in ISO 8601. */
	readonly date: string;
	/** What was measured; with `+` at its end if files had been changed. "unknown" without git. */
	readonly commit: string;
	readonly results: readonly Result[];
	readonly targets: readonly Target[];
}

/** What the figures were measured on. */
export interface Machine {
	/** The model. */
	readonly cpu: string;
	readonly cores: number;
	readonly system: string;
}

/** Makes the report of what benchmarks have recorded, a JSON object a line. @param folder - The checkout. */
export function reportOf(lines: string, folder: string): Report {
	const entries = lines
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => rounded(JSON.parse(line) as Result | Target));
	return {
		machine: {
			cpu: cpus()[0]?.model.trim() ?? "unknown",
			cores: availableParallelism(),
			system: `${type()} ${arch()}`,
		},
		node: process.versions.node,
		date: new Date().toISOString(),
		commit: commitOf(folder),
		results: entries.filter((entry): entry is Result => !isTarget(entry)),
		targets: entries.filter(isTarget),
	};
}

/** Reads a report that was kept. Throws if the file is none. */
export function readReport(path: string): Report {
	const report = JSON.parse(readFileSync(path, "utf8")) as Partial<Report> | null;
	const { machine, results, targets } = report ?? {};
	if (machine === undefined || !Array.isArray(results) || !Array.isArray(targets)) {
		throw new Error(`${path} is not a report of npm run bench`);
	}
	return report as Report;
}

/** As it is kept. */
export function reportText(report: Report): string {
	return `${JSON.stringify(report, null, "\t")}\n`;
}

function isTarget(entry: Result | Target): entry is Target {
	return "met" in entry;
}

/** Five digits: the rest is noise, and would change with every run. */
function rounded<Entry extends Result | Target>(entry: Entry): Entry {
	const round = (value: number) => Number(value.toPrecision(5));
	const samples = entry.samples.map(round);
	return isTarget(entry) ? { ...entry, samples, value: round(entry.value) } : { ...entry, samples };
}

function commitOf(folder: string): string {
	const git = (...args: readonly string[]) =>
		execFileSync("git", ["-C", folder, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
	try {
		const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
		return git("rev-parse", "HEAD").trim() + (changed ? "+" : "");
	} catch {
		return "unknown";
	}
}
