/**
 * Address literals: mail for `user@[192.0.2.1]` goes to that address, without a look at the DNS.
 *
 * Source: RFC 5321, section 4.1.3
 */
import { isIPv4, isIPv6 } from "node:net";

/** Whether a domain is meant as an address literal. One that {@link addressLiteral} then does not know is malformed. */
export function isBracketed(domain: string): boolean {
	return domain.startsWith("[") || domain.endsWith("]");
}

/** The address of `[192.0.2.1]` or `[IPv6:2001:db8::1]`; null for all else, be it a name or malformed. */
export function addressLiteral(domain: string): string | null {
	const [, tag, address = ""] = LITERAL.exec(domain) ?? [];
	if (tag === undefined) return isIPv4(address) ? address : null;
	// A scope id means something on one host only.
	return isIPv6(address) && !address.includes("%") ? address.toLowerCase() : null;
}

const LITERAL = /^\[(IPv6:)?([^[\]]*)\]$/i;
