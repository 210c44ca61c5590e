/** What is kept of a run of the benchmarks, and what is said of two. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { chartGroups, chartName, chartSvg } from "../../benchmarks/figures/chart.js";
import { changesBetween, printChanges } from "../../benchmarks/figures/comparison.js";
import { reportPage } from "../../benchmarks/figures/page.js";
import { type Report, readReport, reportOf, reportText } from "../../benchmarks/figures/report.js";
import type { Result, Target } from "../../benchmarks/results.js";

const FIXTURE = fileURLToPath(new URL("../fixtures/bench-report.json", import.meta.url));
const report = readReport(FIXTURE);

describe("a report", () => {
	test("holds what was recorded, figures apart from targets, with five digits", () => {
		const result = { benchmark: "b", name: "n", unit: "ms", samples: [1.23456789, 1000], better: "lower" };
		const target = {
			benchmark: "b",
			name: "t",
			samples: [0.123456],
			value: 0.123456,
			atLeast: 1,
			met: false,
		};
		const made = reportOf(`${JSON.stringify(result)}\n${JSON.stringify(target)}\n`, "/");
		expect(made.results).toEqual([{ ...result, samples: [1.2346, 1000] }]);
		expect(made.targets).toEqual([{ ...target, samples: [0.12346], value: 0.12346 }]);
		expect(made.machine).toEqual({
			cpu: expect.stringMatching(/./),
			cores: expect.any(Number),
			system: expect.stringMatching(/ /),
		});
		expect(made).toMatchObject({ node: process.versions.node, commit: "unknown" });
		expect(Math.abs(Date.parse(made.date) - Date.now())).toBeLessThan(60_000);
	});

	test("names the commit, and says when files had been changed", () => {
		const folder = temporary();
		const git = (...args: readonly string[]) =>
			execFileSync("git", ["-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org", ...args], {
				encoding: "utf8",
			});
		git("init", "--quiet");
		writeFileSync(join(folder, "file"), "1");
		git("add", "file");
		git("commit", "--quiet", "--message", "one");
		const commit = git("rev-parse", "HEAD").trim();
		expect(reportOf("", folder).commit).toBe(commit);
		writeFileSync(join(folder, "file"), "2");
		expect(reportOf("", folder).commit).toBe(`${commit}+`);
	});

	test("is read again as it was kept", () => {
		const path = join(temporary(), "results.json");
		writeFileSync(path, reportText(report));
		expect(readReport(path)).toEqual(report);
	});

	test.each(["[]", "null", '{"results":[]}', '{"machine":{},"results":{},"targets":[]}'])(
		"is not what a file holds that says %s",
		(text) => {
			const path = join(temporary(), "other.json");
			writeFileSync(path, text);
			expect(() => readReport(path)).toThrow("other.json is not a report");
		},
	);
});

describe("a chart", () => {
	const groups = chartGroups(report.results);

	test("is of one benchmark and one unit", () => {
		expect(groups.map(({ benchmark, unit, results }) => [benchmark, unit, results.length])).toEqual([
			["one", "messages/s", 4],
			["one", "ms", 2],
			["two", "ms", 1],
		]);
		const names = groups.flatMap((group) => [chartName(group, "light"), chartName(group, "dark")]);
		expect(names[0]).toBe("one-messages-s-light.svg");
		expect(new Set(names).size).toBe(names.length);
	});

	test.each(["light", "dark"] as const)("is well-formed XML, for a %s page", (theme) => {
		for (const group of groups) expect(unclosed(chartSvg(group, theme))).toEqual([]);
	});

	test("shows the names and the medians", () => {
		const texts = textsOf(chartSvg(groups[0] as (typeof groups)[number], "dark"));
		expect(texts).toEqual(expect.arrayContaining(["faster", "slower", "a &lt; b &amp; c | d", "gone"]));
		expect(texts).toEqual(
			expect.arrayContaining(["one", "messages/s; higher is better", "110", "60.0", "2.00"]),
		);
	});

	test("differs for light and dark pages, in nothing but its colors", () => {
		const [light, dark] = (["light", "dark"] as const).map((theme) =>
			chartSvg(groups[0] as (typeof groups)[number], theme),
		);
		expect(light).not.toBe(dark);
		const plain = (svg = "") => svg.replaceAll(/#[0-9a-f]{6}\b/g, "#");
		expect(plain(light)).toBe(plain(dark));
	});

	test("is the same file for the same figures, whatever was drawn before", () => {
		const draw = () => chartSvg(groups[1] as (typeof groups)[number], "light");
		const first = draw();
		chartSvg(groups[0] as (typeof groups)[number], "light");
		expect(draw()).toBe(first);
	});

	test("is logarithmic, and says so, when the least would not be seen", () => {
		const far = (samples: readonly number[][]) => {
			const results = samples.map((values, index) => ({ ...result, name: `${index}`, samples: values }));
			return textsOf(chartSvg({ benchmark: "b", unit: "ms", better: "lower", results }, "light"));
		};
		const result: Result = { benchmark: "b", name: "", unit: "ms", samples: [], better: "lower" };
		expect(far([[1], [2000]])).toContain("ms, logarithmic; lower is better");
		expect(far([[1], [900]])).toContain("ms; lower is better");
		expect(far([[0], [2000]])).toContain("ms; lower is better");
	});
});

describe("the page", () => {
	const page = reportPage(report);

	test("says what it was measured on", () => {
		expect(page).toContain(
			"- Example CPU, 4 cores, Linux x64\n- Node 20.19.0\n- 2026-01-02, commit 0123456789",
		);
	});

	test("has a row for each target, and says which is missed", () => {
		expect(page).toContain("| one | faster to slower | at least 0.7 | 0.90 | 0.80 to 1.00 | yes |");
		expect(page).toContain(
			"| one | MiB | at most 24 | 30.0 | 20.0 to 40.0 | **no**; as long as it holds all |",
		);
	});

	test("has a row for each figure, with the range if there is one", () => {
		expect(page).toContain("| a < b & c \\| d | 60.0 | 50.0 to 70.0 |");
		expect(page).toContain("| once | 5.00 |  |");
	});

	test("shows every chart, in both themes", () => {
		for (const group of chartGroups(report.results)) {
			expect(page).toContain(`src="${chartName(group, "light")}"`);
			expect(page).toContain(`srcset="${chartName(group, "dark")}"`);
		}
	});
});

describe("a comparison", () => {
	const result = (
		name: string,
		unit: string,
		better: Result["better"],
		samples: readonly number[],
	): Result => {
		return { benchmark: "one", name, unit, samples, better };
	};
	const targets: Target[] = [
		{
			benchmark: "one",
			name: "faster to slower",
			samples: [2, 1.8, 1.7],
			value: 1.8,
			atLeast: 0.7,
			met: true,
		},
	];
	const after: Report = {
		...report,
		commit: "fedcba9876543210",
		results: [
			result("faster", "messages/s", "higher", [220, 210, 230]),
			result("slower", "messages/s", "higher", [50, 55, 60]),
			result("a < b & c | d", "messages/s", "higher", [66, 60, 72]),
			result("faster", "ms", "lower", [10, 11, 12]),
			result("once", "ms", "lower", [1]),
			result("new", "ms", "lower", [1, 2]),
		],
		targets,
	};

	test("says how many times the new median is the old one, and whether that is beyond the ranges", () => {
		expect(changesBetween(report, after)).toEqual([
			change("faster", "messages/s", { old: 110, new: 220, ratio: 2, verdict: "better" }),
			change("slower", "messages/s", { old: 110, new: 55, ratio: 0.5, verdict: "worse" }),
			change("a < b & c | d", "messages/s", { old: 60, new: 66, ratio: 1.1 }),
			change("faster", "ms", { old: 5, new: 11, ratio: 2.2, verdict: "worse" }),
			change("once", "ms", { old: 5, new: 1, ratio: 0.2 }),
			change("new", "ms", { new: 1.5 }),
			change("faster to slower", "target", { old: 0.9, new: 1.8, ratio: 2, verdict: "better" }),
			change("gone", "messages/s", { old: 2 }),
			change("MiB", "target", { old: 30 }),
		]);
	});

	test("of a target that is to be low says better when it is lower", () => {
		const low = (samples: readonly number[]): Report => {
			const value = samples[0] as number;
			return { ...report, results: [], targets: [{ ...(report.targets[1] as Target), samples, value }] };
		};
		expect(changesBetween(low([4, 4]), low([2, 2]))).toMatchObject([{ ratio: 0.5, verdict: "better" }]);
		expect(changesBetween(low([0, 0]), low([2, 2]))).toEqual([
			change("MiB", "target", { old: 0, new: 2, verdict: "worse" }),
		]);
	});

	test("is printed, a line for each figure", () => {
		const lines = printed(() => printChanges(report, after));
		expect(lines).toContain("old: 2026-01-02, commit 0123456789");
		expect(lines).toMatch(/^ {2}faster, messages\/s +110 +220 +2\.00 +better$/m);
		expect(lines).toMatch(/^ {2}gone, messages\/s +2\.00 +- +-$/m);
		expect(lines).not.toContain("not run again");
		expect(lines).not.toContain("different machines");
	});

	test("says when the machines are not the same", () => {
		const machine = { ...report.machine, cores: 2 };
		expect(printed(() => printChanges(report, { ...after, machine }))).toContain("different machines");
	});

	function change(name: string, unit: string, values: object): object {
		return { benchmark: "one", name, unit, ...values };
	}
});

function temporary(): string {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-figures-"));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	return folder;
}

function printed(run: () => void): string {
	const log = vi.spyOn(console, "log").mockImplementation(() => {});
	onTestFinished(() => log.mockRestore());
	run();
	return log.mock.calls.map(([line = ""]) => line).join("\n");
}

function textsOf(svg: string): string[] {
	return [...svg.matchAll(/<text\b[^>]*>([^<]*)<\/text>/g)].map(([, text = ""]) => text);
}

/** The elements that are not closed. Throws where the text is no XML of elements, attributes, text and entities. */
function unclosed(xml: string): string[] {
	const open: string[] = [];
	const token = /<(\/?)([\w:]+)((?:\s+[\w:-]+="[^"<&]*")*)\s*(\/?)>|&(?:lt|gt|amp|quot|apos|#\d+);|[^<>&]+/gy;
	while (token.lastIndex < xml.length) {
		const at = token.lastIndex;
		const match = token.exec(xml);
		if (match === null) throw new Error(`no XML at ${JSON.stringify(xml.slice(at, at + 80))}`);
		const [, end, name, , single] = match;
		if (name === undefined || single === "/") continue;
		if (end !== "/") open.push(name);
		else if (open.pop() !== name) throw new Error(`</${name}> closes another element`);
	}
	return open;
}
