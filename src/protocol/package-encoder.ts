/**
 * Encoding of packages. The message's body is not touched: what goes before it and what goes behind it is made here,
 * and the body is sent between the two as it is.
 *
 * Source: D. J. Bernstein, "Quick Mail Transfer Protocol (QMTP)", section 4.
 */
import { UsageError } from "../errors.js";
import { netstringSize, writeHead, writeNetstring } from "../netstring/encoder.js";
import { type AddressEncoding, type Envelope, encodeAddress } from "./envelope.js";
import type { Encoding } from "./package-event.js";

/** What stands around a body on the wire. Both arrays are new, and belong to the caller. */
export interface EncodedPackage {
	/** Goes before the body. */
	readonly head: Uint8Array;
	/** Goes behind the body. */
	readonly tail: Uint8Array;
}

/**
 * Encodes what stands around a body.
 *
 * @param message - `encoding` says what line ends the body has; `length` is the number of its bytes.
 * @returns `head`, then exactly `length` bytes of body, then `tail`, make one package. Both are new arrays.
 * @throws UsageError `ERR_QMTP_ADDRESS` if an address cannot be encoded, `ERR_QMTP_OPTION` if the length is no whole
 * number of bytes.
 */
export function encodePackage(
	envelope: Envelope,
	message: { readonly encoding: Encoding; readonly length: number },
	addressEncoding: AddressEncoding = "utf-8",
): EncodedPackage {
	return {
		head: encodePackageHead(message.encoding, message.length),
		tail: encodePackageTail(envelope, addressEncoding),
	};
}

function encodePackageHead(encoding: Encoding, length: number): Uint8Array {
	if (!Number.isSafeInteger(length + 1) || length < 0) {
		throw new UsageError("ERR_QMTP_OPTION", `a body cannot have ${length} bytes`);
	}
	// The byte that tells the encoding counts.
	return utf8.encode(`${length + 1}:${encoding === "lf" ? "\n" : "\r"}`);
}

function encodePackageTail(envelope: Envelope, addressEncoding: AddressEncoding): Uint8Array {
	// As one text, where a character is a byte: about a third less than an array for each address costs.
	const { sender, recipients } = envelope;
	let list = "";
	for (const recipient of recipients) list += `${recipient.length}:${recipient},`;
	const tail = `,${sender.length}:${sender},${list.length}:${list},`; // the first comma is the message's
	return NOT_ASCII.test(tail) ? encodeTailBytewise(envelope, addressEncoding) : utf8.encode(tail);
}

function encodeTailBytewise(envelope: Envelope, addressEncoding: AddressEncoding): Uint8Array {
	const sender = encodeAddress(envelope.sender, addressEncoding);
	const recipients = envelope.recipients.map((recipient) => encodeAddress(recipient, addressEncoding));
	const listLength = recipients.reduce((sum, recipient) => sum + netstringSize(recipient.length), 0);
	const tail = new Uint8Array(1 + netstringSize(sender.length) + netstringSize(listLength));
	tail[0] = COMMA;
	let offset = writeNetstring(tail, 1, sender);
	offset = writeHead(tail, offset, listLength);
	for (const recipient of recipients) offset = writeNetstring(tail, offset, recipient);
	tail[offset] = COMMA;
	return tail;
}

const COMMA = 0x2c;
const utf8 = new TextEncoder();
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOT_ASCII = /[^\x00-\x7f]/;
