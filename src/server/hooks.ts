/** The hooks by which the user of a server decides, and two that are ready-made. Hooks are awaited. */
import { RecipientHosts } from "../access/rcpthosts.js";
import type { MessageInfo } from "../protocol/message-info.js";
import type { Access, Peer } from "../protocol/peer.js";
import type { Verdict } from "../protocol/response.js";
import { NOT_MY_DOMAIN } from "./refusals.js";

/**
 * Decisions of a server. A hook may return its answer or a promise of it. One that throws is a fault, and the answer
 * is Z: mail is put off, never lost, and the connection stays.
 */
export interface ServerHooks {
	/**
	 * Who may talk, and with which rights. It runs once a connection, before anything is read. `false` closes the
	 * connection. Without this hook everybody may talk and nobody may relay.
	 */
	authorize?(peer: Peer): Access | Promise<Access>;
	/** Runs when a message's length is known and none of its body was read: for quotas and sizes. */
	message?(message: MessageInfo): Verdict | Promise<Verdict>;
	/** Runs when the envelope sender is known, after the body. */
	sender?(address: string, message: MessageInfo): Verdict | Promise<Verdict>;
	/**
	 * Runs for each recipient, in order, also when the message or its sender was refused. Without this hook only
	 * connections with the right to relay have their recipients taken. It gets the address as the client sent it.
	 */
	recipient?(address: string, message: MessageInfo): Verdict | Promise<Verdict>;
}

/**
 * A `recipient` hook that takes mail for these domains, and for all domains from connections that may relay.
 *
 * The rules are those of qmail's control/rcpthosts: `example.com` is that domain alone, `.example.com` all domains
 * below it. What counts is the part after the last `@`, in lower case; an address without `@` is local and passes.
 *
 * Source: qmail-smtpd(8), control file rcpthosts.
 */
export function recipientDomains(domains: Iterable<string>): NonNullable<ServerHooks["recipient"]> {
	return recipientsOf(new RecipientHosts(domains));
}

/**
 * A `recipient` hook that takes mail for the addresses that `hosts` has, such as a `RecipientHosts` of `qmtp/access`, and
 * for all from connections that may relay.
 */
export function recipientsOf(hosts: {
	has(address: string): boolean;
}): NonNullable<ServerHooks["recipient"]> {
	return (address, message) => {
		if (message.access.relay === true || hosts.has(address)) return undefined;
		return NOT_MY_DOMAIN;
	};
}

/** A `recipient` hook that takes mail for anybody. Behind it the queue must be one that delivers nothing onward. */
export function acceptAnyone(): Verdict {
	return undefined;
}
