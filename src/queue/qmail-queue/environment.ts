/**
 * The environment of a qmail-queue: that of this process, and what tcpserver would have told of the connection.
 *
 * Source: tcp-environ(5) of ucspi-tcp; RELAYCLIENT as in qmail-smtpd(8).
 */
import type { MessageInfo } from "../../protocol/message-info.js";
import type { Peer } from "../../protocol/peer.js";

/** Variables. One that is undefined does not exist, whatever was there before. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment for one message. @param more - What comes last, and so over everything else. */
export function environmentFor(message: MessageInfo, more: Environment | undefined): Environment {
	const { peer, access } = message;
	const environment: Environment = { ...process.env };
	// Without an address nothing is known of the connection, and this process may have been told all of it.
	if (peer.remoteAddress !== "") Object.assign(environment, connectionOf(peer));
	const RELAYCLIENT = access.relay === true ? textOf(access.suffix ?? "") : undefined;
	const given = Object.entries(access.environment ?? {}).map(([name, value]) => [name, textOf(value)]);
	return Object.assign(environment, { RELAYCLIENT }, Object.fromEntries(given), more);
}

/** One character a byte, as the text that Node writes as these bytes again, if they are UTF-8. */
function textOf(bytes: string): string {
	return Buffer.from(bytes, "latin1").toString("utf8");
}

/** The variables of a connection. What is not known of it must not be another connection's, so it is undefined. */
function connectionOf(peer: Peer): Environment {
	return {
		PROTO: "TCP",
		TCPREMOTEIP: peer.remoteAddress,
		TCPREMOTEPORT: portOf(peer.remotePort),
		TCPREMOTEHOST: peer.remoteHost || undefined,
		TCPREMOTEINFO: peer.remoteInfo || undefined,
		TCPLOCALHOST: undefined, // of whoever started this process
		TCPLOCALIP: peer.localAddress || undefined,
		TCPLOCALPORT: portOf(peer.localPort),
	};
}

function portOf(port: number): string | undefined {
	return port === 0 ? undefined : String(port);
}
