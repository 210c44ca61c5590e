/** Where something listens, as text. */
import { isIPv6 } from "node:net";

/** `192.0.2.1:209`, and `[2001:db8::1]:209`. */
export function hostAndPort(host: string, port: number): string {
	return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
