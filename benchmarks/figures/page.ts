/** The page of a report, in Markdown: what it was measured on, the targets, and a chart and a table for each group. */
import { figure } from "../report.js";
import type { Target } from "../results.js";
import { median } from "../rounds.js";
import { type ChartGroup, chartGroups, chartName } from "./chart.js";
import type { Report } from "./report.js";

/** Writes the page. The charts are expected beside it. */
export function reportPage(report: Report): string {
	const { machine, node, date, commit, targets } = report;
	const names = [...new Set([...report.results, ...targets].map(({ benchmark }) => benchmark))];
	const groups = chartGroups(report.results);
	const parts = [
		"# Benchmarks",
		"`npm run bench -- --report` has written this page, its charts, and `results.json`. What each benchmark does, and what it" +
			" defends against, is said at the top of `benchmarks/NAME/main.ts`. Figures depend on the machine, and on what else it" +
			" did; the targets are ratios within one run.",
		[
			`- ${machine.cpu}, ${machine.cores} cores, ${machine.system}`,
			`- Node ${node}`,
			`- ${date.slice(0, 10)}, commit ${commit}`,
		].join("\n"),
		"## Targets",
		table(["benchmark", "what", "target", "median", "range", "reached"], targets.map(targetRow)),
	];
	for (const name of names) {
		const own = groups.filter(({ benchmark }) => benchmark === name);
		if (own.length > 0)
			parts.push(`## ${name}`, ...own.flatMap((group) => [picture(group), figuresTable(group)]));
	}
	return `${parts.join("\n\n")}\n`;
}

function targetRow({ benchmark, name, atLeast, atMost, value, samples, met, note }: Target): string[] {
	const bounds = [
		...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
		...(atMost === undefined ? [] : [`at most ${atMost}`]),
	];
	const reached = `${met ? "yes" : "**no**"}${note === undefined ? "" : `; ${note}`}`;
	return [benchmark, name, bounds.join(", "), figure(value), range(samples), reached];
}

function picture(group: ChartGroup): string {
	const { benchmark, unit } = group;
	return [
		"<picture>",
		`  <source media="(prefers-color-scheme: dark)" srcset="${chartName(group, "dark")}">`,
		`  <img alt="${benchmark}: ${unit}" src="${chartName(group, "light")}">`,
		"</picture>",
	].join("\n");
}

function figuresTable({ results, unit, better }: ChartGroup): string {
	return table(
		[`${unit}, ${better} is better`, "median", "range"],
		results.map(({ name, samples }) => [name, figure(median(samples)), range(samples)]),
	);
}

function range(samples: readonly number[]): string {
	if (samples.length < 2) return "";
	return `${figure(Math.min(...samples))} to ${figure(Math.max(...samples))}`;
}

function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) =>
		`| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
	return [line(heading), line(heading.map(() => "---")), ...rows.map(line)].join("\n");
}
