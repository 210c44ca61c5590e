/**
 * Addresses of envelopes as they are written in header fields: local parts that are no dot-atom get quotes. One
 * character is one byte (Latin-1).
 *
 * Source: RFC 822, section 6; the same bytes are quoted as in qmail.
 */

/** The address for a header field. Empty stays empty. */
export function quoteAddress(address: string): string {
	if (address === "") return "";
	const at = address.lastIndexOf("@");
	if (at === -1) return quoteLocalPart(address);
	return quoteLocalPart(address.slice(0, at)) + address.slice(at);
}

/** The local part of an address for a header field. */
export function quoteLocalPart(part: string): string {
	return DOT_ATOM.test(part) ? part : `"${part.replace(/[\r\n"\\]/g, "\\$&")}"`;
}

const DOT_ATOM = /^[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*$/;
