/**
 * The host name of a client, from the DNS. Whoever owns an address may write any name into its reverse entry, so a name
 * counts only if it leads back to the address: rules that give rights to names would be open to everybody otherwise.
 * It asks name servers alone, as tcpserver does, and so blocks no thread of the process.
 *
 * Source: tcpserver(1), -h and -p (which here are one), and -t
 */
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { ipv6Bits, ipv6Text, mappedIPv4 } from "./ipv6.js";

/** How long and by whom names are looked up. */
export interface RemoteHostOptions {
	/**
	 * How long all of it may take, in milliseconds.
	 * @defaultValue 26000 (as in tcpserver)
	 */
	readonly timeout?: number | undefined;
	/**
	 * Who looks up names; a resolver is used for one lookup, and cancelled when its time is over.
	 * @defaultValue a new `Resolver` of node:dns/promises
	 */
	readonly resolver?: HostResolver | undefined;
}

/** The part of a `Resolver` of node:dns/promises that is needed. What rejects counts as no name and no address. */
export interface HostResolver {
	/** The names of an address. */
	reverse(address: string): Promise<string[]>;
	/** The IPv4 addresses of a name. */
	resolve4(name: string): Promise<string[]>;
	/** The IPv6 addresses of a name. */
	resolve6(name: string): Promise<string[]>;
	/** Ends what is under way. */
	cancel(): void;
}

/**
 * The name of an address, in lower case and without a dot at its end; undefined if there is none, if it does not lead
 * back to the address, or if that takes too long. It never rejects.
 */
export async function remoteHost(
	address: string,
	options: RemoteHostOptions = {},
): Promise<string | undefined> {
	const { timeout = TIMEOUT, resolver = new Resolver() } = options;
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise<undefined>((resolve) => {
		timer = setTimeout(() => resolve(undefined), timeout);
	});
	try {
		return await Promise.race([confirmedName(canonical(address), resolver), late]);
	} finally {
		clearTimeout(timer);
		resolver.cancel();
	}
}

async function confirmedName(address: string, resolver: HostResolver): Promise<string | undefined> {
	const family = isIP(address);
	if (family === 0) return undefined;
	const names = await orNone(() => resolver.reverse(address));
	for (const given of names.slice(0, MOST_NAMES)) {
		const name = hostName(given);
		if (name === null) continue;
		const addresses = await orNone(() => (family === 4 ? resolver.resolve4(name) : resolver.resolve6(name)));
		if (addresses.some((found) => canonical(found) === address)) return name;
	}
	return undefined;
}

async function orNone(look: () => Promise<string[]>): Promise<string[]> {
	try {
		return await look();
	} catch {
		return [];
	}
}

/** A name from the DNS may hold any bytes. Null for one that no host can have. */
function hostName(name: string): string | null {
	return name.length <= LONGEST_NAME && HOST_NAME.test(name) ? name.toLowerCase().replace(/\.$/, "") : null;
}

/** One text for all ways to write an IPv6 address; dotted for an IPv4-mapped one. */
function canonical(address: string): string {
	const bits = ipv6Bits(address);
	if (bits === null) return address;
	return mappedIPv4(bits) ?? ipv6Text(bits);
}

const TIMEOUT = 26_000;
const MOST_NAMES = 8; // of one address: each takes a lookup
const LONGEST_NAME = 254; // characters, with the last dot
const HOST_NAME = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?$/i;
