/**
 * The domains that a server takes mail for: qmail's control/rcpthosts, and control/morercpthosts.cdb behind it.
 *
 * Source: qmail-smtpd(8), qmail-newmrh(8)
 */
import type { Cdb } from "./cdb.js";

/**
 * A list of domains. `example.com` is that domain alone, `.example.com` all domains below it. Upper and lower case of
 * ASCII are the same; other characters are compared as they are, so the list and the addresses must be decoded alike.
 */
export class RecipientHosts {
	readonly #domains = new Set<string>();
	readonly #more: Cdb | null;

	/** @param more - A cdb with further domains as keys, in lower case. */
	constructor(domains: Iterable<string>, more: Cdb | null = null) {
		for (const domain of domains) this.#domains.add(lowerCase(domain));
		this.#more = more;
	}

	/** Whether an address is in one of the domains. What counts is the part after the last `@`; without `@` it is. */
	has(address: string): boolean {
		const at = address.lastIndexOf("@");
		if (at === -1) return true;
		const domain = lowerCase(address.slice(at + 1));
		if (domain === "") return false;
		const more = this.#more;
		return (
			some(domain, (part) => this.#domains.has(part)) ||
			(more !== null && some(domain, (part) => more.find(part) !== null))
		);
	}
}

/** Asks for the domain, and for what is left of it from each of its dots on. */
function some(domain: string, test: (part: string) => boolean): boolean {
	if (test(domain)) return true;
	for (let dot = domain.indexOf(".", 1); dot !== -1; dot = domain.indexOf(".", dot + 1)) {
		if (test(domain.slice(dot))) return true;
	}
	return false;
}

/** Of ASCII only, as qmail does it: toLowerCase() makes a "k" of the Kelvin sign, which is another domain. */
function lowerCase(text: string): string {
	return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
