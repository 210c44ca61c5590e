/** Who brings mail to where it goes. */
import type { Body } from "../body/body.js";
import type { QmtpError } from "../errors.js";
import type { QmtpResponse } from "../protocol/response.js";

/** A message, for recipients at one destination. */
export interface RelayMail {
	/** The envelope sender. */
	readonly sender: string;
	/** The recipients. */
	readonly recipients: readonly string[];
	/** The message. It stays the relay's. */
	readonly message: Body;
	/** How its lines end. */
	readonly encoding: "lf";
}

/** What became of one recipient. */
export interface DeliveryResult extends QmtpResponse {
	/** Why there is no answer of a server's, if there is none. With Z it says that the destination cannot be reached. */
	readonly error?: QmtpError;
	/** The host that answered, or was to. */
	readonly host?: string;
}

/** What became of a message. */
export interface DeliveredMail {
	/** One for each recipient, in order. */
	readonly responses: readonly DeliveryResult[];
}

/** Brings mail to where it goes. A `MailRouter` is one. */
export interface Deliverer {
	/**
	 * Delivers a message, now or not at all. It resolves with one result for each recipient, in order. It may reject if
	 * the destination cannot be reached: surely nobody has got the message then.
	 *
	 * @param options - Its signal gives the delivery up.
	 */
	deliver(mail: RelayMail, options: { readonly signal?: AbortSignal }): Promise<DeliveredMail>;
}
