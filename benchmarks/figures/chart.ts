/**
 * Bar charts of a report as SVG: one for all figures of a benchmark that have the same unit. A bar is the median, and the
 * line across its end is the range.
 *
 * They are drawn without a DOM, by echarts' server-side rendering. Its declarations name the DOM's types and do not hold
 * under exactOptionalPropertyTypes, so what is used of it is declared here.
 */
import { createRequire } from "node:module";
import { figure } from "../report.js";
import type { Result } from "../results.js";
import { median } from "../rounds.js";

/** For a light page, or a dark one. */
export type Theme = "light" | "dark";

/** Figures that can stand side by side. */
export interface ChartGroup {
	readonly benchmark: string;
	readonly unit: string;
	/** Which way is good, of the first of them. */
	readonly better: "higher" | "lower";
	readonly results: readonly Result[];
}

/** Puts figures of the same benchmark and unit together, in the order of the first of each. */
export function chartGroups(results: readonly Result[]): ChartGroup[] {
	const groups = new Map<string, Result[]>();
	for (const result of results) {
		const key = JSON.stringify([result.benchmark, result.unit]);
		groups.set(key, [...(groups.get(key) ?? []), result]);
	}
	return [...groups.values()].map((members) => {
		const { benchmark, unit, better } = members[0] as Result;
		return { benchmark, unit, better, results: members };
	});
}

/** The name of a chart's file. */
export function chartName({ benchmark, unit }: ChartGroup, theme: Theme): string {
	const words = `${benchmark} ${unit}`.toLowerCase().match(/[a-z0-9]+/g) ?? [];
	return `${words.join("-")}-${theme}.svg`;
}

/** Draws a chart. */
export function chartSvg(group: ChartGroup, theme: Theme): string {
	const { benchmark, unit, better, results } = group;
	const colors = COLORS[theme];
	const medians = results.map(({ samples }) => median(samples));
	const isLogarithmic = Math.min(...medians) > 0 && Math.max(...medians) / Math.min(...medians) > FAR_APART;
	const height = TOP + BOTTOM + BAR * results.length;
	const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
	chart.setOption({
		animation: false,
		backgroundColor: colors.background,
		textStyle: { fontFamily: "sans-serif" },
		title: {
			text: benchmark,
			left: 16,
			subtext: `${unit}${isLogarithmic ? ", logarithmic" : ""}; ${better} is better`,
			textStyle: { color: colors.text, fontSize: 16 },
			subtextStyle: { color: colors.faint },
		},
		grid: { left: 16, right: 96, top: TOP, bottom: 8, containLabel: true },
		xAxis: {
			type: isLogarithmic ? "log" : "value",
			axisLabel: {
				color: colors.faint,
				hideOverlap: true,
				formatter: (value: number) => value.toLocaleString("en"),
			},
			splitLine: { lineStyle: { color: colors.line } },
		},
		yAxis: {
			type: "category",
			inverse: true,
			data: results.map(({ name }) => name),
			axisLabel: { color: colors.text, width: LABEL, overflow: "break" },
			axisLine: { lineStyle: { color: colors.line } },
			axisTick: { show: false },
		},
		series: [
			{
				type: "bar",
				data: medians,
				barWidth: "60%",
				itemStyle: { color: colors.bar },
				silent: true,
			},
			ranges(results, colors),
		],
	});
	const svg = chart.renderToSVGString();
	chart.dispose();
	return still(svg);
}

/** Leaves out what is for the mouse, with names that count the charts of the process: equal figures, equal files. */
function still(svg: string): string {
	return svg.replaceAll(/ (?:class|ecmeta_\w+)="[^"]*"/g, "").replace(/<style\b[^>]*>.*?<\/style>\n?/s, "");
}

/** At the ends of the bars: a line from the least to the most, and the median in words behind it. */
function ranges(results: readonly Result[], { range, text: fill }: Colors): object {
	return {
		type: "custom",
		data: results.map(({ samples }, index) => [Math.min(...samples), Math.max(...samples), index]),
		encode: { x: [0, 1], y: 2 },
		silent: true,
		z: 3, // over the bars
		renderItem: ({ dataIndex }: { readonly dataIndex: number }, api: RenderApi) => {
			const [from = 0, y = 0] = api.coord([api.value(0), api.value(2)]);
			const [to = 0] = api.coord([api.value(1), api.value(2)]);
			const line = (x1: number, y1: number, x2: number, y2: number) => {
				return { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: range, lineWidth: 1.5 } };
			};
			const lines = [
				line(from, y, to, y),
				line(from, y - CAP, from, y + CAP),
				line(to, y - CAP, to, y + CAP),
			];
			const { samples } = results[dataIndex] as Result;
			const text = figure(median(samples));
			const style = { text, x: to + GAP, y, fill, fontSize: 12, verticalAlign: "middle" };
			return { type: "group", children: [...(samples.length < 2 ? [] : lines), { type: "text", style }] };
		},
	};
}

interface ECharts {
	init(
		element: null,
		theme: null,
		options: { renderer: "svg"; ssr: true; width: number; height: number },
	): { setOption(option: object): void; renderToSVGString(): string; dispose(): void };
}

/** For drawing an item of a series. */
interface RenderApi {
	value(dimension: number): number;
	/** Where a point of the chart is, in pixels. */
	coord(point: readonly number[]): number[];
}

const echarts = createRequire(import.meta.url)("echarts") as ECharts;

const WIDTH = 760;
const LABEL = 230; // of a name; a longer one is broken
const BAR = 34;
const TOP = 56;
const BOTTOM = 36;
const CAP = 4;
const GAP = 8;
const FAR_APART = 1000; // the shorter bars would not be seen

interface Colors {
	readonly background: string;
	readonly text: string;
	readonly faint: string;
	readonly line: string;
	readonly bar: string;
	readonly range: string;
}

const COLORS: Readonly<Record<Theme, Colors>> = {
	light: {
		background: "#ffffff",
		text: "#1f2328",
		faint: "#59636e",
		line: "#d1d9e0",
		bar: "#54aeff",
		range: "#0a3069",
	},
	dark: {
		background: "#0d1117",
		text: "#f0f6fc",
		faint: "#9198a1",
		line: "#3d444d",
		bar: "#1f6feb",
		range: "#cae8ff",
	},
};
