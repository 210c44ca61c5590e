/** Where mail for a domain goes: fixed routes before address literals before the DNS. */
import { QmtpError, TransportError } from "../../errors.js";
import { deferred, type QmtpResponse, rejected } from "../../protocol/response.js";
import { addressLiteral, isBracketed } from "../address-literal.js";
import { fixedRoute } from "../fixed-routes.js";
import { mxRoutes, type Route } from "../routes.js";
import type { Interruption } from "./interruption.js";
import type { RouterSettings } from "./options.js";

/** Routes, or what becomes of the mail. */
export type RoutesOrRefusal =
	| {
			readonly routes: readonly Route[];
			/** They are from the DNS, and nobody has fixed them. */
			readonly byMx: boolean;
	  }
	| { readonly refusal: QmtpResponse; readonly error?: QmtpError };

/** Looks up the routes of a domain. @throws The reason of the interruption. */
export async function routesOf(
	domain: string,
	settings: RouterSettings,
	interruption: Interruption,
): Promise<RoutesOrRefusal> {
	const { qmtpRoutes, smtpRoutes, resolver, ports, isOurself, random } = settings;
	const fixed = fixedRoute(domain, qmtpRoutes, smtpRoutes);
	if (fixed !== null && fixed.relay !== null) {
		const { relay, protocol, port } = fixed;
		return { routes: [{ exchange: relay, preference: 0, protocol, port }], byMx: false };
	}
	if (isBracketed(domain)) {
		const address = addressLiteral(domain);
		if (address === null) return { refusal: NO_ADDRESS };
		const route: Route = { exchange: address, preference: 0, protocol: "smtp", port: ports.smtp };
		return { routes: [route], byMx: false };
	}
	try {
		const records = await interruption.orAborted((signal) => resolver.mx(domain, { signal }));
		const found = mxRoutes(domain, records, { random, isOurself });
		if (!("routes" in found)) return found;
		const routes = found.routes.map((route): Route => ({ ...route, port: ports[route.protocol] }));
		return { routes, byMx: true };
	} catch (caught) {
		interruption.signal.throwIfAborted();
		const error = lookupFault(domain, caught);
		return { refusal: error.code === "ERR_QMTP_DNS_NAME" ? noHost(domain) : NO_LOOKUP, error };
	}
}

/** The fault of a look-up. A resolver that breaks its word is no reason to drop what other domains have answered. */
export function lookupFault(name: string, cause: unknown): QmtpError {
	if (cause instanceof QmtpError) return cause;
	const reason = cause instanceof Error ? cause.message : String(cause);
	return new TransportError("ERR_QMTP_DNS", `${name} cannot be looked up: ${reason}`, { cause });
}

/** The D for a domain that is not there, as qmail-remote says it. */
export function noHost(domain: string): QmtpResponse {
	return rejected(`Sorry, I couldn't find any host named ${domain}. (#5.1.2)`);
}

/** The Z for names that cannot be looked up now. */
export const NO_LOOKUP: QmtpResponse = deferred("DNS lookup failed temporarily. (#4.4.3)");

const NO_ADDRESS = rejected("Sorry, there is no address in the brackets of that recipient. (#5.1.2)");
