/**
 * What scripts/bench.mjs runs behind the benchmarks: makes a report of what they have recorded.
 *
 * - `--results FILE`: what they have recorded.
 * - `--root FOLDER`: the checkout.
 * - `--report FOLDER`: where the report goes, in place of the one that is there: results.json, README.md and the charts.
 * - `--compare FILE`: prints what has changed since this one, which is read before anything is written.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type ChartGroup, chartGroups, chartName, chartSvg } from "./chart.js";
import { printChanges } from "./comparison.js";
import { reportPage } from "./page.js";
import { type Report, readReport, reportOf, reportText } from "./report.js";

const { values } = parseArgs({
	options: {
		results: { type: "string" },
		root: { type: "string" },
		report: { type: "string" },
		compare: { type: "string" },
	},
});
const report = reportOf(readFileSync(values.results as string, "utf8"), values.root as string);
const earlier = values.compare === undefined ? undefined : readReport(values.compare);
if (values.report !== undefined) write(report, values.report);
if (earlier !== undefined) printChanges(earlier, report);

function write(report: Report, folder: string): void {
	mkdirSync(folder, { recursive: true });
	const charts = readdirSync(folder).filter((name) => name.endsWith(".svg"));
	for (const name of charts) rmSync(join(folder, name));
	for (const group of chartGroups(report.results)) writeCharts(group, folder);
	writeFileSync(join(folder, "results.json"), reportText(report));
	writeFileSync(join(folder, "README.md"), reportPage(report));
	console.log(`\nreport: ${folder}`);
}

function writeCharts(group: ChartGroup, folder: string): void {
	for (const theme of ["light", "dark"] as const) {
		writeFileSync(join(folder, chartName(group, theme)), chartSvg(group, theme));
	}
}
