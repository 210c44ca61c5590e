/**
 * Messages as the queues keep them that hand them out again: QMTP packages, made by our encoder and read back by our
 * decoder. Of a large message a spool's database has the package without its body, and a file the body.
 */
import { NEED_DATA } from "../netstring/decoder.js";
import { netstringSize } from "../netstring/encoder.js";
import type { AddressEncoding, Envelope } from "../protocol/envelope.js";
import { checkAddress } from "../protocol/envelope.js";
import { LONGEST_NETSTRING } from "../protocol/limits.js";
import { PACKAGE_END, PackageDecoder, RECIPIENT, SENDER } from "../protocol/package-decoder.js";
import {
	encodePackage,
	packageTailSize,
	writePackageHead,
	writePackageTail,
} from "../protocol/package-encoder.js";
import { deferred, type QmtpResponse, rejected } from "../protocol/response.js";

/** Who gets a message. */
export interface RecipientPlan {
	/** For whom it is stored. */
	readonly stored: readonly string[];
	/** For each recipient, in order: null if the message is stored for it, else its response. */
	readonly refusals: readonly (QmtpResponse | null)[];
}

/** Decides for whom a message is stored: the first recipients, as many as the limits allow, and the rest is told to come again. */
export function planRecipients(
	{ sender, recipients }: Envelope,
	encoding: AddressEncoding,
	maxRecipients: number,
): RecipientPlan {
	if (faultOf(sender, encoding)) return { stored: [], refusals: recipients.map(() => SENDER_NOT_STORABLE) };
	let count = 0;
	let characters = sender.length;
	const refusals = recipients.map((recipient) => {
		if (faultOf(recipient, encoding)) return RECIPIENT_NOT_STORABLE;
		if (count === maxRecipients || characters + recipient.length > ENVELOPE_CHARACTERS) return TOO_MANY;
		count++;
		characters += recipient.length;
		return null;
	});
	const isForAll = count === recipients.length;
	return {
		stored: isForAll ? recipients : recipients.filter((_, index) => refusals[index] === null),
		refusals,
	};
}

/** What the recipients of a plan are told once the message is stored: `stored`, or their refusals. */
export function plannedResponses({ refusals }: RecipientPlan, stored: QmtpResponse): QmtpResponse[] {
	return refusals.map((refusal) => refusal ?? stored);
}

/** A body that goes into a package. */
export interface BodyPieces {
	/** Its bytes: all of them, or none if they are kept elsewhere. */
	readonly pieces: readonly Uint8Array[];
	/** How many bytes it has. */
	readonly length: number;
}

/**
 * Encodes a package in one array, into which the body's pieces are copied.
 *
 * @param front - How many bytes to leave free before it. They are not zeroed.
 * @returns `bodyAt` is where the body is in the package, or belongs.
 */
export function encodeStoredPackage(
	envelope: Envelope,
	encoding: AddressEncoding,
	{ pieces, length }: BodyPieces,
	front = 0,
): { readonly bytes: Buffer; readonly bodyAt: number } {
	const bodyAt = netstringSize(length + 1) - (length + 1); // with the byte that tells the encoding, without the comma
	const tailAt = pieces.reduce((sum, piece) => sum + piece.length, front + bodyAt);
	let bytes = Buffer.allocUnsafe(tailAt + packageTailSize(envelope)); // if each character of the addresses is one byte
	if (writePackageTail(bytes, tailAt, envelope, encoding) === -1) {
		const { tail } = encodePackage(envelope, { encoding: "lf", length }, encoding);
		bytes = Buffer.allocUnsafe(tailAt + tail.length);
		bytes.set(tail, tailAt);
	}
	let end = writePackageHead(bytes, front, { encoding: "lf", length });
	for (const piece of pieces) {
		bytes.set(piece, end);
		end += piece.length;
	}
	return { bytes, bodyAt };
}

/** What is in a package. */
export interface StoredMail {
	readonly envelope: Envelope;
	/** A view into the package. */
	readonly body: Uint8Array;
}

/** Reads a package, which must be whole and alone. @throws ProtocolError if it is none; Error if it is cut short. */
export function decodePackage(bytes: Uint8Array, encoding: AddressEncoding): StoredMail {
	const decoder = new PackageDecoder(LIMITS);
	decoder.receive(bytes);
	const message = decoder.next();
	if (message?.type !== "message" || message.encoding !== "lf") throw new Error(NO_LF_MESSAGE);
	if (message.length >= bytes.length - decoder.offset) throw new Error(CUT_SHORT);
	const body = bytes.subarray(decoder.offset, decoder.offset + message.length);
	const tail = bytes.subarray(decoder.offset + message.length);
	return { envelope: decodeEnvelope(tail, encoding), body };
}

/**
 * Reads the envelope of a package.
 *
 * @param tail - The package from the end of its body on.
 * @throws ProtocolError if it is none; Error if it is cut short, or more follows it.
 */
export function decodeEnvelope(tail: Uint8Array, encoding: AddressEncoding): Envelope {
	const bytes = Buffer.isBuffer(tail) ? tail : Buffer.from(tail.buffer, tail.byteOffset, tail.length);
	const decoder = new PackageDecoder(LIMITS);
	decoder.receive(EMPTY_MESSAGE);
	while (decoder.step() !== NEED_DATA);
	decoder.receive(bytes);
	let sender = "";
	const recipients: string[] = [];
	for (let step = decoder.step(); step !== NEED_DATA; step = decoder.step()) {
		if (step === SENDER) sender = bytes.toString(encoding, decoder.start, decoder.end);
		else if (step === RECIPIENT) recipients.push(bytes.toString(encoding, decoder.start, decoder.end));
		else if (step === PACKAGE_END) {
			if (decoder.step() !== NEED_DATA || !decoder.idle) throw new Error("bytes after a stored package");
			return { sender, recipients };
		}
	}
	throw new Error(CUT_SHORT);
}

function faultOf(address: string, encoding: AddressEncoding): boolean {
	if (address.length > ADDRESS_CHARACTERS) return true;
	try {
		checkAddress(address, encoding);
		return false;
	} catch {
		return true; // a character that the encoding does not have: the address did not come from it
	}
}

// What a server lets pass is far below both.
const ADDRESS_CHARACTERS = 64 * 1024;
const ENVELOPE_CHARACTERS = 4 * 1024 * 1024;
const LIMITS = { addressBytes: LONGEST_NETSTRING, recipientBytes: LONGEST_NETSTRING };
const EMPTY_MESSAGE = Buffer.from("1:\n");
const TOO_MANY = deferred("too many recipients for one message (#4.5.3)");
const RECIPIENT_NOT_STORABLE = rejected("address cannot be stored (#5.1.3)");
const SENDER_NOT_STORABLE = rejected("sender address cannot be stored (#5.1.7)");
const CUT_SHORT = "a stored package is cut short";
const NO_LF_MESSAGE = "a stored package has no message with LF lines";
