/**
 * What a PROXY header tells: a proxy in front of the server puts it before the first byte of its client, so that the
 * server knows who the client is. proxy/decoder.ts reads it, proxy/read.ts takes it off a socket.
 *
 * Source: "The PROXY protocol, versions 1 & 2" (proxy-protocol.txt of HAProxy)
 */
import type { ProxyTls } from "../protocol/peer.js";

/** A PROXY header. All bytes in it are copies. */
export interface ProxyHeader {
	/** 1 is the line of text, 2 the binary one. */
	readonly version: 1 | 2;
	/**
	 * `"local"`: the proxy talks for itself (a health check), or for somebody who has no address (HAProxy says so of
	 * clients of a Unix socket).
	 */
	readonly command: "proxy" | "local";
	/** The client as the proxy sees it; null if the proxy does not say. */
	readonly source: ProxyAddress | null;
	/** Where the client connected to; null if the proxy does not say. */
	readonly destination: ProxyAddress | null;
	/** How the client's TLS connection ends at the proxy; null if there is none, or the proxy does not say. */
	readonly tls: ProxyTls | null;
	/** The host name that the client asked for (TLS's server name). */
	readonly authority: string | null;
	/** The protocol that client and proxy agreed on (TLS's ALPN). */
	readonly alpn: string | null;
	/** The proxy's name for the connection, at most 128 bytes. */
	readonly uniqueId: Uint8Array | null;
}

/** One end of a connection. */
export interface ProxyAddress {
	/** An IP address as Node writes it, IPv4 always in dotted form; empty for a Unix socket. */
	readonly address: string;
	/** 0 for a Unix socket. */
	readonly port: number;
}
