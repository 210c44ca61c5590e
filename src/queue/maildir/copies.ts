/** Which recipients of a message get a copy, and the two lines that each copy begins with. */
import { type AddressEncoding, type Envelope, encodeAddress } from "../../protocol/envelope.js";
import { deferred, type QmtpResponse, rejected } from "../../protocol/response.js";
import { NO_SPACE } from "./fault.js";

/** What one message may take. */
export interface CopyLimits {
	/** The most copies. */
	readonly copies: number;
	/** The most bytes of all copies together. */
	readonly bytes: number;
	/** The bytes that the disk has room for. */
	readonly room: number;
}

/** For each recipient, in order: the first bytes of its copy, or the response if it gets none. */
export type CopyPlan = (Uint8Array | QmtpResponse)[];

/**
 * Decides for whom a message with a body of `size` bytes is stored. The first recipients get their copies, as many as
 * the limits allow, and the rest is told to come again.
 */
export function planCopies(
	envelope: Envelope,
	encoding: AddressEncoding,
	size: number,
	limits: CopyLimits,
): CopyPlan {
	const returnPath = line("Return-Path: <", envelope.sender, ">\n", encoding);
	if (returnPath === null) return envelope.recipients.map(() => SENDER_NOT_STORABLE);
	let copies = 0;
	let bytes = 0;
	let refusal: QmtpResponse | null = null;
	return envelope.recipients.map((recipient) => {
		const deliveredTo = line("Delivered-To: ", recipient, "\n", encoding);
		if (deliveredTo === null) return RECIPIENT_NOT_STORABLE;
		const copySize = returnPath.length + deliveredTo.length + size;
		if (copySize > limits.bytes) return TOO_LARGE;
		if (copies === limits.copies || bytes + copySize > limits.bytes) refusal ??= TOO_MANY;
		else if (bytes + copySize > limits.room) refusal ??= deferred(NO_SPACE);
		if (refusal !== null) return refusal;
		copies++;
		bytes += copySize;
		return Buffer.concat([returnPath, deliveredTo]);
	});
}

/** One line that holds an address, or null if the address cannot stand in one. */
function line(before: string, address: string, after: string, encoding: AddressEncoding): Uint8Array | null {
	if (NOT_STORABLE.test(address)) return null;
	try {
		return encodeAddress(before + address + after, encoding);
	} catch {
		return null; // a character that the encoding does not have: the address did not come from it
	}
}

/** The message is larger than any limit lets pass, so that trying again cannot help. */
export const MESSAGE_TOO_LARGE = "message too large (#5.3.4)";

const TOO_LARGE = rejected(MESSAGE_TOO_LARGE);
const TOO_MANY = deferred("too many recipients for one message (#4.5.3)");
const RECIPIENT_NOT_STORABLE = rejected("address holds a character that cannot be stored (#5.1.3)");
const SENDER_NOT_STORABLE = rejected("sender address holds a character that cannot be stored (#5.1.7)");
// CR and NUL do no harm to the line, but to what reads it: C strings, and programs that take a CR for a line end.
const NOT_STORABLE = /[\n\r\0]/;
