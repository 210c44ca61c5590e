/**
 * The log as `tcpserver -v` writes it, for what reads such logs. A number, unique in this process, stands where
 * tcpserver has a process id. Lines about what tcpserver knows nothing of, such as packages and
 * faults, start with `qmtp: `.
 */
import type { Peer } from "../../protocol/peer.js";
import type { DisconnectReport, FaultContext, PackageReport } from "../../server/reports.js";
import { PERMANENT } from "../command.js";
import { connectionStatus } from "../connection-status.js";
import type { ListenAddress } from "../listening-lines.js";
import type { Decision, Log } from "../log.js";
import { printable } from "../printable.js";
import type { RefusalReport } from "./refusals.js";
import { TextLog } from "./text.js";

/** Lines such as `tcpserver: end 1234 status 0`. */
export class TcpserverLog implements Log {
	readonly #hostname: string;
	readonly #text = new TextLog("qmtp: ");
	readonly #clients = new WeakMap<Peer, { readonly id: number; denied: boolean }>();
	#last: number = process.pid;
	#limit = 0;

	/** @param hostname - This host's name. */
	constructor(hostname: string) {
		this.#hostname = hostname;
	}

	listening(_address: ListenAddress, connections: number): void {
		this.#limit = connections;
		this.#status(0);
	}

	closing(signal: string, connections: number): void {
		this.#text.closing(signal, connections);
	}

	refused(report: RefusalReport): void {
		this.#text.refused(report);
	}

	connected(peer: Peer, connections: number): void {
		const id = ++this.#last;
		this.#clients.set(peer, { id, denied: false });
		this.#status(connections);
		this.#write(`pid ${id} from ${peer.remoteAddress}`);
	}

	decided(peer: Peer, { allowed, remoteHost = "" }: Decision): void {
		const client = this.#clients.get(peer);
		if (client === undefined) return;
		client.denied = !allowed;
		const local = `${this.#hostname}:${peer.localAddress}:${peer.localPort}`;
		const remote = `${remoteHost}:${peer.remoteAddress}::${peer.remotePort}`;
		this.#write(printable(`${allowed ? "ok" : "deny"} ${client.id} ${local} ${remote}`));
	}

	package(report: PackageReport): void {
		this.#text.package(report);
	}

	disconnected({ peer, error }: DisconnectReport, connections: number): void {
		const client = this.#clients.get(peer);
		const code = client?.denied === true ? PERMANENT : connectionStatus(error);
		this.#write(`end ${client?.id} status ${code * EXIT_CODE}`);
		this.#status(connections);
	}

	fault(error: Error, context: FaultContext): void {
		this.#text.fault(error, context);
	}

	warning(text: string): void {
		this.#text.warning(text);
	}

	note(text: string): void {
		this.#text.note(text);
	}

	#status(connections: number): void {
		this.#write(`status: ${connections}/${this.#limit}`);
	}

	#write(line: string): void {
		process.stderr.write(`tcpserver: ${line}\n`);
	}
}

const EXIT_CODE = 256; // in the status that wait() tells
