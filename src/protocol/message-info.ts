/** What is known of a message before its first byte. */
import type { AddressEncoding } from "./envelope.js";
import type { Encoding } from "./package-event.js";
import type { AccessRights, Peer } from "./peer.js";

/** What is known of a message when its length has been read, and nothing else. */
export interface MessageInfo {
	/** Names this package in logs, events and K responses. Decimal digits, unique on this machine. */
	readonly id: string;
	/** Who sends it. */
	readonly peer: Peer;
	/** What `authorize` gave this connection. */
	readonly access: AccessRights;
	/** How the message is encoded on the wire. */
	readonly encoding: Encoding;
	/** The length of the body in bytes, without fields that the server adds; undefined if nobody knows it yet. */
	readonly length: number | undefined;
	/**
	 * The length of the fields that the server adds, in bytes: the queue gets them first, and `length` does not count
	 * them. Left out, there are none.
	 */
	readonly received?: number;
	/** True if the queue will see exactly `length` bytes of body; false if CR LF will be decoded to LF on the way. */
	readonly exact: boolean;
	/** How the addresses of its envelope became strings. */
	readonly addressEncoding: AddressEncoding;
}
