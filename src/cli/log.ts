/** What a server writes into its log, and the ways to write it. All go to standard error, one line an event. */
import cluster from "node:cluster";
import type { Peer } from "../protocol/peer.js";
import type { DisconnectReport, FaultContext, PackageReport } from "../server/reports.js";
import type { QmtpServer } from "../server/server.js";
import { WrongUse } from "./command.js";
import type { ListenAddress } from "./listening-lines.js";
import { JsonLog } from "./log/json.js";
import { type RefusalReport, Refusals } from "./log/refusals.js";
import { TcpserverLog } from "./log/tcpserver.js";
import { TextLog } from "./log/text.js";

/** What was decided about a client. */
export interface Decision {
	readonly allowed: boolean;
	/** The rule that decided it, as it stands in the rules; undefined if none did. */
	readonly rule?: string;
	/** It may send to any domain. */
	readonly relay: boolean;
	/** The client's name, if it was looked up and found. */
	readonly remoteHost?: string;
}

/** A log. Whatever strangers sent is escaped: one event is one line. */
export interface Log {
	/** It listens; `connections` is how many it takes at once. */
	listening(address: ListenAddress, connections: number): void;
	/** A signal has asked it to end, with so many connections open. */
	closing(signal: string, connections: number): void;
	/** Connections were closed at once, since there was no place for them. */
	refused(report: RefusalReport): void;
	connected(peer: Peer, connections: number): void;
	decided(peer: Peer, decision: Decision): void;
	package(report: PackageReport): void;
	disconnected(report: DisconnectReport, connections: number): void;
	fault(error: Error, context: FaultContext): void;
	/** Something that the operator should know. */
	warning(text: string): void;
	/** Good news for the operator. */
	note(text: string): void;
}

/** What `--log` may say. */
export const LOG_SYNTAX: string = "text, json or tcpserver";

/** @param hostname - This host's name. @throws WrongUse. */
export function openLog(kind: string, hostname: string): Log {
	if (kind === "text") return new TextLog();
	if (kind === "json") return new JsonLog(cluster.worker?.id);
	if (kind === "tcpserver") return new TcpserverLog(hostname);
	throw new WrongUse(`--log must be ${LOG_SYNTAX}, not '${kind}'`);
}

/** Writes what a server tells into a log. */
export function follow(server: QmtpServer, log: Log): void {
	const refusals = new Refusals((report) => log.refused(report));
	server.on("refused", (peer, error) => refusals.add(peer, error));
	server.on("close", () => refusals.flush());
	server.on("connection", (peer) => log.connected(peer, server.connections));
	server.on("package", (report) => log.package(report));
	server.on("disconnect", (report) => log.disconnected(report, server.connections));
	server.on("fault", (error, context) => log.fault(error, context));
}
