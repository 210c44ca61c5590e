/**
 * An envelope as qmail-queue reads it: F, the sender, NUL; for each recipient T, the address, NUL; NUL.
 *
 * Source: qmail-queue(8).
 */
import { type AddressEncoding, type Envelope, encodeAddress } from "../../protocol/envelope.js";
import { BAD_RECIPIENT, BAD_SENDER } from "../../protocol/refusals.js";
import type { QmtpResponse } from "../../protocol/response.js";

/** What the child is told, and who is not named there. */
export interface EnvelopeForQueue {
	/** Null if nobody is left to whom the message could go. */
	readonly bytes: Uint8Array | null;
	/** For each recipient, in order: null, or its response if it is not in the envelope. */
	readonly refusals: readonly (QmtpResponse | null)[];
}

/** Encodes an envelope. Who cannot stand in it gets D, and all do if the sender cannot. */
export function envelopeForQueue(envelope: Envelope, encoding: AddressEncoding): EnvelopeForQueue {
	const { sender, recipients } = envelope;
	const from = field("F", sender, encoding);
	if (from === null) return { bytes: null, refusals: recipients.map(() => BAD_SENDER) };
	const fields = [from];
	const refusals = recipients.map((recipient) => {
		const to = field("T", recipient, encoding);
		if (to === null) return BAD_RECIPIENT;
		fields.push(to);
		return null;
	});
	if (fields.length === 1) return { bytes: null, refusals };
	fields.push(END);
	return { bytes: Buffer.concat(fields), refusals };
}

/** One field, or null if the address cannot stand in one. */
function field(letter: string, address: string, encoding: AddressEncoding): Uint8Array | null {
	if (address.includes("\0")) return null;
	try {
		return encodeAddress(`${letter}${address}\0`, encoding);
	} catch {
		return null; // a character that the encoding does not have: the address did not come from it
	}
}

const END = new Uint8Array(1);
