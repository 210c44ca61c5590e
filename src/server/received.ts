/**
 * The Received field that a server puts on top of each message, byte for byte as qmail-qmtpd writes it, or qmail-smtpd.
 *
 * Source: qmail 1.03, received.c; the date is that of RFC 5322 with UTC written as -0000.
 */
import type { Encoding } from "../protocol/package-event.js";
import type { Peer } from "../protocol/peer.js";

/** How a client spoke to a server. */
export interface Greeting {
	/** Such as `QMTP` or `ESMTP`. */
	readonly protocol: string;
	/** What the client called itself, in a protocol that asks for it. */
	readonly name?: string;
}

/** Makes the Received fields of one connection. */
export class ReceivedField {
	readonly #from: string;
	readonly #by: string;
	#second = -1;
	readonly #bytes: { lf: Uint8Array | null; crlf: Uint8Array | null } = { lf: null, crlf: null };

	/**
	 * @param hostname - This host's name, for `by`.
	 * @param greeting - How the client spoke. A name that it gave itself is left out if it is the known one.
	 */
	constructor(peer: Peer, hostname: string, greeting: Greeting = QMTP) {
		const host = safe(peer.remoteHost ?? "unknown");
		const helo = greeting.name === undefined ? host : safe(greeting.name);
		const named = helo.toLowerCase() === host.toLowerCase() ? "" : ` (HELO ${helo})`;
		const info = peer.remoteInfo === undefined ? "" : `${safe(peer.remoteInfo)}@`;
		this.#from = `Received: from ${host}${named} (${info}${safe(peer.remoteAddress || "unknown")})`;
		this.#by = `  by ${safe(hostname)} with ${safe(greeting.protocol)}; `;
	}

	/**
	 * The field for a message that came at `time` (milliseconds since 1970), with the line ends of `encoding`. The same
	 * bytes serve all messages of one second, so nobody may change them.
	 */
	bytes(time: number, encoding: Encoding): Uint8Array {
		const second = Math.floor(time / 1000);
		if (second !== this.#second) {
			this.#second = second;
			this.#bytes.lf = null;
			this.#bytes.crlf = null;
		}
		const known = this.#bytes[encoding];
		if (known !== null) return known;
		const end = encoding === "lf" ? "\n" : "\r\n";
		const field = `${this.#from}${end}${this.#by}${date(second)}${end}`;
		const bytes = Buffer.from(field, "latin1");
		this.#bytes[encoding] = bytes;
		return bytes;
	}
}

/** Each byte that has no business in a Received field becomes a question mark. */
function safe(text: string): string {
	return Buffer.from(text, "utf8").toString("latin1").replace(UNSAFE, "?");
}

function date(second: number): string {
	const time = new Date(second * 1000);
	const clock = time.toISOString().slice(11, 19);
	return `${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]} ${time.getUTCFullYear()} ${clock} -0000`;
}

const QMTP: Greeting = { protocol: "QMTP" };
const UNSAFE = /[^A-Za-z0-9.@%+/=:\-[\]]/g;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
