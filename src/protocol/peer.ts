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
