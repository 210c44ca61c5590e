/** The limits of a package, and the lengths that qmail's programs accept. */

/** What a decoder of packages accepts. Sizes are in bytes. */
export interface PackageLimits {
	/**
	 * The largest message body, counted after line decoding. The decoder itself only refuses lengths that no message
	 * within it can have; the exact check is the server's, who answers D and reads on.
	 * @defaultValue 104857600 (100 MiB)
	 */
	readonly messageBytes: number;
	/**
	 * The longest address. A longer one is dropped while it is read and reported as null.
	 * @defaultValue 999 (as in qmail-qmtpd, which refuses 1,000)
	 */
	readonly addressBytes: number;
	/**
	 * The longest list of recipients, counted as it is sent: with the length and comma of each.
	 * @defaultValue 1048576 (1 MiB)
	 */
	readonly recipientBytes: number;
	/**
	 * The longest netstring that may be declared, whatever is in it; a longer one ends the connection. If it is given,
	 * `recipientBytes` bounds what arrives of a list and not what is declared, as memory does in qmail-qmtpd.
	 * @defaultValue what the other limits allow
	 */
	readonly netstringBytes?: number | undefined;
}

/** The defaults of {@link PackageLimits}. */
export const DEFAULT_PACKAGE_LIMITS: PackageLimits = {
	messageBytes: 100 * 1024 * 1024,
	addressBytes: 999,
	recipientBytes: 1024 * 1024,
	netstringBytes: undefined,
};

/** The largest length that qmail-qmtpd takes for any netstring: what is longer ends the connection. */
export const LONGEST_NETSTRING = 2_000_000_009;
