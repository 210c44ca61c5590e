/**
 * The metrics door of `qmtp serve`: GET /metrics for Prometheus. It needs the npm package prom-client, which is loaded when
 * a door is asked for. It asks nobody who they are, so it belongs on an address that only the collector reaches.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, isIPv6 } from "node:net";
import { TransportError } from "../../errors.js";
import { asError } from "../../server/intake.js";
import type { QmtpServer } from "../../server/server.js";
import { WrongUse } from "../command.js";
import { hostAndPort } from "../host-and-port.js";
import type { Log } from "../log.js";
import type { Door } from "./doors.js";

/** A server whose metrics are shown; its name is the label `door`. */
export interface NamedServer {
	readonly name: string;
	readonly server: QmtpServer;
}

/** Where the door is to be. */
export interface MetricsTarget {
	readonly host: string;
	readonly port: number;
}

/** A door that listens. */
export interface MetricsDoor extends Door {
	readonly address: AddressInfo;
}

/** Reads `[HOST:]PORT`; null if there is to be no door. @throws WrongUse. */
export function metricsTarget(text: string | undefined): MetricsTarget | null {
	if (text === undefined) return null;
	const { address, host = "127.0.0.1", port } = TARGET.exec(text)?.groups ?? {};
	if (port === undefined || Number(port) > 65535 || (address !== undefined && !isIPv6(address))) {
		throw new WrongUse(`--metrics must be [HOST:]PORT, such as 9209 or [::1]:9209, not '${text}'`);
	}
	return { host: address ?? host, port: Number(port) };
}

/** Opens the door. @throws An Error if the package is missing; TransportError `ERR_QMTP_LISTEN`. */
export async function openMetricsDoor(
	servers: readonly NamedServer[],
	target: MetricsTarget,
	log: Log,
): Promise<MetricsDoor> {
	return openSourceDoor(await metricsOf(servers), target, log);
}

/** The metrics of these servers and of the process. @throws An Error if the package is missing. */
export async function metricsOf(servers: readonly NamedServer[]): Promise<ProcessMetrics> {
	const { registerMetrics, processRegistry } = await load();
	const registry = processRegistry();
	for (const { name, server } of servers) registerMetrics(server, { registry, labels: { door: name } });
	return registry;
}

/** Opens the door for metrics from anywhere. @throws TransportError `ERR_QMTP_LISTEN`. */
export async function openSourceDoor(
	registry: MetricsSource,
	{ host, port }: MetricsTarget,
	log: Log,
): Promise<MetricsDoor> {
	const http = createServer(LIMITS, (request, response) => {
		response.shouldKeepAlive = false; // whoever comes again in 15 s may connect again
		answer(request, response, registry).catch((error) => {
			log.fault(asError(error), {});
			end(response, 500, "the metrics cannot be told; the log says why\n");
		});
	});
	http.maxConnections = CONNECTIONS;
	http.setTimeout(TIMEOUT); // for clients that do not read
	await new Promise<void>((resolve, reject) => {
		http.once("error", reject);
		http.listen(port, host, resolve);
	}).catch((cause: Error) => {
		const message = `cannot listen on ${hostAndPort(host, port)} for metrics: ${cause.message}`;
		throw new TransportError("ERR_QMTP_LISTEN", message, { cause });
	});
	http.removeAllListeners("error");
	http.on("error", (error) => log.fault(error, {}));
	return {
		address: http.address() as AddressInfo,
		connections: 0, // none of mail, which are the ones that an end is to wait for
		close: () =>
			new Promise((resolve) => {
				// Node waits for clients that have not asked yet, and they may never ask.
				const late = setTimeout(() => http.closeAllConnections(), CLOSE_TIMEOUT);
				http.close(() => {
					clearTimeout(late);
					resolve();
				});
			}),
		destroy: () => {
			http.close();
			http.closeAllConnections();
		},
	};
}

async function load() {
	try {
		const [{ registerMetrics }, { processRegistry }] = await Promise.all([
			import("../../metrics/register.js"),
			import("../../metrics/process.js"),
		]);
		return { registerMetrics, processRegistry };
	} catch (cause) {
		throw new Error("--metrics needs the package prom-client: npm install prom-client", { cause });
	}
}

/** What can tell its metrics as text. */
export interface MetricsSource {
	readonly contentType: string;
	metrics(): Promise<string>;
}

/** The same, and what such sources are added up by. */
export interface ProcessMetrics extends MetricsSource {
	getMetricsAsJSON(): Promise<readonly object[]>;
}

async function answer(
	{ method, url = "" }: IncomingMessage,
	response: ServerResponse,
	registry: MetricsSource,
): Promise<void> {
	if (url.split("?", 1)[0] !== "/metrics") return end(response, 404, "there is only /metrics here\n");
	if (method !== "GET" && method !== "HEAD") {
		response.setHeader("Allow", "GET, HEAD");
		return end(response, 405, "only GET and HEAD\n");
	}
	end(response, 200, await registry.metrics(), registry.contentType);
}

/** Node leaves the text out where the method is HEAD. */
function end(response: ServerResponse, status: number, text: string, type = "text/plain"): void {
	response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(text) });
	response.end(text);
}

const TARGET = /^(?:\[(?<address>[^\]]+)\]:|(?<host>[^:\s/@[\]]+):)?(?<port>\d{1,5})$/;

const TIMEOUT = 10_000;
const CLOSE_TIMEOUT = 1000;
const CONNECTIONS = 16;
const LIMITS = {
	maxHeaderSize: 8192,
	headersTimeout: TIMEOUT,
	requestTimeout: TIMEOUT,
	connectionsCheckingInterval: 1000,
};
