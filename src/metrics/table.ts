/** The metrics of a server: their names, what they mean, and where their values come from. */
import type { PackageReport } from "../server/reports.js";
import type { ServerStats } from "../server/stats.js";

/** A metric that is read when it is collected. */
export interface Reading {
	/** Without the prefix. */
	readonly name: string;
	readonly type: "counter" | "gauge";
	readonly help: string;
	/** A label of its own; then `read` gives a number for each of its values. */
	readonly label?: string;
	readonly read: (stats: ServerStats) => number | Readonly<Record<string, number>>;
}

/** A metric that is a histogram of what packages are like. */
export interface Distribution {
	readonly name: string;
	readonly help: string;
	readonly buckets: readonly number[];
	/** Undefined: this package does not count. */
	readonly read: (report: PackageReport) => number | undefined;
}

export const READINGS: readonly Reading[] = [
	{
		name: "server_connections",
		type: "gauge",
		help: "Connections that are open.",
		read: ({ connections }) => connections.open,
	},
	{
		name: "server_connections_waiting",
		type: "gauge",
		help: "Connections that wait for a place.",
		read: ({ connections }) => connections.waiting,
	},
	{
		name: "server_connections_accepted_total",
		type: "counter",
		help: "Connections that were taken.",
		read: ({ connections }) => connections.accepted,
	},
	{
		name: "server_connections_refused_total",
		type: "counter",
		help: "Connections that were closed since there was no place for them.",
		read: ({ connections }) => connections.refused,
	},
	{
		name: "server_packages_total",
		type: "counter",
		help: "Packages that were answered.",
		read: ({ packages }) => packages.answered,
	},
	{
		name: "server_packages_committing",
		type: "gauge",
		help: "Packages that the queue is committing.",
		read: ({ packages }) => packages.committing,
	},
	{
		name: "server_responses_total",
		type: "counter",
		help: "Responses, one for each recipient: K accepted, Z deferred, D rejected.",
		label: "status",
		read: ({ responses: { accepted, deferred, rejected } }) => ({ K: accepted, Z: deferred, D: rejected }),
	},
	{
		name: "server_body_bytes_total",
		type: "counter",
		help: "Bytes of message bodies that were taken in.",
		read: ({ bodyBytes }) => bodyBytes,
	},
	{
		name: "server_held_bytes",
		type: "gauge",
		help: "Bytes of mail that are in memory.",
		read: ({ heldBytes }) => heldBytes,
	},
	{
		name: "server_faults_total",
		type: "counter",
		help: "Faults: hooks that threw, queues that failed.",
		read: ({ faults }) => faults,
	},
	{
		name: "server_protocol_errors_total",
		type: "counter",
		help: "Connections that ended since the client broke the protocol.",
		read: ({ protocolErrors }) => protocolErrors,
	},
];

// Seconds: from what a queue in memory needs up to the default of timeouts.commit.
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
// Powers of four from 256 B to 64 MiB, and the default of limits.messageBytes.
const BYTES = [...Array.from({ length: 10 }, (_, power) => 256 * 4 ** power), 100 * 1024 * 1024];

export const DISTRIBUTIONS: readonly Distribution[] = [
	{
		name: "server_package_duration_seconds",
		help: "From a package's first byte to its answer.",
		buckets: SECONDS,
		read: ({ duration }) => duration / 1000,
	},
	{
		name: "server_commit_duration_seconds",
		help: "What the queue took to commit a package that reached it.",
		buckets: SECONDS,
		read: ({ commitDuration }) => (commitDuration === undefined ? undefined : commitDuration / 1000),
	},
	{
		name: "server_message_bytes",
		help: "Bytes of body of a package, as far as they were taken in.",
		buckets: BYTES,
		read: ({ bodyBytes }) => bodyBytes,
	},
];
