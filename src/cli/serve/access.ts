/** Who may talk to `qmtp serve`, and for whom mail is taken: rules, control files, and what the command line says. */
import { Resolver } from "node:dns/promises";
import type { ControlDirectory } from "../../access/control.js";
import { databytesLimit } from "../../access/databytes.js";
import { RecipientHosts } from "../../access/rcpthosts.js";
import { remoteHost } from "../../access/remote-host.js";
import type { RulesFile } from "../../access/rules-file.js";
import { rightsOfRule, type TcpClient, type TcpRules } from "../../access/tcprules.js";
import type { Access, AccessRights, Peer } from "../../protocol/peer.js";
import { recipientsOf, type ServerHooks } from "../../server/hooks.js";
import type { Log } from "../log.js";
import { nameServers } from "../name-servers.js";
import type { Contains } from "../networks.js";

/** What decides. */
export interface AccessSources {
	/** Rules of tcprules, if there are any. */
	readonly rules: RulesFile | undefined;
	/** Control files of qmail, if there are any. */
	readonly control: ControlDirectory | undefined;
	/** Addresses that may relay whatever the rules say of that. */
	readonly mayRelay: Contains;
	/** Whether a client may relay for the certificate that it has shown. */
	readonly relayCertificates: (peer: Peer) => boolean;
	/** Some connections come through proxies, which tell who the client is. */
	readonly hasProxies: boolean;
	/** Domains whose mail is taken besides those of control/rcpthosts. */
	readonly accept: readonly string[];
	readonly log: Log;
}

/** Reads the files for the first time. @throws An error that says which one cannot be used, and why. */
export async function prepareAccess({ rules, control }: AccessSources): Promise<void> {
	await rules?.refresh();
	await control?.refresh();
}

/** Tells the operator what may not be meant, once the files were read. */
export function warnOfAccess({ rules, control, accept, mayRelay, hasProxies, log }: AccessSources): void {
	if (rules?.value.usesInfo) log.warning("rules for INFO@ never match: no ident server is asked");
	if (control !== undefined && control.recipientHosts === null && accept.length === 0) {
		log.warning(
			"there is no control/rcpthosts: only clients that may relay can send, where qmail would take all mail",
		);
	}
	if (hasProxies && (mayRelay("127.0.0.1") || mayRelay("::1"))) {
		log.warning(
			"with --proxy clients on this host may relay: so may all of a proxy on it that --proxy does not name, or that is asked from here; see --relay-from",
		);
	}
}

/**
 * The hooks of a server whose files were read. Files that have changed are read again for each connection.
 *
 * @param ready - Clients wait for it before they are let in.
 */
export function accessHooks(sources: AccessSources, ready: Promise<void>): ServerHooks {
	const { rules, control, mayRelay, relayCertificates, accept, log } = sources;
	const accepted = new RecipientHosts(accept);
	const authorize = async (peer: Peer): Promise<Access> => {
		await ready;
		if (peer.remoteAddress === "") return false; // of a client without an address no rule knows anything
		await rules?.refresh();
		await control?.refresh();
		const client = rules === undefined ? peer : await namedClient(peer, rules.value);
		const rule = rules?.value.find(client) ?? null;
		const rights = rightsOfRule(rule);
		const allowed = rights !== false;
		const ofAddress = typeof rights === "object" ? rights : {};
		// A proxy that does not tell its client is let in by the rule for its own address, and relays for nobody.
		const isKnown = peer.proxy === undefined || peer.proxy.told;
		const given = isKnown ? ofAddress : withoutRelay(ofAddress);
		const relay =
			given.relay === true || (isKnown && mayRelay(peer.remoteAddress)) || relayCertificates(peer);
		const messageBytes = given.messageBytes ?? databytes(control);
		log.decided(peer, {
			allowed,
			relay,
			...(rule === null ? {} : { rule: rule.key }),
			...(client.remoteHost === undefined ? {} : { remoteHost: client.remoteHost }),
		});
		return allowed && { ...given, relay, ...(messageBytes === undefined ? {} : { messageBytes }) };
	};
	const has = (address: string) => accepted.has(address) || control?.recipientHosts?.has(address) === true;
	return { authorize, recipient: recipientsOf({ has }) };
}

/** The rights but for those that RELAYCLIENT gives. */
function withoutRelay({ relay: _, suffix: _suffix, environment, ...rights }: AccessRights): AccessRights {
	if (environment === undefined) return rights;
	const { RELAYCLIENT: _relayclient, ...others } = environment;
	return { ...rights, environment: others };
}

/** The client with its name, if the rules ask for names. */
async function namedClient(peer: Peer, rules: TcpRules): Promise<TcpClient> {
	if (!rules.usesHost) return peer;
	const name = await remoteHost(peer.remoteAddress, { resolver: dnsResolver() });
	return name === undefined ? peer : { ...peer, remoteHost: name };
}

/** For one look-up. */
function dnsResolver(): Resolver {
	const resolver = new Resolver();
	const servers = nameServers();
	if (servers !== undefined) resolver.setServers(servers);
	return resolver;
}

function databytes(control: ControlDirectory | undefined): number | undefined {
	const limit = control?.databytes ?? undefined;
	return limit === undefined ? undefined : databytesLimit(limit);
}
