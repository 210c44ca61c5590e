/**
 * The host names that a machine knows by itself: /etc/hosts. It is read directly, as what the system offers for it asks
 * name servers as well, adds its search domains to the name, and blocks a thread meanwhile.
 *
 * Source: hosts(5)
 */
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { plainName } from "./domain-name.js";

/** The addresses of a name in a hosts file, in the order of its lines. None if the file cannot be read. */
export async function hostsFileAddresses(path: string, name: string): Promise<string[]> {
	const wanted = plainName(name);
	const text = await readFile(path, "utf8").catch(() => "");
	const addresses: string[] = [];
	for (const line of text.split("\n")) {
		const [address = "", ...names] = line.replace(/#.*/s, "").trim().split(/\s+/);
		if (isIP(address) !== 0 && names.some((given) => plainName(given) === wanted)) addresses.push(address);
	}
	return addresses;
}
