/** Name servers as they are written: an address, perhaps with a port. */
import { isIPv4, isIPv6 } from "node:net";

/** Whether this is `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`. */
export function isNameServer(text: string): boolean {
	if (isIPv6(text)) return true;
	const { four = "", six = "", port = "53" } = NAME_SERVER.exec(text)?.groups ?? {};
	const isPort = Number(port) >= 1 && Number(port) <= 65535;
	return isPort && (isIPv4(four) || isIPv6(six));
}

const NAME_SERVER = /^(?:(?<four>[\d.]+)|\[(?<six>[^\]]+)\])(?::(?<port>\d{1,5}))?$/;
