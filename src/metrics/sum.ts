/** Metrics of several processes as those of one, by prom-client: sums for the most part. */
import { AggregatorRegistry, type MetricObject } from "prom-client";

/** What such metrics are called in HTTP. */
export const SUM_CONTENT_TYPE: string = AggregatorRegistry.PROMETHEUS_CONTENT_TYPE;

/** Metrics as text. @param registries - What `getMetricsAsJSON()` of each process gave. */
export function sumOfMetrics(registries: readonly (readonly object[])[]): Promise<string> {
	return AggregatorRegistry.aggregate(registries as unknown as MetricObject[]).metrics();
}
