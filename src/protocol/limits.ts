/** The limits of a package, and the lengths that qmail's programs accept. */

import { UsageError } from "../errors.js";

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
}

/** The defaults of {@link PackageLimits}. */
export const DEFAULT_PACKAGE_LIMITS: PackageLimits = {
	messageBytes: 100 * 1024 * 1024,
	addressBytes: 999,
	recipientBytes: 1024 * 1024,
};

/** The largest length that qmail-qmtpd takes for any netstring: what is longer ends the connection. */
export const LONGEST_NETSTRING = 2_000_000_009;

/**
 * Options that are numbers, with the defaults of those that were not given.
 *
 * @param group - What the group of options is called, for the error.
 * @throws UsageError `ERR_QMTP_OPTION` for a name that is not among the defaults, and for what is no positive number.
 */
export function withDefaults<T extends object>(group: string, defaults: T, given: Partial<T> = {}): T {
	const merged = { ...defaults } as Record<string, unknown>;
	for (const [name, value] of Object.entries(given)) {
		if (!(name in merged)) throw new UsageError("ERR_QMTP_OPTION", `there is no option ${group}.${name}`);
		if (value === undefined) continue;
		const least = MAY_BE_ZERO.has(name) ? 0 : 1;
		if (typeof value !== "number" || !(value >= least)) {
			const message = `${group}.${name} must be a number of at least ${least}, not ${value}`;
			throw new UsageError("ERR_QMTP_OPTION", message);
		}
		merged[name] = value;
	}
	return merged as T;
}

const MAY_BE_ZERO = new Set(["messageBytes", "addressBytes"]);
