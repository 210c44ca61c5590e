/** What the benchmarks print: titles, tables, and figures with their spread. */
import { availableParallelism, loadavg } from "node:os";
import { median } from "./rounds.js";

/** Prints a benchmark's title, with what its figures depend on. */
export function printTitle(title: string, rounds: number): void {
	const machine = `Node ${process.versions.node}, ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)}`;
	console.log(`\n${title}\n${machine}; ${rounds} ${rounds === 1 ? "round" : "rounds"}, medians (and range)`);
}

/** Prints rows of cells in columns; the first row is the heading, the first column stands left. */
export function printTable(rows: readonly (readonly string[])[]): void {
	const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
	console.log();
	for (const row of rows) {
		const cells = widths.map((width, column) => {
			const cell = row[column] ?? "";
			return column === 0 ? cell.padEnd(width) : cell.padStart(width);
		});
		console.log(`  ${cells.join("   ")}`.trimEnd());
	}
}

/** The median of some samples and their range: `35.2 (33.9 to 41.0)`. */
export function spread(samples: readonly number[], format: (value: number) => string = figure): string {
	return `${format(median(samples))} (${format(Math.min(...samples))} to ${format(Math.max(...samples))})`;
}

/** A number with three digits that matter, and thousands set apart. */
export function figure(value: number): string {
	const decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2;
	return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}
