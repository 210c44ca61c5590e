/** The subpath `qmtp/metrics`: what a server does, as metrics of prom-client, which must be installed. */
export { type MetricsOptions, type MetricsRegistry, registerMetrics } from "./register.js";
