/**
 * tcpserver's rules: who may connect, and with which variables; and what these mean to a mail server. Where rules come
 * from is in tcprules-text.ts and tcprules-cdb.ts, how a client finds its rule in tcprules-lookup.ts.
 *
 * Strings have one character a byte (Latin-1) throughout, so that every value comes out as the bytes that it was.
 *
 * Source: tcprules(1)
 */
import type { AccessRights } from "../protocol/peer.js";
import { databytesLimit } from "./databytes.js";
import { leadingNumber } from "./leading-number.js";

/** What is to be done with the clients of one address. */
export interface TcpRule {
	/** The address that it was found by; empty for the default rule. */
	readonly key: string;
	/** False: the clients may not connect. */
	readonly allow: boolean;
	/** The last value of each variable, one character a byte (Latin-1). The object has no prototype. */
	readonly variables: Readonly<Record<string, string>>;
}

/** What rules are looked up by. */
export interface TcpClient {
	/** An IP address in any form. An IPv4-mapped IPv6 address counts as the IPv4 address; a scope id is ignored. */
	readonly remoteAddress: string;
	/** The host name, compared as it is. An empty one is a known host (as in tcpserver), undefined an unknown one. */
	readonly remoteHost?: string | undefined;
	/** What the client's ident server says, compared as it is; empty is not undefined here either. */
	readonly remoteInfo?: string | undefined;
}

/** Rules that were loaded, all of them valid. */
export interface TcpRules {
	/** The rule for a client. Null if none matches; tcpserver allows such a connection. */
	find(client: TcpClient): TcpRule | null;
	/** True if there is no rule. */
	readonly isEmpty: boolean;
	/** Whether some rule asks for a host name. If not, nobody needs to look it up. */
	readonly usesHost: boolean;
	/** Whether some rule asks for what the ident server says. */
	readonly usesInfo: boolean;
}

/**
 * The rights that a rule gives: none for one that denies, those of anybody without a rule. RELAYCLIENT, empty too, is
 * the right to relay, and its value the suffix. DATABYTES is the limit for messages in place of the server's own; 0, or
 * what is no number, stands for none, which is as much as a netstring of QMTP may hold. All variables become the
 * environment of what is started for the connection's mail.
 *
 * Source: qmail-qmtpd(8), qmail-smtpd(8)
 */
export function rightsOfRule(rule: TcpRule | null): AccessRights | false {
	if (rule === null) return {};
	if (!rule.allow) return false;
	const { RELAYCLIENT, DATABYTES } = rule.variables;
	return {
		...(RELAYCLIENT === undefined ? {} : { relay: true, suffix: RELAYCLIENT }),
		...(DATABYTES === undefined ? {} : { messageBytes: databytesLimit(leadingNumber(DATABYTES)) }),
		environment: rule.variables,
	};
}
