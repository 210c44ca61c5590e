/** Metrics of the process itself, by prom-client: memory, processor time, open files, lag of the event loop. */
import { collectDefaultMetrics, Registry } from "prom-client";

/** A new registry with them. What measures the event loop and garbage collection runs until the process ends. */
export function processRegistry(): Registry {
	const registry = new Registry();
	collectDefaultMetrics({ register: registry });
	return registry;
}
