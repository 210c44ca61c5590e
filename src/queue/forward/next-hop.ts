/** The next hop as deliveries see it, whatever it speaks, and what its answers become. */
import type { Body } from "../../body/body.js";
import type { QmtpError } from "../../errors.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { Encoding } from "../../protocol/package-event.js";
import { accepted, deferred, type QmtpResponse, rejected } from "../../protocol/response.js";
import { mayBePartial, queueError, reasonOf } from "./failure.js";

/** A whole message. */
export interface HopMail {
	/** It stays the caller's, and does not change until the message is sent. */
	readonly body: Body;
	readonly encoding: Encoding;
	/** In Latin-1, with at least one recipient. */
	readonly envelope: Envelope;
}

/** What became of one recipient, as the clients tell it. */
export interface HopResult extends QmtpResponse {
	/** Why there is no response of the next hop's. */
	readonly error?: QmtpError;
	/** With `error`: true if it may have been accepted. */
	readonly possiblyAccepted?: boolean;
}

/** Where all messages go. */
export interface NextHop {
	/** Loads what is needed to send. */
	prepare(): Promise<void>;
	/** Sends a message. @returns One result for each recipient, in order. It may reject instead, whatever was sent. */
	send(mail: HopMail): Promise<readonly HopResult[]>;
	/** Closes the connections when nothing is under way. */
	close(): Promise<void>;
}

/**
 * Sends a message.
 *
 * @returns A response for each recipient, in order.
 * @throws QueueError if surely nobody has got it, and the next hop did not say why.
 */
export async function sendTo(hop: NextHop, mail: HopMail): Promise<readonly QmtpResponse[]> {
	let results: readonly HopResult[];
	try {
		results = await hop.send(mail);
	} catch (error) {
		if (!mayBePartial(error)) throw queueError(error);
		return mail.envelope.recipients.map(() => deferred(reasonOf(error)));
	}
	const [first] = results;
	const nobody = results.every(({ error, possiblyAccepted }) => error !== undefined && !possiblyAccepted);
	if (nobody) throw queueError(first?.error);
	return results.map(passedOn);
}

/** The next hop's response as ours: we answer for what is in it, so it is cleaned. */
export function passedOn({ status, description, error }: HopResult): QmtpResponse {
	if (error !== undefined) return deferred(reasonOf(error));
	if (status === "K") return accepted(description);
	return status === "D" ? rejected(description) : deferred(description);
}
