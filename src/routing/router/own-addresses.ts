/** The addresses of this host. */
import { networkInterfaces } from "node:os";

/**
 * Whether an address is one by which others reach this host. Those of loopback are not: what an MX record says of them is
 * true of every host.
 */
export function isOwnAddress(address: string): boolean {
	return Object.values(networkInterfaces()).some((interfaces = []) => {
		return interfaces.some((own) => !own.internal && own.address === address);
	});
}
