/** Names of domains and hosts, as text. */
import { domainToASCII } from "node:url";

/** One text for all ways to write a name: ASCII letters in lower case, no dot at the end. */
export function plainName(name: string): string {
	return (name.endsWith(".") ? name.slice(0, -1) : name).replace(/[A-Z]+/g, (letters) =>
		letters.toLowerCase(),
	);
}

/** The plain name, with letters beyond ASCII encoded (IDNA); what cannot be encoded becomes empty. */
export function asciiName(name: string): string {
	return plainName(NOT_ASCII.test(name) ? domainToASCII(name) : name);
}

/**
 * Whether a host can have this name: letters, digits, hyphens and underscores in labels of up to 63 characters, and no
 * more than 253 in all. The last label is not a number, else the name would look like an address. One dot may follow.
 *
 * Source: RFC 1123, section 2.1; the underscore, which it forbids, is in use
 */
export function isHostName(name: string): boolean {
	const plain = plainName(name);
	return plain.length <= LONGEST_NAME && HOST_NAME.test(plain);
}

const LONGEST_NAME = 253;
const HOST_NAME = /^(?:[a-z0-9_-]{1,63}\.)*(?!\d+$)[a-z0-9_-]{1,63}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOT_ASCII = /[^\x00-\x7f]/;
