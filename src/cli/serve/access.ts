/** Who may talk to `qmtp serve`, and for whom mail is taken: rules, control files, and what the command line says. */
import { Resolver } from "node:dns/promises";
import type { ControlDirectory } from "../../access/control.js";
import { databytesLimit } from "../../access/databytes.js";
import { RecipientHosts } from "../../access/rcpthosts.js";
import { remoteHost } from "../../access/remote-host.js";
import type { RulesFile } from "../../access/rules-file.js";
import { rightsOfRule, type TcpClient, type TcpRules } from "../../access/tcprules.js";
import type { Access, Peer } from "../../protocol/peer.js";
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
	/** Domains whose mail is taken besides those of control/rcpthosts. */
	readonly accept: readonly string[];
	readonly log: Log;
}

/** Reads the files for the first time. @throws An error that says which one cannot be used, and why. */
export async function prepareAccess({ rules, control, accept, log }: AccessSources): Promise<void> {
	await rules?.refresh();
	await control?.refresh();
	if (rules?.value.usesInfo) log.warning("rules for INFO@ never match: no ident server is asked");
	if (control !== undefined && control.recipientHosts === null && accept.length === 0) {
		log.warning(
			"there is no control/rcpthosts: only clients that may relay can send, where qmail would take all mail",
		);
	}
}

/**
 * The hooks of a server whose files were read. Files that have changed are read again for each connection.
 *
 * @param ready - Clients wait for it before they are let in.
 */
export function accessHooks(sources: AccessSources, ready: Promise<void>): ServerHooks {
	const { rules, control, mayRelay, accept, log } = sources;
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
		const given = typeof rights === "object" ? rights : {};
		const relay = given.relay === true || mayRelay(peer.remoteAddress);
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
