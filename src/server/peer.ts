/** Who is at the other end of a socket. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Peer } from "../protocol/peer.js";
import { tlsPeer } from "./tls-peer.js";

/** The two ends of `socket`, and what TLS says if it is spoken; empty addresses for what is no socket or has none. */
export function socketPeer(socket: Partial<Socket>): Peer {
	const tls = isSecure(socket) ? tlsPeer(socket) : undefined;
	return {
		remoteAddress: plainAddress(socket.remoteAddress),
		remotePort: socket.remotePort ?? 0,
		localAddress: plainAddress(socket.localAddress),
		localPort: socket.localPort ?? 0,
		...(tls === undefined ? {} : { tls }),
	};
}

function isSecure(socket: object): socket is TLSSocket {
	return (socket as Partial<TLSSocket>).encrypted === true && "getPeerCertificate" in socket;
}

/** An IPv4 client of an IPv6 socket is an IPv4 client: rules for 192.0.2.1 must not miss ::ffff:192.0.2.1. */
function plainAddress(address: string | undefined): string {
	if (address === undefined) return "";
	return MAPPED.test(address) ? address.slice("::ffff:".length) : address;
}

const MAPPED = /^::ffff:\d+\.\d+\.\d+\.\d+$/i;
