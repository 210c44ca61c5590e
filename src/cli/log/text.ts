/** The log for people: `name=value` pairs. */
import type { Peer } from "../../protocol/peer.js";
import type { DisconnectReport, FaultContext, PackageReport } from "../../server/reports.js";
import type { ListenAddress } from "../listening-lines.js";
import type { Decision, Log } from "../log.js";
import { printable, printablePart } from "../printable.js";
import { uniqueIdText } from "./proxy.js";
import type { RefusalReport } from "./refusals.js";

/** Lines such as `package=... peer=192.0.2.1:4711 from=<...> to=<...> bytes=512 K=1 Z=0 D=0`. */
export class TextLog implements Log {
	readonly #prefix: string;

	/** @param prefix - What each line starts with. */
	constructor(prefix = "") {
		this.#prefix = prefix;
	}

	listening(_address: ListenAddress, _connections: number): void {} // standard output says so

	closing(signal: string, connections: number): void {
		this.#write(`${signal}: finishing ${connections} connections`);
	}

	refused({ peer, error, count }: RefusalReport): void {
		const more = count > 1 ? ` (+${count - 1} more)` : "";
		this.#write(`refused peer=${address(peer)}${more} reason=${quoted(error.message)}`);
	}

	connected(_peer: Peer): void {} // its packages and its end tell enough

	decided(peer: Peer, { allowed, rule }: Decision): void {
		if (!allowed) this.#write(`deny peer=${address(peer)} rule=${quoted(rule ?? "")}`);
	}

	package({ message, sender, recipients, responses, bodyBytes }: PackageReport): void {
		const count = (status: string) => responses.filter((response) => response.status === status).length;
		const shown = recipients.slice(0, SHOWN_RECIPIENTS).map(bracketed);
		const more = recipients.length > shown.length ? ` (+${recipients.length - shown.length} more)` : "";
		const refusal = responses.find(({ status }) => status !== "K");
		const parts = [
			`package=${message.id} peer=${address(message.peer)}`,
			`from=${bracketed(sender)} to=${shown.join(",")}${more} bytes=${bodyBytes}`,
			`K=${count("K")} Z=${count("Z")} D=${count("D")}`,
			...(refusal === undefined ? [] : [`refusal=${quoted(refusal.description)}`]),
		];
		this.#write(parts.join(" "));
	}

	disconnected({ peer, packages, error }: DisconnectReport): void {
		// A proxy looks every few seconds whether the server is there, and HAProxy then resets the connection.
		if (peer.proxy?.command === "local" && packages === 0) return;
		const end = error === undefined ? "closed" : quoted(error.message);
		this.#write(`connection peer=${address(peer)} packages=${packages} end=${end}${wayIn(peer)}`);
	}

	fault(error: Error, { message }: FaultContext): void {
		const where = message === undefined ? "" : ` package=${message.id}`;
		const cause = error.cause instanceof Error ? `: ${printable(error.cause.message)}` : "";
		this.#write(`fault${where} ${printable(error.message)}${cause}`);
	}

	warning(text: string): void {
		this.#write(`warning: ${printable(text)}`);
	}

	note(text: string): void {
		this.#write(`note: ${printable(text)}`);
	}

	#write(line: string): void {
		process.stderr.write(`${this.#prefix}${line}\n`);
	}
}

function address({ remoteAddress, remotePort }: Peer): string {
	return `${remoteAddress}:${remotePort}`;
}

/** TLS and proxy, for who has them. */
function wayIn({ tls, proxy }: Peer): string {
	const parts: string[] = [];
	if (tls !== undefined) parts.push(`tls=${tls.protocol}`);
	if (tls !== undefined && tls.fingerprint256 !== null) {
		// What nobody vouches for is only what the client says of itself.
		parts.push(`certificate=${bracketed(tls.subject)} ${tls.authorized ? "" : "un"}verified`);
		parts.push(`fingerprint=${tls.fingerprint256.replaceAll(":", "").toLowerCase()}`);
	}
	if (proxy !== undefined) parts.push(`proxy=${proxy.address}:${proxy.port}`);
	if (proxy?.uniqueId !== undefined) parts.push(`proxy-id=${quoted(uniqueIdText(proxy.uniqueId))}`);
	if (proxy?.tls !== undefined) parts.push(`proxy-tls=${printablePart(proxy.tls.version ?? "?")}`);
	if (proxy?.tls?.commonName !== undefined) {
		const { commonName, verified } = proxy.tls;
		parts.push(`proxy-certificate=${bracketed(commonName)} ${verified ? "" : "un"}verified`);
	}
	return parts.map((part) => ` ${part}`).join("");
}

function bracketed(address: string | null): string {
	return `<${address === null ? "?" : printablePart(address)}>`;
}

function quoted(text: string): string {
	return `"${printable(text.replace(/[\\"]/g, "\\$&"))}"`;
}

const SHOWN_RECIPIENTS = 3;
