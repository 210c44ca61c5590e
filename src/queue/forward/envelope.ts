/**
 * An envelope on its way through: its addresses as the bytes that they are on the wire, a character each, so that one
 * client serves all messages, whatever made strings of their addresses.
 */
import { type AddressEncoding, type Envelope, encodeAddress } from "../../protocol/envelope.js";
import { BAD_RECIPIENT, BAD_SENDER } from "../../protocol/refusals.js";
import type { QmtpResponse } from "../../protocol/response.js";

/** What the next hop is told, and who is not named there. */
export interface WireEnvelope {
	/** In Latin-1. Null if nobody is left to whom the message could go. */
	readonly envelope: Envelope | null;
	/** For each recipient, in order: null, or its response if it is not in the envelope. */
	readonly refusals: readonly (QmtpResponse | null)[];
}

/** Encodes an envelope. Who cannot stand in it gets D, and all do if the sender cannot. */
export function wireEnvelope({ sender, recipients }: Envelope, encoding: AddressEncoding): WireEnvelope {
	const from = byteString(sender, encoding);
	if (from === null) return { envelope: null, refusals: recipients.map(() => BAD_SENDER) };
	const to: string[] = [];
	const refusals = recipients.map((recipient) => {
		const address = byteString(recipient, encoding);
		if (address === null) return BAD_RECIPIENT;
		to.push(address);
		return null;
	});
	return { envelope: to.length === 0 ? null : { sender: from, recipients: to }, refusals };
}

/** The responses to all recipients: their own refusals, and between them what the next hop said of the others. */
export function allResponses(
	refusals: readonly (QmtpResponse | null)[],
	responses: readonly QmtpResponse[],
): QmtpResponse[] {
	let next = 0;
	return refusals.map((refusal) => refusal ?? (responses[next++] as QmtpResponse));
}

/** Null if the address holds a character that the encoding does not have, so that it did not come from it. */
function byteString(address: string, encoding: AddressEncoding): string | null {
	if (IS_ASCII.test(address)) return address;
	try {
		return Buffer.from(encodeAddress(address, encoding)).toString("latin1");
	} catch {
		return null;
	}
}

const IS_ASCII = /^\p{ASCII}*$/u;
