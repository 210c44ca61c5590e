/**
 * `qmtp mx`: where mail for a domain goes and by which protocol, as a client decides it; whether it would get there; and
 * the lines for the domain's zone that announce QMTP.
 */
import { TransportError, UsageError } from "../errors.js";
import { addressLiteral, isBracketed } from "../routing/address-literal.js";
import { asciiName, isHostName } from "../routing/domain-name.js";
import { QMTP_PORT, type RouteProtocol, SMTP_PORT } from "../routing/mxps.js";
import { dnsResolver, type Resolver } from "../routing/resolver.js";
import { type MxRoutes, mxRoutes, type Route } from "../routing/routes.js";
import {
	type Arguments,
	type Command,
	DONE,
	PERMANENT,
	TEMPORARY,
	WrongUse,
	wholeNumber,
} from "./command.js";
import { checkRoute } from "./mx/check.js";
import { announcement, bindLines, tinydnsLines } from "./mx/zone-lines.js";
import { nameServers } from "./name-servers.js";
import { printable } from "./printable.js";

export const mx: Command = {
	name: "mx",
	summary: "Prints where mail for DOMAIN goes, and by which protocol; or the zone lines that announce QMTP.",
	operands: "DOMAIN [HOST[=IP[,IP]] ...]",
	options: {
		check: { help: "connect to each exchange, as a client would" },
		server: {
			value: "ADDRESS",
			help: "the name server, ADDRESS or ADDRESS:PORT",
			fallback: "$DNSCACHEIP, else the system's",
		},
		timeout: { value: "SECONDS", help: "longest time for each step", fallback: "10" },
		"qmtp-port": { value: "PORT", help: "where QMTP servers listen", fallback: String(QMTP_PORT) },
		"smtp-port": { value: "PORT", help: "where SMTP servers listen", fallback: String(SMTP_PORT) },
		tinydns: { help: "print the lines for tinydns-data that announce QMTP on each HOST" },
		bind: { help: "print the same lines for BIND and other servers of zone files" },
		equal: { help: "with these: all HOSTs alike, to share the load; else in their order" },
		ttl: { value: "SECONDS", help: "with these: how long they may be kept", fallback: "86400" },
	},
	notes: [
		"Prints DISTANCE EXCHANGE PROTOCOL PORT for each exchange, in the order in which they are tried. Behind that of a",
		"QMTP exchange stands what follows if no connection can be made, smtp 25. With --check a line that starts with a",
		"tab follows for each connection. Exits 0; 100 if there is no such domain or it takes no mail; 111 if the DNS does",
		"not tell, or if --check finds no exchange that a client could use.",
	],
	run: runMx,
};

async function runMx(args: Arguments): Promise<number> {
	const [domain, ...hosts] = args.operands;
	if (domain === undefined) throw new WrongUse("DOMAIN is missing");
	if (isGiven(args, "tinydns") || isGiven(args, "bind")) return announce(args, domain, hosts);
	if (hosts.length > 0)
		throw new WrongUse(`unexpected argument '${hosts[0]}': a HOST needs --tinydns or --bind`);
	for (const name of ["equal", "ttl"]) {
		if (isGiven(args, name)) throw new WrongUse(`--${name} needs --tinydns or --bind`);
	}
	return lookUp(args, domain);
}

function announce(args: Arguments, domain: string, hosts: readonly string[]): number {
	for (const name of ["check", "server", "timeout", "qmtp-port", "smtp-port"]) {
		if (isGiven(args, name)) throw new WrongUse(`--${name} does not go with --tinydns and --bind`);
	}
	if (isGiven(args, "tinydns") && isGiven(args, "bind")) {
		throw new WrongUse("--tinydns and --bind do not go together");
	}
	const ttl = wholeNumber(args, "ttl", 1, LONGEST_TTL) ?? DAY;
	const announced = announcement(domain, hosts, { ttl, equal: isGiven(args, "equal") });
	const lines = isGiven(args, "bind") ? bindLines(announced) : tinydnsLines(announced);
	process.stdout.write(`${lines.join("\n")}\n`);
	return DONE;
}

async function lookUp(args: Arguments, domain: string): Promise<number> {
	const timeout = (wholeNumber(args, "timeout", 1, DAY) ?? 10) * 1000;
	const ports: Readonly<Record<RouteProtocol, number>> = {
		qmtp: wholeNumber(args, "qmtp-port", 1, 65535) ?? QMTP_PORT,
		smtp: wholeNumber(args, "smtp-port", 1, 65535) ?? SMTP_PORT,
	};
	const resolver = resolverOf(args, timeout);
	const found = await routesTo(domain, resolver);
	if ("refusal" in found) return complain(found.refusal.description);
	const check = isGiven(args, "check");
	// All are checked at once: one that is dead takes its time.
	const checks = inOrder(found.routes).map((route) => {
		return { route, checked: check ? checkRoute(route, { resolver, ports, timeout }) : null };
	});
	let isReachable = !check;
	for (const { route, checked } of checks) {
		const { lines, isReachable: reached } = (await checked) ?? { lines: [], isReachable: false };
		process.stdout.write([routeLine(route, ports), ...lines, ""].join("\n"));
		isReachable ||= reached;
	}
	return isReachable ? DONE : TEMPORARY;
}

async function routesTo(domain: string, resolver: Resolver): Promise<MxRoutes> {
	if (isBracketed(domain)) {
		const address = addressLiteral(domain);
		if (address === null) throw new WrongUse(`there is no address in '${domain}'`);
		return { routes: [{ exchange: address, preference: 0, protocol: "smtp", port: SMTP_PORT }] };
	}
	const name = asciiName(domain);
	if (!isHostName(name)) throw new WrongUse(`'${domain}' is no domain`);
	try {
		return mxRoutes(name, await resolver.mx(name));
	} catch (error) {
		if (!(error instanceof TransportError) || error.code !== "ERR_QMTP_DNS_NAME") throw error;
		return { refusal: { status: "D", description: error.message } };
	}
}

/** The order in which they are tried. Those of equal distance are tried in a random one, and here stand by name. */
function inOrder(routes: readonly Route[]): readonly Route[] {
	return routes.toSorted((one, other) => {
		return one.preference - other.preference || (one.exchange < other.exchange ? -1 : 1);
	});
}

function routeLine(
	{ preference, exchange, protocol }: Route,
	ports: Readonly<Record<RouteProtocol, number>>,
): string {
	const fallback = protocol === "qmtp" ? ` smtp ${ports.smtp}` : "";
	return `${preference} ${exchange} ${protocol} ${ports[protocol]}${fallback}`;
}

function resolverOf(args: Arguments, timeout: number): Resolver {
	try {
		const server = args.one("server");
		const servers = server === undefined ? nameServers() : [server];
		return dnsResolver({ servers, timeout: timeout / TRIES, tries: TRIES });
	} catch (error) {
		if (error instanceof UsageError) throw new WrongUse(error.message);
		throw error;
	}
}

function isGiven(args: Arguments, name: string): boolean {
	return args.one(name) !== undefined;
}

function complain(problem: string): number {
	process.stderr.write(`qmtp mx: ${printable(problem)}\n`);
	return PERMANENT;
}

const TRIES = 4;
const DAY = 86_400; // seconds
const LONGEST_TTL = 2 ** 31 - 1; // RFC 2181, section 8
