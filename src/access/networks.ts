/** Networks in CIDR notation. */
import { BlockList, isIP } from "node:net";
import { UsageError } from "../errors.js";

/** Says of an address whether it is in one of the networks. */
export type Contains = (address: string) => boolean;

/**
 * The union of some networks, IPv4 and IPv6. IPv4-mapped IPv6 addresses are IPv4 addresses.
 *
 * @param option - What the networks were given as, for the error.
 * @throws UsageError `ERR_QMTP_OPTION` if one is neither an address nor a network such as 192.0.2.0/24.
 */
export function networks(option: string, texts: readonly string[]): Contains {
	const list = new BlockList();
	for (const text of texts) {
		const [address = "", bits, more] = String(text).split("/");
		const family = isIP(address);
		const most = family === 4 ? 32 : 128;
		const prefix = bits === undefined ? most : /^\d+$/.test(bits) ? Number(bits) : Number.NaN;
		if (family === 0 || more !== undefined || !(prefix <= most)) {
			const message = `${option} must be an address or a network such as 192.0.2.0/24, not '${text}'`;
			throw new UsageError("ERR_QMTP_OPTION", message);
		}
		list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
	}
	return (address) => {
		const family = isIP(address);
		return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6");
	};
}
