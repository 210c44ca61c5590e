/**
 * How a client finds its rule: by its addresses, from the most special to the most general one.
 *
 * Source: tcprules(1), "Addresses"; what tcprulescheck does
 */
import { ipv6Bits, ipv6Network, ipv6Text, mappedIPv4 } from "./ipv6.js";
import type { TcpClient, TcpRule, TcpRules } from "./tcprules.js";

/** What a set of rules knows, for {@link tcpRules}. */
export interface RuleSource {
	/** All keys, duplicates or not. */
	readonly keys: Iterable<string>;
	/** The first rule of this key. */
	rule(key: string): TcpRule | null;
	/** The lengths of the IPv6 networks among the keys, longest first. */
	readonly networks: readonly number[];
}

/** Rules over a source. */
export function tcpRules(source: RuleSource): TcpRules {
	let isEmpty = true;
	let usesHost = false;
	let usesInfo = false;
	for (const key of source.keys) {
		isEmpty = false;
		usesHost ||= key.startsWith("=") || key.includes("@=");
		usesInfo ||= key.includes("@");
	}
	const find = (client: TcpClient): TcpRule | null => {
		for (const key of lookupKeys(client, source.networks)) {
			const rule = source.rule(key);
			if (rule !== null) return rule;
		}
		return null;
	};
	return { find, isEmpty, usesHost, usesInfo };
}

/** The key of an IPv6 address, or of the network of its first bits. */
export function ipv6Key(bits: bigint, length?: number): string {
	if (length === undefined) return `[${ipv6Text(bits)}]`;
	return `[${ipv6Text(ipv6Network(bits, length))}]/${length}`;
}

/**
 * The keys of a client, in the order in which tcpserver tries them. For IPv6, which it does not know, "[address]" takes
 * the place of the IP address, and "[network]/bits", longest first, that of its prefixes.
 */
function* lookupKeys(client: TcpClient, networks: readonly number[]): Generator<string, void, undefined> {
	const { remoteHost: host, remoteInfo: info } = client;
	const bits = ipv6Bits(client.remoteAddress);
	const ipv4 = bits === null ? client.remoteAddress : mappedIPv4(bits);
	const address = ipv4 ?? ipv6Key(bits as bigint);
	if (info !== undefined) {
		yield `${info}@${address}`;
		if (host !== undefined) yield `${info}@=${host}`;
	}
	yield address;
	if (host !== undefined) yield `=${host}`;
	if (ipv4 !== null) yield* prefixes(ipv4);
	else for (const length of networks) yield ipv6Key(bits as bigint, length);
	if (host !== undefined) {
		for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
			yield `=${host.slice(dot)}`;
		}
		yield "=";
	}
	yield "";
}

function* prefixes(address: string): Generator<string, void, undefined> {
	for (let end = address.length; end > 0; end--) {
		if (address[end - 1] === ".") yield address.slice(0, end);
	}
}
