/**
 * Version 1 of the PROXY header: a line such as `PROXY TCP4 192.0.2.1 198.51.100.7 56324 209`.
 *
 * Source: "The PROXY protocol", section 2.1
 */
import { isIPv4, isIPv6 } from "node:net";
import { ipv6Bits } from "../../access/ipv6.js";
import type { ProxyHeader } from "../proxy-header.js";
import { plainIPv6 } from "./address.js";
import { invalid } from "./invalid.js";

/** The longest line in bytes, its CR LF included. */
export const LONGEST_LINE = 107;

/** @param line - A line that starts with `PROXY `, without its CR LF. @throws ProtocolError. */
export function readLine(line: string): ProxyHeader {
	if (UNKNOWN.test(line)) return header(null, null);
	const fields = line.split(" ");
	const offset = (index: number) => fields.slice(0, index).join(" ").length + 1;
	const [, family, from = "", to = "", fromPort = "", toPort = ""] = fields;
	if (family !== "TCP4" && family !== "TCP6") throw invalid("the family must be TCP4, TCP6 or UNKNOWN", 6);
	const address = (index: number, text: string) => {
		if (family === "TCP4" ? isIPv4(text) : isIPv6(text) && !text.includes("%")) {
			return family === "TCP4" ? text : plainIPv6(ipv6Bits(text) as bigint);
		}
		throw invalid(`no ${family} address`, offset(index));
	};
	const port = (index: number, text: string) => {
		if (DECIMAL.test(text) && Number(text) <= 65535) return Number(text);
		throw invalid("a port must be a number up to 65535", offset(index));
	};
	const [source, destination] = [address(2, from), address(3, to)];
	const [sourcePort, destinationPort] = [port(4, fromPort), port(5, toPort)];
	if (fields.length > 6) throw invalid("more than two addresses and two ports", offset(6) - 1);
	return header({ address: source, port: sourcePort }, { address: destination, port: destinationPort });
}

function header(source: ProxyHeader["source"], destination: ProxyHeader["destination"]): ProxyHeader {
	const none = { tls: null, authority: null, alpn: null, uniqueId: null };
	return { version: 1, command: "proxy", source, destination, ...none };
}

const UNKNOWN = /^PROXY UNKNOWN(?: |$)/; // what follows means nothing
const DECIMAL = /^(?:0|[1-9]\d{0,4})$/;
