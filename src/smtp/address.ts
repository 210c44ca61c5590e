/**
 * An address as SMTP writes it. Elsewhere in this package an address is a string of any bytes; SMTP has a grammar.
 *
 * Source: RFC 5321, section 4.1.2; RFC 6531, section 3.3.
 */
import { domainToASCII } from "node:url";
import type { AddressEncoding } from "../protocol/envelope.js";

/** An address between `<` and `>`. */
export interface SmtpAddress {
	/** For servers with SMTPUTF8, or ASCII anyway. */
	readonly utf8: string;
	/** For all servers; null if the local part is not ASCII, so that there is no such form. */
	readonly ascii: string | null;
}

/**
 * The SMTP form of an address: its local part quoted if that is needed, and not already, and its domain for servers
 * without SMTPUTF8 in punycode.
 *
 * @param encoding - With `"latin1"`, a character is a byte, and together they must be UTF-8.
 * @returns Null for what SMTP cannot say: with a control character, with `<` or `>` (the library that speaks SMTP takes
 * them not even in quotes), with a domain that is none, or empty.
 */
export function smtpAddress(address: string, encoding: AddressEncoding): SmtpAddress | null {
	const text = encoding === "latin1" ? fromBytes(address) : address;
	if (text === null || text === "" || FORBIDDEN.test(text)) return null;
	const at = text.lastIndexOf("@");
	const local = localPart(at === -1 ? text : text.slice(0, at));
	if (at === -1) return { utf8: local, ascii: asciiOrNull(local) }; // such as postmaster: the server knows best
	const domain = text.slice(at + 1);
	if (DOMAIN_LITERAL.test(domain)) return withDomain(local, domain, domain);
	if (!DOMAIN.test(domain)) return null;
	if (IS_ASCII.test(domain)) return withDomain(local, domain, domain);
	const ascii = domainToASCII(domain);
	return ascii === "" ? null : withDomain(local, domain, ascii);
}

function withDomain(local: string, domain: string, asciiDomain: string): SmtpAddress {
	const ascii = asciiOrNull(local);
	return { utf8: `${local}@${domain}`, ascii: ascii === null ? null : `${ascii}@${asciiDomain}` };
}

function localPart(text: string): string {
	if (DOT_STRING.test(text) || QUOTED_STRING.test(text)) return text;
	return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function asciiOrNull(text: string): string | null {
	return IS_ASCII.test(text) ? text : null;
}

function fromBytes(address: string): string | null {
	try {
		return strictUtf8.decode(Buffer.from(address, "latin1"));
	} catch {
		return null;
	}
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const FORBIDDEN = /[\p{Cc}<>]/u;
const IS_ASCII = /^\p{ASCII}*$/u;
// RFC 5321's Dot-string, with RFC 6531's characters beyond ASCII; white space of any kind must be quoted.
const DOT_STRING =
	/^(?:[\w!#$%&'*+/=?^`{|}~-]|[^\p{ASCII}\s])+(?:\.(?:[\w!#$%&'*+/=?^`{|}~-]|[^\p{ASCII}\s])+)*$/u;
const QUOTED_STRING = /^"(?:[^"\\]|\\.)*"$/su;
const DOMAIN_LITERAL = /^\[[!-Z^-~]*\]$/;
const DOMAIN = /^(?:[\w.-]|[^\p{ASCII}\s])+$/u;
