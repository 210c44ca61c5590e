/** Puts servers into registries of prom-client. Those of one registry that share a prefix share their metrics. */
import { UsageError } from "../errors.js";
import { onlyOptions } from "../protocol/options.js";
import type { QmtpServer } from "../server/server.js";
import { type MetricsRegistry, ServerMetrics } from "./server-metrics.js";

export type { MetricsRegistry } from "./server-metrics.js";

/** Options of {@link registerMetrics}. */
export interface MetricsOptions {
	/** Where the metrics go. One of OpenMetrics will do as well. */
	readonly registry: MetricsRegistry;
	/**
	 * What the names begin with.
	 * @defaultValue "qmtp_"
	 */
	readonly prefix?: string;
	/**
	 * Labels of all this server's metrics, such as `{ door: "tls" }`. They tell servers of one registry apart: all must
	 * have the same names of labels, and no two the same values.
	 * @defaultValue none
	 */
	readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Registers metrics of a server: counters and gauges that are read from `server.stats()` when they are collected, and
 * histograms of what its `package` events tell. docs/operating.md lists them.
 *
 * @returns Takes them out of the registry again. The metrics that servers share go with the last one.
 * @throws UsageError `ERR_QMTP_OPTION` for names that Prometheus does not allow, that are in the registry already, or for
 * labels that do not tell the server from the others.
 */
export function registerMetrics(server: QmtpServer, options: MetricsOptions): () => void {
	onlyOptions(options, ["registry", "prefix", "labels"]);
	const { registry, prefix = "qmtp_", labels = {} } = options;
	if (typeof registry?.registerMetric !== "function") {
		throw new UsageError("ERR_QMTP_OPTION", "registry must be a Registry of prom-client");
	}
	const reserved = Object.keys(labels).find((name) => RESERVED.includes(name));
	if (reserved !== undefined) {
		throw new UsageError("ERR_QMTP_OPTION", `the label ${reserved} is one of the metrics' own`);
	}
	return sharedMetrics(registry, prefix, Object.keys(labels)).add(server, { ...labels });
}

function sharedMetrics(
	registry: MetricsRegistry,
	prefix: string,
	labelNames: readonly string[],
): ServerMetrics {
	const known = REGISTERED.get(registry) ?? new Map<string, ServerMetrics>();
	REGISTERED.set(registry, known);
	let metrics = known.get(prefix);
	// The user may have cleared the registry, and then all are made anew.
	if (metrics === undefined || !metrics.registered) {
		metrics = new ServerMetrics(registry, prefix, labelNames);
		known.set(prefix, metrics);
	}
	return metrics;
}

const REGISTERED = new WeakMap<MetricsRegistry, Map<string, ServerMetrics>>();
const RESERVED = ["status", "le"];
