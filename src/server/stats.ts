/** What a server counts. */
import type { QmtpResponse } from "../protocol/response.js";

/** What `server.stats()` tells: counts since the server was made, and what there is now. */
export interface ServerStats {
	/** Connections. */
	readonly connections: {
		/** Now, those whose PROXY header or TLS handshake is under way among them. */
		readonly open: number;
		/** Now: accepted and unread, until there is a place. */
		readonly waiting: number;
		/** Those whose session has begun, since the start. */
		readonly accepted: number;
		/** Those that were closed since there was no place, since the start. */
		readonly refused: number;
	};
	/** Packages. */
	readonly packages: {
		/** Answered, since the start. */
		readonly answered: number;
		/** In the queue's commit, now; those whose time is over and that the queue still works on among them. */
		readonly committing: number;
	};
	/** Responses, since the start. */
	readonly responses: {
		/** K. */
		readonly accepted: number;
		/** Z. */
		readonly deferred: number;
		/** D. */
		readonly rejected: number;
	};
	/** Bytes of bodies taken in with the packages that were answered, since the start. */
	readonly bodyBytes: number;
	/** Bytes in memory now, as `limits.heldBytes` counts them. */
	readonly heldBytes: number;
	/** Faults, since the start. */
	readonly faults: number;
	/** Connections that a ProtocolError has ended, since the start. */
	readonly protocolErrors: number;
}

/** The counts that go only up, and the one of commits. */
export class Counts {
	connections = 0;
	refused = 0;
	packages = 0;
	committing = 0;
	bodyBytes = 0;
	faults = 0;
	protocolErrors = 0;
	/** Responses by their status. */
	readonly responses = { K: 0, Z: 0, D: 0 };

	/** A package was answered, of which so many bytes of body were taken in. */
	answered(bodyBytes: number, responses: readonly QmtpResponse[]): void {
		this.packages++;
		this.bodyBytes += bodyBytes;
		for (const { status } of responses) this.responses[status]++;
	}
}
