/** Who is at the other end of a connection that came through a proxy. */
import type { Peer, PeerProxy } from "../../protocol/peer.js";
import type { ProxyHeader } from "../proxy-header.js";

/**
 * The peer that the header tells of. A proxy that talks for itself, or does not know its client, leaves the addresses
 * as they are: `proxy.told` is false then, and rules for the proxy's own address apply.
 *
 * @param peer - The proxy. What was looked up about it, its host name for one, is not the client's and left out.
 */
export function proxiedPeer(peer: Peer, header: ProxyHeader): Peer {
	const { source, destination } = header;
	const { remoteAddress: address, remotePort: port, localAddress, localPort } = peer;
	const proxy: PeerProxy = {
		address,
		port,
		command: header.command,
		told: source !== null,
		...(header.tls === null ? {} : { tls: header.tls }),
		...(header.authority === null ? {} : { authority: header.authority }),
		...(header.uniqueId === null ? {} : { uniqueId: header.uniqueId }),
	};
	return {
		remoteAddress: source?.address ?? address,
		remotePort: source?.port ?? port,
		localAddress: destination?.address ?? localAddress,
		localPort: destination?.port ?? localPort,
		proxy,
	};
}
