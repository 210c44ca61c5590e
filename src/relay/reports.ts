/** What a relay tells of the mail that passes through it. */
import type { QmtpResponse } from "../protocol/response.js";

/** What became of one recipient. */
export interface RelayedRecipient extends QmtpResponse {
	/** As the source has it. */
	readonly recipient: string;
	/** False if nobody was asked: its destination rests, or has enough to do, or the message goes in circles. */
	readonly attempted: boolean;
	/** The host that answered, if it is known. */
	readonly host?: string;
	/** True if it was given up only since the message is too old. */
	readonly tooOld?: boolean;
}

/** What became of some recipients of one message, at one attempt. */
export interface RelayReport {
	/** The message's id. */
	readonly id: string;
	/** The envelope sender. */
	readonly sender: string;
	/** The bytes of the message. */
	readonly size: number;
	/** When it was stored, in ms since 1970. */
	readonly queuedAt: number;
	/** Attempts that were begun before this one. */
	readonly attempts: number;
	/** Those of its recipients whom the event is about. */
	readonly recipients: readonly RelayedRecipient[];
}

/** Recipients who are tried again. */
export interface DeferredReport extends RelayReport {
	/** When, in ms since 1970. */
	readonly nextAttempt: number;
}

/** Recipients who were given up, and the bounce that tells so. */
export interface BouncedReport extends RelayReport {
	/** Who gets the bounce. */
	readonly to: string;
	/** What the queue said when it took it. */
	readonly description: string;
}

/** Recipients who were given up, and nobody is told but the listener. */
export interface DroppedReport extends RelayReport {
	/** Why there is no bounce. */
	readonly reason: string;
}

/** A destination that cannot be reached. */
export interface RestReport {
	/** A domain, or the next hop's URL. */
	readonly destination: string;
	/** When it is tried again, in ms since 1970. */
	readonly until: number;
	/** What was said. */
	readonly description: string;
}

/** Where a fault happened, as far as it is known. */
export interface RelayFaultContext {
	/** The message's id. */
	readonly id?: string;
}

/** The events of a relay. They only tell: what is said in them has happened, and is durable. */
export interface RelayEvents {
	/** Recipients were accepted by the next hop. */
	delivered: (report: RelayReport) => void;
	/** Recipients are tried again. */
	deferred: (report: DeferredReport) => void;
	/** Recipients were given up, and a bounce is in the queue. */
	bounced: (report: BouncedReport) => void;
	/** Recipients were given up, and there is no bounce: it would be the third. */
	dropped: (report: DroppedReport) => void;
	/** A destination cannot be reached, and rests. */
	rest: (report: RestReport) => void;
	/** A destination was reached again. */
	back: (destination: string) => void;
	/**
	 * Something failed that is not the mail's fault: the source, the queue for bounces, a message that cannot be read. The
	 * mail stays. Without a listener it goes to `console.error`.
	 */
	fault: (error: Error, context: RelayFaultContext) => void;
	/** The relay has ended. */
	close: () => void;
}

/** What `relay.stats()` tells: what there is now, and counts of recipients since the relay was made. */
export interface RelayStats {
	/** Messages that were taken out of the source, and are not settled. */
	readonly messages: number;
	/** Deliveries under way. */
	readonly active: number;
	/** Deliveries that wait for others to the same destination, or in all. */
	readonly waiting: number;
	/** Destinations that could not be reached when they were last tried. */
	readonly down: number;
	/** Recipients whom the next hop accepted. */
	readonly delivered: number;
	/** Recipients put off, each time. */
	readonly deferred: number;
	/** Recipients given up, with a bounce. */
	readonly bounced: number;
	/** Recipients given up, without one. */
	readonly dropped: number;
	/** Faults. */
	readonly faults: number;
}
