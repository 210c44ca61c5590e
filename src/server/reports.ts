/** What a server tells of packages, faults and connections, in its events. */
import type { MessageInfo } from "../protocol/message-info.js";
import type { Peer } from "../protocol/peer.js";
import type { QmtpResponse } from "../protocol/response.js";

/** What became of a package. */
export interface PackageReport {
	/** Whose package it was. */
	readonly peer: Peer;
	/** What was known of the message before its first byte. */
	readonly message: MessageInfo;
	/** Null if it could not be read as an address. */
	readonly sender: string | null;
	/** In the client's order; null for those that could not be read as addresses. */
	readonly recipients: readonly (string | null)[];
	/** One for each recipient. */
	readonly responses: readonly QmtpResponse[];
	/**
	 * Bytes of body that were taken in; fewer than were sent if the message was refused. CR LF counts as one if it was
	 * decoded: for a queue that takes bodies as sent it need not be.
	 */
	readonly bodyBytes: number;
	/** From the package's first byte to its answer, in milliseconds; 0 if nobody listened when it began. */
	readonly duration: number;
	/** How long the queue took to commit, or has taken so far, in milliseconds; left out if it was not asked to. */
	readonly commitDuration?: number;
}

/** Where a fault happened, as far as it is known. */
export interface FaultContext {
	/** On whose connection. */
	readonly peer?: Peer;
	/** With which message. */
	readonly message?: MessageInfo;
}

/** How a connection ended. */
export interface DisconnectReport {
	/** Whose connection it was. */
	readonly peer: Peer;
	/** Packages answered. */
	readonly packages: number;
	/**
	 * What ended it, if the client did not simply close: a ProtocolError, a TransportError of time or of a package cut
	 * short, or an error of the system.
	 */
	readonly error?: Error;
}
