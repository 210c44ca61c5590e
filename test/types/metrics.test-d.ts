import { type OpenMetricsContentType, Registry } from "prom-client";
import { expectAssignable, expectError, expectType } from "tsd";
import { QmtpServer } from "../../dist/index.js";
import { type MetricsOptions, type MetricsRegistry, registerMetrics } from "../../dist/metrics/index.js";
import { discardQueue } from "../../dist/queue/discard.js";

const server = new QmtpServer({ queue: discardQueue() });
const registry = new Registry();

expectType<() => void>(registerMetrics(server, { registry }));
expectType<() => void>(registerMetrics(server, { registry, prefix: "mail_", labels: { door: "tls" } }));
expectAssignable<MetricsRegistry>(registry);
expectAssignable<MetricsRegistry>(new Registry<OpenMetricsContentType>());
expectAssignable<MetricsOptions>({ registry, labels: {} });
expectError(registerMetrics(server, {}));
expectError(registerMetrics(server, { registry, labels: { door: 1 } }));
expectError(registerMetrics(server, { registry, buckets: [1] }));
expectError(registerMetrics({}, { registry }));
