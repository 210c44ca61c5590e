/**
 * The metrics of all servers that stand in one registry with one prefix.
 *
 * Counters and gauges are empty until they are collected: then each server is asked. Histograms are filled by `package`
 * events, so a server whose packages nobody else hears of makes reports for them alone.
 */
import {
	Counter,
	Gauge,
	Histogram,
	type Metric,
	type OpenMetricsContentType,
	type PrometheusContentType,
	type Registry,
} from "prom-client";
import { UsageError } from "../errors.js";
import type { PackageReport } from "../server/reports.js";
import type { QmtpServer } from "../server/server.js";
import { DISTRIBUTIONS, type Distribution, READINGS, type Reading } from "./table.js";

/** A registry of prom-client, of either format. */
export type MetricsRegistry = Registry<PrometheusContentType> | Registry<OpenMetricsContentType>;

/** Labels and their values. */
type Labels = Readonly<Record<string, string>>;

/** The metrics: servers come and go. */
export class ServerMetrics {
	readonly #registry: MetricsRegistry;
	readonly #prefix: string;
	readonly #labelNames: readonly string[];
	readonly #metrics = new Map<string, Metric>(); // by name
	readonly #histograms: { readonly histogram: Histogram; readonly distribution: Distribution }[] = [];
	readonly #servers = new Map<string, { readonly server: QmtpServer; readonly labels: Labels }>();

	/** @throws UsageError `ERR_QMTP_OPTION`, and then none of them is registered. */
	constructor(registry: MetricsRegistry, prefix: string, labelNames: readonly string[]) {
		this.#registry = registry;
		this.#prefix = prefix;
		this.#labelNames = labelNames;
		try {
			for (const reading of READINGS) this.#addReading(reading);
			for (const distribution of DISTRIBUTIONS) this.#addDistribution(distribution);
		} catch (cause) {
			this.#remove();
			const message = `metrics cannot be registered: ${(cause as Error).message}`;
			throw new UsageError("ERR_QMTP_OPTION", message, { cause });
		}
	}

	/** False when somebody else has taken them out of the registry. */
	get registered(): boolean {
		return [...this.#metrics].some(([name, metric]) => this.#registry.getSingleMetric(name) === metric);
	}

	/** Adds a server. @returns Takes it out again. @throws UsageError `ERR_QMTP_OPTION`. */
	add(server: QmtpServer, labels: Labels): () => void {
		const key = this.#key(labels);
		this.#servers.set(key, { server, labels });
		const onPackage = (report: PackageReport) => {
			for (const { histogram, distribution } of this.#histograms) {
				const value = distribution.read(report);
				if (value !== undefined) histogram.observe(labels, value);
			}
		};
		for (const { histogram } of this.#histograms) histogram.zero(labels);
		server.on("package", onPackage);
		let there = true;
		return () => {
			if (!there) return;
			there = false;
			server.off("package", onPackage);
			this.#servers.delete(key);
			for (const { histogram } of this.#histograms) histogram.remove(labels);
			if (this.#servers.size === 0) this.#remove();
		};
	}

	/** What tells a server from the others. */
	#key(labels: Labels): string {
		const names = [...this.#labelNames];
		if (names.length !== Object.keys(labels).length || !names.every((name) => Object.hasOwn(labels, name))) {
			const message = `servers of one registry need the same labels, here ${names.join(", ") || "none"}`;
			throw new UsageError("ERR_QMTP_OPTION", message);
		}
		const key = JSON.stringify(names.map((name) => labels[name]));
		if (this.#servers.has(key)) {
			const message = "the registry has a server with these labels already: tell them apart by labels";
			throw new UsageError("ERR_QMTP_OPTION", message);
		}
		return key;
	}

	#addReading({ name, type, help, label, read }: Reading): void {
		const common = this.#common(name, help, label === undefined ? [] : [label]);
		const collect = (use: (labels: Labels, value: number) => void) => {
			for (const { server, labels } of this.#servers.values()) {
				const values = read(server.stats());
				if (label === undefined) use(labels, values as number);
				else for (const [value, count] of Object.entries(values)) use({ ...labels, [label]: value }, count);
			}
		};
		const metric: Counter | Gauge =
			type === "counter"
				? new Counter({
						...common,
						collect() {
							this.reset(); // the server counts, not we
							collect((labels, value) => this.inc(labels, value));
						},
					})
				: new Gauge({
						...common,
						collect() {
							this.reset();
							collect((labels, value) => this.set(labels, value));
						},
					});
		this.#metrics.set(common.name, metric);
	}

	#addDistribution(distribution: Distribution): void {
		const { name, help, buckets } = distribution;
		const histogram = new Histogram({ ...this.#common(name, help, []), buckets: [...buckets] });
		this.#metrics.set(this.#prefix + name, histogram);
		this.#histograms.push({ histogram, distribution });
	}

	#common(name: string, help: string, more: readonly string[]) {
		return {
			name: this.#prefix + name,
			help,
			labelNames: [...this.#labelNames, ...more],
			registers: [this.#registry],
		};
	}

	#remove(): void {
		for (const [name, metric] of this.#metrics) {
			if (this.#registry.getSingleMetric(name) === metric) this.#registry.removeSingleMetric(name);
		}
	}
}
