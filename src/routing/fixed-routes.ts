/**
 * Routes that an administrator has fixed: control/qmtproutes and control/smtproutes, lines of `domain:relay:port`.
 *
 * Source: qmail-remote(8) for smtproutes; https://skarnet.org/software/qmail-qmtproutes/ for qmtproutes. Unlike them, it
 * knows relays and domains in brackets, and what it does not understand is an error.
 */
import { isIP, isIPv6 } from "node:net";
import { UsageError } from "../errors.js";
import { isHostName, plainName } from "./domain-name.js";
import { portFor, type RouteProtocol } from "./mxps.js";

/** What a line says. */
export interface FixedRoute {
	/** The domain it is for, a `.suffix` of domains, or "" for all; in lower case. */
	readonly domain: string;
	/** A host's name or address, without brackets, whose MX records do not count. Null: go by the MX of the domain. */
	readonly relay: string | null;
	/** The relay's. */
	readonly port: number;
	/** What to speak to the relay. */
	readonly protocol: RouteProtocol;
}

/** The lines of one file. */
export class FixedRoutes {
	readonly #routes: ReadonlyMap<string, FixedRoute>;

	private constructor(routes: ReadonlyMap<string, FixedRoute>) {
		this.#routes = routes;
	}

	/**
	 * Reads lines such as `example.com:relay.example.net:2209`, `.example.com:[2001:db8::1]` or `:relay.example.net`.
	 * An empty relay, as in `example.com:`, means the MX of the domain. Without a port it is 209 or 25, by the protocol. Of
	 * several lines for one domain the last counts, as in qmail.
	 *
	 * @param lines - Without comments, empty ones, and blanks at their ends; `controlLines` gives them.
	 * @throws UsageError `ERR_QMTP_ROUTE`; its message names the line.
	 */
	static parse(lines: Iterable<string>, protocol: RouteProtocol): FixedRoutes {
		const routes = new Map<string, FixedRoute>();
		for (const line of lines) {
			const route = parseLine(line, protocol);
			routes.set(route.domain, route);
		}
		return new FixedRoutes(routes);
	}

	/**
	 * The route for a domain: that of the domain itself, else of its longest suffix, else that for all. `.example.com` is
	 * for a.example.com and not for example.com. Null if there is none.
	 */
	find(domain: string): FixedRoute | null {
		const name = plainName(domain);
		const whole = this.#routes.get(name);
		if (whole !== undefined) return whole;
		for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
			const route = this.#routes.get(name.slice(dot));
			if (route !== undefined) return route;
		}
		return this.#routes.get("") ?? null;
	}
}

/**
 * The route for a domain in both files: the one that was given for more of its name, and that of qmtproutes if both were
 * given for the same. Null if there is none.
 *
 * @param qmtp - Null if there is no such file; so is `smtp`.
 */
export function fixedRoute(
	domain: string,
	qmtp: FixedRoutes | null,
	smtp: FixedRoutes | null,
): FixedRoute | null {
	const byQmtp = qmtp?.find(domain) ?? null;
	const bySmtp = smtp?.find(domain) ?? null;
	if (byQmtp === null || bySmtp === null) return byQmtp ?? bySmtp;
	return bySmtp.domain.length > byQmtp.domain.length ? bySmtp : byQmtp;
}

function parseLine(line: string, protocol: RouteProtocol): FixedRoute {
	const { domain, target } = LINE.exec(line)?.groups ?? {};
	if (domain === undefined || target === undefined) {
		throw bad(line, "it is not domain:relay or domain:relay:port");
	}
	const { relay, port: digits } = parseTarget(line, target);
	if (relay === "" && digits !== "") throw bad(line, "it has a port and no relay");
	const port = digits === "" ? portFor(protocol) : /^\d{1,5}$/.test(digits) ? Number(digits) : 0;
	if (port < 1 || port > 65535) throw bad(line, "its port is no number from 1 to 65535");
	return { domain: plainName(domain), relay: relay === "" ? null : relay, port, protocol };
}

function parseTarget(line: string, target: string): { relay: string; port: string } {
	if (isIPv6(target)) throw bad(line, `an IPv6 address is written in brackets, [${target}]`);
	const { address, port = "" } = TARGET.exec(target)?.groups ?? {};
	if (address !== undefined) {
		if (isIP(address) === 0) throw bad(line, "there is no address in the brackets of its relay");
		return { relay: address.toLowerCase(), port };
	}
	const [relay = "", digits = "", more] = target.split(":");
	if (more !== undefined) throw bad(line, "it has too many colons");
	if (relay !== "" && isIP(relay) === 0 && !isHostName(relay)) {
		throw bad(line, "its relay is neither a host's name nor an address");
	}
	return { relay: plainName(relay), port: digits };
}

function bad(line: string, problem: string): UsageError {
	return new UsageError("ERR_QMTP_ROUTE", `the route '${line}' cannot be understood: ${problem}`);
}

const LINE = /^(?<domain>\[[^\]]*\]|[^:]*):(?<target>.*)$/s;
const TARGET = /^\[(?:IPv6:)?(?<address>[^\]]*)\](?::(?<port>[^:]*))?$/is;
