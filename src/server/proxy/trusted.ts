/** Whose PROXY headers are believed. */
import { networks } from "../../access/networks.js";
import { UsageError } from "../../errors.js";

/**
 * @param option - True: everybody is a proxy, and no client gets there otherwise. False: nobody. Else the addresses and
 * networks of the proxies.
 * @returns Says of an address whether its connections start with a header. An empty address (a Unix socket) is in no
 * network.
 * @throws UsageError `ERR_QMTP_OPTION` if one is neither an address nor a network such as 192.0.2.0/24.
 */
export function trustedProxies(option: boolean | readonly string[]): (address: string) => boolean {
	if (typeof option === "boolean") return () => option;
	if (Array.isArray(option)) return networks("proxyProtocol", option);
	throw new UsageError(
		"ERR_QMTP_OPTION",
		"proxyProtocol must be true, false or a list of addresses and networks",
	);
}
