/**
 * The lines of a zone that announce QMTP: MX records whose distances say so, and the addresses of the exchanges. They go
 * to the end of the data of a zone that exists, and are nothing but lines of data.
 *
 * Source: https://cr.yp.to/djbdns/tinydns-data.html; RFC 1035, section 5.1, for zone files
 */
import { isIPv4, isIPv6 } from "node:net";
import { ipv6Bits, ipv6Text } from "../../access/ipv6.js";
import { asciiName, isHostName } from "../../routing/domain-name.js";
import { qmtpPreference } from "../../routing/mxps.js";
import { WrongUse } from "../command.js";

/** What is announced for a domain. */
export interface Announcement {
	readonly domain: string;
	/** In seconds. */
	readonly ttl: number;
	readonly exchanges: readonly Exchange[];
}

/** A host that takes mail by QMTP. */
export interface Exchange {
	/** As it was given: without a dot it is the first label of `<label>.mx.<domain>`, as in tinydns. */
	readonly given: string;
	/** Its whole name. */
	readonly name: string;
	readonly distance: number;
	readonly ipv4: readonly string[];
	readonly ipv6: readonly string[];
}

/**
 * Reads DOMAIN and the operands HOST, HOST=IP and HOST=IP,IP.
 *
 * @param options - `equal`: all hosts get the best distance; else each a worse one than the host before.
 * @throws WrongUse.
 */
export function announcement(
	domain: string,
	hosts: readonly string[],
	options: { readonly ttl: number; readonly equal: boolean },
): Announcement {
	const name = asciiName(domain);
	if (!isHostName(name)) throw new WrongUse(`'${domain}' is no domain`);
	if (hosts.length === 0) throw new WrongUse("a HOST is missing");
	if (hosts.length > MOST_HOSTS) {
		throw new WrongUse(`QMTP has ${MOST_HOSTS} distances, which ${hosts.length} hosts are too many for`);
	}
	const exchanges = hosts.map((operand, index) => {
		return exchange(operand, name, qmtpPreference(options.equal ? 0 : index));
	});
	const names = exchanges.map((one) => one.name);
	const twice = names.find((one, index) => names.indexOf(one) !== index);
	if (twice !== undefined) throw new WrongUse(`${twice} is there twice; write HOST=IP,IP for two addresses`);
	return { domain: name, ttl: options.ttl, exchanges };
}

/** The lines for the file `data` of tinydns-data. */
export function tinydnsLines({ domain, ttl, exchanges }: Announcement): string[] {
	return exchanges.flatMap(({ given, name, distance, ipv4, ipv6 }) => {
		const [first = "", ...more] = ipv4;
		return [
			`@${domain}:${first}:${given}:${distance}:${ttl}`,
			...more.map((address) => `+${name}:${address}:${ttl}`),
			// It has no line for AAAA records: a generic one, with the type as a number and the bytes in octal.
			...ipv6.map((address) => `:${name}:28:${octal(address)}:${ttl}`),
		];
	});
}

/** The lines for a zone file. */
export function bindLines({ domain, ttl, exchanges }: Announcement): string[] {
	return exchanges.flatMap(({ name, distance, ipv4, ipv6 }) => [
		`${domain}. ${ttl} IN MX ${distance} ${name}.`,
		...ipv4.map((address) => `${name}. ${ttl} IN A ${address}`),
		...ipv6.map((address) => `${name}. ${ttl} IN AAAA ${address}`),
	]);
}

function exchange(operand: string, domain: string, distance: number): Exchange {
	const [host = "", ...values] = operand.split("=");
	const given = asciiName(host);
	const name = given.includes(".") ? given : `${given}.mx.${domain}`;
	if (!isHostName(name)) throw new WrongUse(`'${host}' is no name of a host`);
	const addresses = values.length === 0 ? [] : values.join("=").split(",");
	const wrong = addresses.find((address) => !isIPv4(address) && !isPlainIPv6(address));
	if (wrong !== undefined) throw new WrongUse(`'${wrong}' is no address, in '${operand}'`);
	const ipv6 = addresses.filter(isPlainIPv6).map((address) => ipv6Text(ipv6Bits(address) as bigint));
	return { given, name, distance, ipv4: addresses.filter((address) => isIPv4(address)), ipv6 };
}

/** Without a scope id, which means something on one host only. */
function isPlainIPv6(address: string): boolean {
	return isIPv6(address) && !address.includes("%");
}

/** The 16 bytes of an IPv6 address, each as a backslash and three octal digits. */
function octal(address: string): string {
	const digits = (ipv6Bits(address) as bigint).toString(16).padStart(32, "0");
	const bytes = digits.match(/../g) ?? [];
	return bytes.map((byte) => `\\${Number.parseInt(byte, 16).toString(8).padStart(3, "0")}`).join("");
}

const MOST_HOSTS = 16;
