/** A ready-made hook that lets clients relay by their certificates. */
import { UsageError } from "../errors.js";
import type { Access, Peer } from "../protocol/peer.js";

/**
 * An `authorize` hook by which clients with one of these certificates may relay. All others may talk, without that right.
 * The server must ask for certificates: `tls: { requestCert: true, rejectUnauthorized: false, ... }`.
 *
 * A fingerprint is the trust itself: it counts whoever has signed the certificate, its owner too, and also when it has
 * expired. A name counts only in a certificate that one of the server's authorities (`tls.ca`) vouches for, as its
 * common name or as one of its DNS names; anybody can write any name into a certificate of his own.
 *
 * @param fingerprintsOrNames - SHA-256 fingerprints, with or without colons, and names; in any case of letters.
 * @throws UsageError `ERR_QMTP_OPTION` for what is neither, such as a fingerprint by SHA-1.
 */
export function relayForCertificates(fingerprintsOrNames: Iterable<string>): (peer: Peer) => Access {
	const fingerprints = new Set<string>();
	const names = new Set<string>();
	for (const entry of typeof fingerprintsOrNames === "string" ? [fingerprintsOrNames] : fingerprintsOrNames) {
		const fingerprint = plainFingerprint(entry);
		if (fingerprint === null) names.add(entry.toLowerCase());
		else fingerprints.add(fingerprint);
	}
	return ({ tls }) => {
		if (tls === undefined) return true;
		const { authorized, subject, fingerprint256 } = tls;
		const isKnown = fingerprint256 !== null && fingerprints.has(plainFingerprint(fingerprint256) ?? "");
		const isNamed = [subject, ...tls.names].some((name) => name !== null && names.has(name.toLowerCase()));
		return isKnown || (authorized && isNamed) ? { relay: true } : true;
	};
}

/** The 64 digits of a fingerprint; null for a name. */
function plainFingerprint(entry: string): string | null {
	if (typeof entry !== "string" || entry.trim() === "") {
		throw new UsageError("ERR_QMTP_OPTION", "a certificate is told by its SHA-256 fingerprint or by a name");
	}
	const digits = entry.replaceAll(":", "").toLowerCase();
	if (SHA_256.test(digits)) return digits;
	if (!HEXADECIMAL.test(entry)) return null;
	const message = `${entry} is no SHA-256 fingerprint, which has 64 digits: openssl x509 -noout -fingerprint -sha256`;
	throw new UsageError("ERR_QMTP_OPTION", message);
}

const SHA_256 = /^[0-9a-f]{64}$/;
const HEXADECIMAL = /^(?:[0-9a-f]{2}(?::[0-9a-f]{2})+|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{128})$/i;
