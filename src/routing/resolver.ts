/**
 * What routing asks the DNS: the MX records of a domain, and the addresses of a host. Name servers are asked directly
 * and not through the system's resolver, so no search domain is added to a name and no thread is blocked. Nothing is kept
 * from one question to the next: that is the name server's task.
 */
import { Resolver as SystemResolver } from "node:dns/promises";
import { isIP, isIPv6 } from "node:net";
import { TransportError, UsageError } from "../errors.js";
import { onlyOptions } from "../protocol/options.js";
import { asciiName, isHostName } from "./domain-name.js";
import { hostsFileAddresses } from "./hosts-file.js";
import { isNameServer } from "./name-server.js";
import type { MxRecord } from "./routes.js";

/** Options of one look-up. */
export interface LookupOptions {
	/** Ends the look-up at once; it then rejects with the signal's reason. */
	readonly signal?: AbortSignal | undefined;
}

/**
 * Who looks up names. Both methods reject with a TransportError: `ERR_QMTP_DNS_NAME` if there is no such name, which is
 * permanent, and `ERR_QMTP_DNS` if that cannot be told now; or with the reason of an aborted signal.
 */
export interface Resolver {
	/** The MX records of a domain, in any order. None if the name is there and has no such record. */
	mx(domain: string, options?: LookupOptions): Promise<readonly MxRecord[]>;
	/** The addresses of a host, in the order in which they are to be tried. None if the name is there without one. */
	addresses(host: string, options?: LookupOptions): Promise<readonly string[]>;
}

/** Options of {@link dnsResolver}. */
export interface DnsResolverOptions {
	/**
	 * The name servers: addresses, each with a port if it is not 53, as in `127.0.0.1:5353` and `[::1]:5353`.
	 * @defaultValue the system's, from /etc/resolv.conf
	 */
	readonly servers?: readonly string[] | undefined;
	/**
	 * How long the first try of a question waits, in milliseconds; later ones wait longer. All tries of a question together
	 * end after `timeout` times `tries`.
	 * @defaultValue 5000 (5 seconds)
	 */
	readonly timeout?: number | undefined;
	/**
	 * How often a server is asked a question that it does not answer.
	 * @defaultValue 4
	 */
	readonly tries?: number | undefined;
	/**
	 * Which addresses are wanted: 4 or 6 for those of IPv4 or IPv6 alone, 0 for both.
	 * @defaultValue 0
	 */
	readonly family?: 0 | 4 | 6 | undefined;
	/**
	 * A file with names that need no DNS.
	 * @defaultValue "/etc/hosts"
	 */
	readonly hostsFile?: string | undefined;
}

/**
 * A resolver that asks name servers.
 *
 * Of a host's addresses those of IPv6 come first (as in Exim: a machine without IPv6 fails there at once and goes on), and
 * each family is in the order that the name server gives. It is enough if one family is answered. The hosts file counts
 * for names without a dot, before the DNS is asked, and for names that have no address in the DNS. `localhost` is always
 * this machine. An address is its own and only address. Names beyond ASCII are asked for as IDNA has it.
 *
 * @throws UsageError `ERR_QMTP_OPTION`.
 */
export function dnsResolver(options: DnsResolverOptions = {}): Resolver {
	return new DnsResolver(options);
}

class DnsResolver implements Resolver {
	readonly #servers: readonly string[] | null;
	readonly #timeout: number;
	readonly #tries: number;
	readonly #family: 0 | 4 | 6;
	readonly #hostsFile: string;

	constructor(options: DnsResolverOptions) {
		onlyOptions(options, ["servers", "timeout", "tries", "family", "hostsFile"]);
		const { servers = null, timeout = 5000, tries = 4, family = 0, hostsFile = "/etc/hosts" } = options;
		// Checked here, since Node takes port 70000 for 4464, and port 0 ends the process.
		const wrong = servers?.find((server) => !isNameServer(server));
		if (wrong !== undefined) throw badOption(`'${wrong}' is not the address of a name server`);
		if (servers?.length === 0) throw badOption("servers is empty");
		if (!isCount(timeout)) throw badOption(`timeout must be a whole number of at least 1, not ${timeout}`);
		if (!isCount(tries)) throw badOption(`tries must be a whole number of at least 1, not ${tries}`);
		if (![0, 4, 6].includes(family)) throw badOption(`family must be 0, 4 or 6, not ${family}`);
		this.#servers = servers;
		this.#timeout = timeout;
		this.#tries = tries;
		this.#family = family;
		this.#hostsFile = hostsFile;
	}

	async mx(domain: string, { signal }: LookupOptions = {}): Promise<readonly MxRecord[]> {
		const name = askable(domain);
		const found = await this.#ask(name, (resolver) => resolver.resolveMx(name), signal);
		return found.map(({ exchange, priority }) => ({ exchange, preference: priority }));
	}

	async addresses(host: string, { signal }: LookupOptions = {}): Promise<readonly string[]> {
		signal?.throwIfAborted();
		if (isIP(host) !== 0) return this.#wanted([host]);
		const name = askable(host);
		if (!name.includes(".") || isLocal(name)) {
			const own = await this.#ownAddresses(name);
			signal?.throwIfAborted();
			if (own.length > 0) return this.#wanted(own);
		}
		const results = await Promise.allSettled([
			this.#family === 4 ? [] : this.#ask(name, (resolver) => resolver.resolve6(name), signal),
			this.#family === 6 ? [] : this.#ask(name, (resolver) => resolver.resolve4(name), signal),
		]);
		signal?.throwIfAborted();
		const found = results.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
		if (found.length > 0) return found;
		const faults = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
		const worst = faults.find(({ code }) => code !== "ERR_QMTP_DNS_NAME") ?? faults[0];
		if (worst !== undefined && worst.code !== "ERR_QMTP_DNS_NAME") throw worst;
		const own = await this.#ownAddresses(name);
		signal?.throwIfAborted();
		if (worst !== undefined && own.length === 0) throw worst;
		return this.#wanted(own);
	}

	/** What this machine knows by itself (RFC 6761, section 6.3, for localhost). */
	async #ownAddresses(name: string): Promise<string[]> {
		const found = await hostsFileAddresses(this.#hostsFile, name);
		return found.length === 0 && isLocal(name) ? ["::1", "127.0.0.1"] : found;
	}

	#wanted(addresses: readonly string[]): string[] {
		const six = addresses.filter(isIPv6);
		const four = addresses.filter((address) => !isIPv6(address));
		return [...(this.#family === 4 ? [] : six), ...(this.#family === 6 ? [] : four)];
	}

	/** Asks one question. Each has its own system resolver: cancelling is for all questions of one. */
	async #ask<T>(
		name: string,
		question: (resolver: SystemResolver) => Promise<T[]>,
		signal: AbortSignal | undefined,
	): Promise<T[]> {
		signal?.throwIfAborted();
		const resolver = new SystemResolver({ timeout: this.#timeout, tries: this.#tries });
		if (this.#servers !== null) resolver.setServers(this.#servers);
		const cancel = () => resolver.cancel();
		signal?.addEventListener("abort", cancel);
		const timer = setTimeout(cancel, Math.min(this.#timeout * this.#tries, LONGEST_TIMER));
		try {
			return await question(resolver);
		} catch (cause) {
			signal?.throwIfAborted();
			const { code = "" } = cause as NodeJS.ErrnoException;
			if (code === "ENODATA") return [];
			if (code === "ENOTFOUND" || code === "EBADNAME") throw noSuchName(name, cause);
			const reason = REASONS[code] ?? (cause as Error).message;
			throw new TransportError("ERR_QMTP_DNS", `${name} cannot be looked up now: ${reason}`, { cause });
		} finally {
			clearTimeout(timer);
			signal?.removeEventListener("abort", cancel);
		}
	}
}

/** The name as name servers know it. What no name server can know is not asked for. */
function askable(name: string): string {
	const ascii = asciiName(name);
	if (isHostName(ascii)) return ascii;
	throw noSuchName(name);
}

function isLocal(name: string): boolean {
	return name === "localhost" || name.endsWith(".localhost");
}

function noSuchName(name: string, cause?: unknown): TransportError {
	const options = cause === undefined ? undefined : { cause };
	return new TransportError("ERR_QMTP_DNS_NAME", `there is no such name: ${name}`, options);
}

function badOption(message: string): UsageError {
	return new UsageError("ERR_QMTP_OPTION", message);
}

function isCount(number: number): boolean {
	return Number.isInteger(number) && number >= 1 && number <= LONGEST_TIMER;
}

const REASONS: Readonly<Record<string, string>> = {
	ETIMEOUT: "no name server answers",
	ECANCELLED: "no name server answers",
	ECONNREFUSED: "no name server is there",
	ESERVFAIL: "the name server has failed",
	EREFUSED: "the name server refuses to answer",
	EBADRESP: "the answer of the name server cannot be understood",
};
const LONGEST_TIMER = 2 ** 31 - 1;
