/** Which name servers programs ask. */
import { isIPv4, isIPv6 } from "node:net";

/**
 * Those of $DNSCACHEIP; undefined if it has none: then the system's are to be asked.
 *
 * Source: djbdns, which takes from $DNSCACHEIP the IPv4 addresses at its front; there may be dots between them
 */
export function nameServers(): readonly string[] | undefined {
	const { DNSCACHEIP = "" } = process.env;
	if (isIPv6(DNSCACHEIP)) return [DNSCACHEIP];
	const addresses = DNSCACHEIP.match(/\d+\.\d+\.\d+\.\d+/g)?.filter((address) => isIPv4(address)) ?? [];
	return addresses.length === 0 ? undefined : addresses;
}
