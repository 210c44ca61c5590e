/**
 * An address of an SMTP command as QMTP has it: what it means, without the quoting of SMTP.
 *
 * smtp-server has parsed it by then. It took the bytes for UTF-8 and made U+FFFD of what is none, and it wrote a domain in
 * punycode in Unicode; the rules and routes of mail are written with the ASCII form, so that is what comes out here.
 *
 * Source: RFC 5321, section 4.1.2; qmail 1.03, addrparse() of qmail-smtpd.c; RFC 5891.
 */
import { domainToASCII } from "node:url";

/**
 * The address that `given` means: `"a.b"@example.com` is `a.b@example.com`.
 *
 * @param given - Without `<` and `>`. Empty for the sender of bounces. A source route in front does not count.
 * @param maxBytes - Of its UTF-8.
 * @returns Null if it is longer, was no UTF-8, or means nothing that could be an address.
 */
export function envelopeAddress(given: string, maxBytes: number): string | null {
	const text = given.replace(SOURCE_ROUTE, "");
	if (text === "") return "";
	const at = text.lastIndexOf("@");
	const local = unquoted(at === -1 ? text : text.slice(0, at));
	if (local === "") return null;
	const domain = at === -1 ? "" : asciiDomain(text.slice(at + 1));
	if (domain === null) return null;
	const address = at === -1 ? local : `${local}@${domain}`;
	return NOT_ADDRESS.test(address) || Buffer.byteLength(address) > maxBytes ? null : address;
}

/** Quotes go, and a backslash goes that stands before another character. */
function unquoted(local: string): string {
	return local.replace(/\\(.)|"/gsu, (_, escaped = "") => escaped);
}

/** @returns Null for what is no domain. ASCII stays as it is. */
function asciiDomain(domain: string): string | null {
	if (IS_ASCII.test(domain)) return domain === "" ? null : domain;
	const ascii = domainToASCII(domain);
	return ascii === "" ? null : ascii;
}

const SOURCE_ROUTE = /^@[^:]*:/; // as qmail-smtpd, and RFC 5321, section 4.1.1.3
const IS_ASCII = /^\p{ASCII}*$/u;
const NOT_ADDRESS = /[\p{Cc}\p{Surrogate}\ufffd]/u;
