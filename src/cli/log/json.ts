/** The log for programs: a JSON object a line, each with `time` and `event`. */
import type { Peer } from "../../protocol/peer.js";
import type { DisconnectReport, FaultContext, PackageReport } from "../../server/reports.js";
import type { ListenAddress } from "../listening-lines.js";
import type { Decision, Log } from "../log.js";
import { printableJson } from "../printable.js";
import { uniqueIdText } from "./proxy.js";
import type { RefusalReport } from "./refusals.js";

/** Objects whose `connection` is the number of a connection, from 1 on; each worker counts its own. */
export class JsonLog implements Log {
	readonly #worker: number | undefined;
	readonly #numbers = new WeakMap<Peer, number>();
	#connections = 0;

	/** @param worker - The number of this process among several; undefined if it is alone. */
	constructor(worker?: number) {
		this.#worker = worker;
	}

	listening(address: ListenAddress, connections: number): void {
		const where =
			typeof address === "string" ? { path: address } : { address: address.address, port: address.port };
		this.#write("listening", { ...where, maxConnections: connections });
	}

	closing(signal: string, connections: number): void {
		this.#write("closing", { signal, connections });
	}

	refused({ peer, error, count }: RefusalReport): void {
		const { remoteAddress, remotePort } = peer;
		this.#write("refused", { remoteAddress, remotePort, count, error: describe(error) });
	}

	connected(peer: Peer, connections: number): void {
		this.#numbers.set(peer, ++this.#connections);
		const { remoteAddress, remotePort, localAddress, localPort } = peer;
		const ends = { remoteAddress, remotePort, localAddress, localPort };
		this.#write("connection", { ...this.#number(peer), ...ends, connections, ...wayIn(peer) });
	}

	decided(peer: Peer, decision: Decision): void {
		this.#write("access", { ...this.#number(peer), ...decision });
	}

	package({ peer, message, sender, recipients, responses, bodyBytes }: PackageReport): void {
		const shown = recipients.slice(0, SHOWN_RECIPIENTS).map((recipient, index) => {
			const response = responses[index];
			return { recipient, status: response?.status, description: response?.description };
		});
		const count = (status: string) => responses.filter((response) => response.status === status).length;
		this.#write("package", {
			...this.#number(peer),
			package: message.id,
			remoteAddress: peer.remoteAddress,
			sender,
			bytes: bodyBytes,
			accepted: count("K"),
			deferred: count("Z"),
			rejected: count("D"),
			recipients: shown,
			recipientsNotShown: recipients.length - shown.length,
		});
	}

	disconnected({ peer, packages, error }: DisconnectReport, connections: number): void {
		const reason = error === undefined ? {} : { error: describe(error) };
		this.#write("disconnect", { ...this.#number(peer), packages, connections, ...reason });
	}

	fault(error: Error, { peer, message }: FaultContext): void {
		const where = peer === undefined ? {} : this.#number(peer);
		this.#write("fault", { ...where, package: message?.id, error: describe(error) });
	}

	warning(text: string): void {
		this.#write("warning", { text });
	}

	note(text: string): void {
		this.#write("note", { text });
	}

	#number(peer: Peer): object {
		return { connection: this.#numbers.get(peer) };
	}

	#write(event: string, values: object): void {
		const line = printableJson({ time: new Date().toISOString(), event, worker: this.#worker, ...values });
		process.stderr.write(`${line}\n`);
	}
}

/** TLS and proxy, for who has them. */
function wayIn({ tls, proxy }: Peer): object {
	if (proxy === undefined) return { tls };
	const { uniqueId, ...known } = proxy;
	return { tls, proxy: uniqueId === undefined ? known : { ...known, uniqueId: uniqueIdText(uniqueId) } };
}

function describe(error: Error): object {
	const { code } = error as NodeJS.ErrnoException;
	const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
	return { code, message: error.message, ...cause };
}

const SHOWN_RECIPIENTS = 100; // one package may have ten thousand
