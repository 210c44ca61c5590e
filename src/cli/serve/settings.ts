/** The command line of `qmtp serve`, read and checked as far as that takes no file. */
import { hostname as systemHostname } from "node:os";
import { ControlDirectory } from "../../access/control.js";
import { RulesFile } from "../../access/rules-file.js";
import { UsageError } from "../../errors.js";
import type { Peer } from "../../protocol/peer.js";
import { relayForCertificates } from "../../server/certificates.js";
import type { ConnectionLimits } from "../../server/connection-limit.js";
import type { ServerLimits } from "../../server/options.js";
import { type Arguments, WrongUse, wholeNumber } from "../command.js";
import { type Log, openLog } from "../log.js";
import { networks } from "../networks.js";
import { userSwitch } from "../privileges.js";
import { KEEPING_SYNTAX, keepsMail } from "../queues.js";
import { type TlsFiles, tlsFiles } from "../tls-files.js";
import type { AccessSources } from "./access.js";
import { type MetricsTarget, metricsTarget } from "./metrics-door.js";
import { type Activation, type DoorTargets, doorTargets } from "./sockets.js";

/** What the command line says. */
export interface ServeSettings {
	readonly targets: DoorTargets;
	readonly metrics: MetricsTarget | null;
	/** The files for TLS; null without it. */
	readonly tls: TlsFiles | null;
	/** As it stands on the command line. */
	readonly queue: string;
	/** Where mail goes from there, as it stands on the command line; undefined if it stays. */
	readonly relay: string | undefined;
	/** As it was given. */
	readonly hostname: string | undefined;
	/** Whose connections start with a PROXY header. */
	readonly proxies: readonly string[];
	/** For the connections of all doors together. */
	readonly connections: ConnectionLimits;
	/** For each door. */
	readonly limits: Partial<ServerLimits>;
	/** For graceful ends, in milliseconds. */
	readonly closeTimeout: number;
	/** How many processes serve; 0: this one does. */
	readonly workers: number;
	/** The process is to become another user. */
	readonly changesUser: boolean;
	/** Makes it that user. */
	becomeUser(): void;
	readonly log: Log;
	/** What decides about clients, as it is read by whoever the process is now. */
	accessSources(): AccessSources;
}

/** @throws WrongUse. */
export function serveSettings(args: Arguments, activation: Activation): ServeSettings {
	const tls = doorTlsFiles(args);
	const targets = doorTargets(args, activation, tls !== null);
	const connections = {
		connections: wholeNumber(args, "max-connections", 1, MANY) ?? 61,
		connectionsPerAddress:
			wholeNumber(args, "max-connections-per-address", 1, MANY) ?? Number.POSITIVE_INFINITY,
		waitingConnections: wholeNumber(args, "max-waiting", 0, MANY) ?? 0,
	};
	const seconds = wholeNumber(args, "close-timeout", 0, 86_400) ?? 30;
	const proxies = args.all("proxy");
	networks("proxy", proxies);
	const log = openLog(args.one("log") ?? "text", args.one("hostname") ?? systemHostname());
	const relayCertificates = certificates(args);
	const relayFrom = relayNetworks(args);
	networks("relay-from", relayFrom);
	return {
		targets,
		metrics: metricsTarget(args.one("metrics")),
		tls,
		queue: args.one("queue") ?? "maildir:./mail",
		relay: relayTarget(args),
		hostname: args.one("hostname"),
		proxies,
		connections,
		limits: serverLimits(args),
		closeTimeout: seconds * 1000,
		workers: wholeNumber(args, "workers", 1, MOST_WORKERS) ?? 0,
		changesUser: args.one("user") !== undefined,
		becomeUser: userSwitch(args.one("user")),
		log,
		accessSources: () => {
			const onFault = (error: Error) => log.fault(error, {});
			const [rules, control] = [args.one("rules"), args.one("control")];
			return {
				rules: rules === undefined ? undefined : new RulesFile(rules, { onFault }),
				control: control === undefined ? undefined : new ControlDirectory(control, { onFault }),
				mayRelay: networks("relay-from", relayFrom),
				relayCertificates,
				hasProxies: proxies.length > 0,
				accept: args.all("accept"),
				log,
			};
		},
	};
}

function relayTarget(args: Arguments): string | undefined {
	const to = args.one("relay");
	if (to === undefined) return undefined;
	if (!keepsMail(args.one("queue") ?? "")) throw new WrongUse(`--relay needs --queue ${KEEPING_SYNTAX}`);
	if (args.one("workers") === undefined) return to;
	throw new WrongUse("--relay is for one process: with --workers run qmtp relay beside it");
}

function doorTlsFiles(args: Arguments): TlsFiles | null {
	const files = tlsFiles(args);
	if (files.cert !== undefined) return files;
	const given = ["tls-port", "tls-fd", "tls-ca"].find((name) => args.one(name) !== undefined);
	if (given !== undefined) throw new WrongUse(`--${given} needs --tls-cert and --tls-key`);
	return null;
}

function serverLimits(args: Arguments): Partial<ServerLimits> {
	const messageBytes = wholeNumber(args, "max-message-bytes", 0, Number.MAX_SAFE_INTEGER);
	const bytesPerSecond = wholeNumber(args, "min-speed", 0, Number.MAX_SAFE_INTEGER);
	const heldBytes = wholeNumber(args, "max-memory", 1, Number.MAX_SAFE_INTEGER);
	return {
		...(messageBytes === undefined ? {} : { messageBytes }),
		...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
		...(heldBytes === undefined ? {} : { heldBytes }),
	};
}

function relayNetworks(args: Arguments): readonly string[] {
	const relayFrom = args.all("relay-from");
	if (relayFrom.length > 0) return relayFrom;
	return args.one("rules") === undefined ? LOCAL : []; // with rules it is for them to say
}

/** Whether a client has one of the certificates that may relay. */
function certificates(args: Arguments): (peer: Peer) => boolean {
	const entries = args.all("relay-cert");
	if (entries.length === 0) return () => false;
	// Without it no client is asked for a certificate.
	if (args.one("tls-ca") === undefined) throw new WrongUse("--relay-cert needs --tls-ca");
	try {
		const accessOf = relayForCertificates(entries);
		return (peer) => typeof accessOf(peer) === "object";
	} catch (error) {
		throw error instanceof UsageError ? new WrongUse(`--relay-cert: ${error.message}`) : error;
	}
}

const LOCAL = ["127.0.0.0/8", "::1"];
const MANY = 1_000_000;
const MOST_WORKERS = 1024;
