/** Who is on the other end of a connection, and what it may do. */

/** The two ends of a connection. */
export interface Peer {
	/** The client's IP address; IPv4 in dotted form even on an IPv6 socket. Empty if there is none (a Unix socket). */
	readonly remoteAddress: string;
	/** The client's port; 0 if there is none. */
	readonly remotePort: number;
	/** The client's host name, if somebody looked it up (tcpserver's TCPREMOTEHOST). */
	readonly remoteHost?: string;
	/** What the client's ident server says (tcpserver's TCPREMOTEINFO). */
	readonly remoteInfo?: string;
	/** The server's IP address on this connection. */
	readonly localAddress: string;
	/** The server's port; 0 if there is none. */
	readonly localPort: number;
	/** What TLS says of the client; undefined on a connection without it. */
	readonly tls?: PeerTls;
	/** The proxy that the client came through, if one has told of it by a PROXY header. */
	readonly proxy?: PeerProxy;
}

/**
 * What TLS says of a client. One that sent a certificate has its private key; who has signed it is another question, and
 * `authorized` is the answer.
 */
export interface PeerTls {
	/** The client has a certificate, it is valid now, and an authority that the server trusts vouches for it. */
	readonly authorized: boolean;
	/** The common name in the certificate; null if there is no certificate, or not exactly one such name in it. */
	readonly subject: string | null;
	/** The DNS names in the certificate (its subjectAltName). */
	readonly names: readonly string[];
	/** SHA-256 of the certificate, as 32 pairs of upper-case hexadecimal digits with colons; null without one. */
	readonly fingerprint256: string | null;
	/** Such as `TLSv1.3`. */
	readonly protocol: string;
	/** Such as `TLS_AES_256_GCM_SHA384`. */
	readonly cipher: string;
	/** The server's name that the client has asked for, if it has. */
	readonly servername?: string;
}

/** A TLS connection that ends at the proxy. What the proxy did not say is left out; what is no UTF-8 has U+FFFD. */
export interface ProxyTls {
	/** Such as `"TLSv1.3"`. */
	readonly version?: string;
	/** Such as `"ECDHE-RSA-AES128-GCM-SHA256"`. */
	readonly cipher?: string;
	/** What signed the proxy's certificate, such as `"RSA-SHA256"`. */
	readonly signatureAlgorithm?: string;
	/** The key of the proxy's certificate, such as `"RSA2048"`. */
	readonly keyAlgorithm?: string;
	/**
	 * True if the client has shown a certificate and the proxy has found it good. A certificate that nobody asked for is
	 * none, and not good either.
	 */
	readonly verified: boolean;
	/** The Common Name of the client's certificate. It proves nothing unless `verified` is true. */
	readonly commonName?: string;
}

/** The proxy that a client came through. */
export interface PeerProxy {
	/** The proxy's own IP address. */
	readonly address: string;
	/** The proxy's own port. */
	readonly port: number;
	/** `"local"`: the proxy talks for itself, or for somebody who has no address. */
	readonly command: "proxy" | "local";
	/** True if the peer's addresses are those that the proxy told; false if they are the proxy's own. */
	readonly told: boolean;
	/** How the client's TLS connection ends at the proxy. */
	readonly tls?: ProxyTls;
	/** The host name that the client asked for (TLS's server name). */
	readonly authority?: string;
	/** The proxy's name for the connection, at most 128 bytes. */
	readonly uniqueId?: Uint8Array;
}

/**
 * What a client may do. `false`: nothing, its connection is closed. `true`: hand in mail for the recipients that the
 * `recipient` hook lets pass.
 */
export type Access = boolean | AccessRights;

/** The rights of one connection. */
export interface AccessRights {
	/**
	 * Take recipients anywhere (qmail's RELAYCLIENT).
	 * @defaultValue false
	 */
	readonly relay?: boolean;
	/** Another limit for message bodies on this connection, in bytes (qmail's DATABYTES). */
	readonly messageBytes?: number;
	/** Appended to each recipient address when `relay` is true (the value of RELAYCLIENT). */
	readonly suffix?: string;
	/**
	 * Variables for programs that are started for this connection's mail, as tcpserver sets those of its rules for what
	 * it starts. One character a byte (Latin-1).
	 */
	readonly environment?: Readonly<Record<string, string>>;
}
