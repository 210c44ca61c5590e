/** What TLS says of a client. */
import type { PeerCertificate, TLSSocket } from "node:tls";
import type { PeerTls } from "../protocol/peer.js";

/** The client at the other end; undefined if the handshake is not done, or the connection is gone. */
export function tlsPeer(socket: TLSSocket): PeerTls | undefined {
	const protocol = socket.getProtocol();
	const cipher = socket.getCipher();
	if (protocol === null || protocol === "unknown" || !cipher?.name) return undefined;
	const certificate = socket.getPeerCertificate() as Partial<PeerCertificate> | null; // empty without one
	const { subject, subjectaltname, fingerprint256 } = certificate ?? {};
	const servername = (socket as { readonly servername?: unknown }).servername; // false or null if none was asked for
	return {
		authorized: socket.authorized,
		subject: commonName(subject?.CN),
		names: dnsNames(subjectaltname ?? ""),
		fingerprint256: fingerprint256 ?? null,
		protocol,
		cipher: cipher.name,
		...(typeof servername === "string" ? { servername } : {}),
	};
}

/** Of several names it is not known which one was meant. */
function commonName(name: string | readonly string[] | undefined): string | null {
	return typeof name === "string" ? name : null;
}

/**
 * The DNS names of a list such as `DNS:a.example, IP Address:192.0.2.1`. Node quotes a name that holds a comma or the
 * like, as in JSON: no host has such a name, and nothing inside the quotes is taken for one.
 */
function dnsNames(list: string): string[] {
	const names: string[] = [];
	for (const [, kind, name = ""] of list.matchAll(ALTERNATIVE_NAME)) {
		if (kind === "DNS" && !name.startsWith('"')) names.push(name);
	}
	return names;
}

const ALTERNATIVE_NAME = /([^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy;
