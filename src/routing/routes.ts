/**
 * From the MX records of a domain to the exchanges that mail for it may go to, in the order in which they are tried.
 * Nothing is looked up here.
 *
 * Source: RFC 5321, section 5.1; RFC 7505 (null MX); MXPS (see mxps.ts)
 */
import { type QmtpResponse, rejected } from "../protocol/response.js";
import { isHostName, plainName } from "./domain-name.js";
import { portFor, protocolFor, type RouteProtocol } from "./mxps.js";

/** What one MX record says. */
export interface MxRecord {
	/** A host's name; empty or "." for none. */
	readonly exchange: string;
	/** From 0 to 65535; lower ones are tried first. MXPS calls it the distance. */
	readonly preference: number;
}

/** A host to try. */
export interface Route {
	/** Its name, in lower case, without a dot at its end. */
	readonly exchange: string;
	/** That of its record. */
	readonly preference: number;
	/** What to speak. If no connection for "qmtp" can be made, the exchange is to be tried by SMTP. */
	readonly protocol: RouteProtocol;
	/** The port of the protocol. */
	readonly port: number;
}

/** How routes are chosen. */
export interface MxRoutesOptions {
	/**
	 * A number from 0 to below 1, for the order of exchanges with equal preferences.
	 * @defaultValue Math.random
	 */
	readonly random?: (() => number) | undefined;
	/**
	 * Whether an exchange is this very host. It, and all that are no better, are left out: mail would go in circles.
	 * @defaultValue none is
	 */
	readonly isOurself?: ((exchange: string) => boolean) | undefined;
}

/** Where mail may go, or why it can go nowhere. */
export type MxRoutes =
	| {
			/** At least one, best first. */
			readonly routes: readonly Route[];
	  }
	| {
			/** What becomes of the mail: a D. */
			readonly refusal: QmtpResponse;
	  };

/**
 * The exchanges of a domain, best first.
 *
 * A domain without records is its own exchange, by SMTP. One with a null MX takes no mail. Exchanges that no host can be
 * called are passed over, and of several records for one exchange the best counts.
 *
 * @param records - In any order.
 */
export function mxRoutes(
	domain: string,
	records: readonly MxRecord[],
	options: MxRoutesOptions = {},
): MxRoutes {
	const { random = Math.random, isOurself = () => false } = options;
	const name = plainName(domain);
	const given = records.length === 0 ? [{ exchange: name, preference: 0 }] : records;
	const plain = given.map(({ exchange, preference }) => ({ exchange: plainName(exchange), preference }));
	if (plain.length === 1 && plain[0]?.exchange === "") {
		return { refusal: rejected(`Sorry, ${name} takes no mail, as its null MX says. (#5.1.10)`) };
	}
	const usable = plain.filter(({ exchange }) => isHostName(exchange));
	if (usable.length === 0) {
		const problem = `none of the mail exchangers of ${name} has a name that a host can have`;
		return { refusal: rejected(`Sorry, ${problem}. (#5.4.4)`) };
	}
	shuffle(usable, random);
	usable.sort((one, other) => one.preference - other.preference); // keeps the shuffled order of equal ones
	const own = usable.find(({ exchange }) => isOurself(exchange))?.preference ?? Number.POSITIVE_INFINITY;
	const better = usable.filter(({ preference }) => preference < own);
	if (better.length === 0) return { refusal: OURSELF };
	const best = new Map<string, Route>();
	for (const { exchange, preference } of better) {
		if (best.has(exchange)) continue;
		const protocol = protocolFor(preference);
		best.set(exchange, { exchange, preference, protocol, port: portFor(protocol) });
	}
	return { routes: [...best.values()] };
}

/** Puts the items into an order of which each is equally likely (Fisher and Yates). */
function shuffle(items: unknown[], random: () => number): void {
	for (let last = items.length - 1; last > 0; last--) {
		const other = Math.floor(random() * (last + 1));
		[items[last], items[other]] = [items[other], items[last]];
	}
}

/** For mail whose best exchange is this host. As notqmail's qmail-remote says it, for who looks for it. */
export const OURSELF: QmtpResponse = rejected(
	"Sorry. Although I'm listed as a best-preference MX or A for that host, " +
		"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)",
);
