/** IP addresses of PROXY headers, written as those of sockets are, so that rules for addresses meet them. */
import { ipv6Text, mappedIPv4 } from "../../access/ipv6.js";

/** An IPv4 address that is wrapped in an IPv6 one is an IPv4 address. */
export function plainIPv6(bits: bigint): string {
	return mappedIPv4(bits) ?? ipv6Text(bits);
}
