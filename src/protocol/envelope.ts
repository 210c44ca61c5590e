/** The envelope of a message, and how its addresses become bytes. */
import { UsageError } from "../errors.js";

/** For whom a message is, and who is told when it cannot be delivered. */
export interface Envelope {
	/** The envelope sender. Empty for mail that must not be answered, such as bounces. */
	readonly sender: string;
	/** The envelope recipients. One address may stand here more than once, and each gets its own response. */
	readonly recipients: readonly string[];
}

/**
 * How addresses, 8-bit strings on the wire, become JavaScript strings: `"utf-8"`, which refuses bytes that are not
 * UTF-8, or `"latin1"`, one character a byte, which loses nothing.
 */
export type AddressEncoding = "utf-8" | "latin1";

/** The address encoding of an option. @throws UsageError `ERR_QMTP_OPTION` if it is none. */
export function addressEncodingOption(encoding: AddressEncoding = "utf-8"): AddressEncoding {
	if (encoding === "utf-8" || encoding === "latin1") return encoding;
	throw new UsageError("ERR_QMTP_OPTION", `addressEncoding must be "utf-8" or "latin1", not ${encoding}`);
}

/**
 * Makes sure that an address can be encoded.
 *
 * @throws UsageError `ERR_QMTP_ADDRESS` if it has a character that the encoding cannot express (a lone surrogate, or
 * one above U+00FF in Latin-1).
 */
export function checkAddress(address: string, encoding: AddressEncoding): void {
	if (encoding === "utf-8" ? !LONE_SURROGATE.test(address) : !NOT_LATIN1.test(address)) return;
	const problem =
		encoding === "utf-8"
			? "half of a surrogate pair, which UTF-8 cannot express"
			: "a character that Latin-1 cannot express";
	throw new UsageError("ERR_QMTP_ADDRESS", `address holds ${problem}`);
}

/**
 * A copy of an envelope that somebody gave, which may change it meanwhile.
 *
 * @throws UsageError `ERR_QMTP_RECIPIENTS` if there is no recipient, `ERR_QMTP_ADDRESS` for what is no address, as
 * {@link checkAddress}.
 */
export function checkedEnvelope({ sender, recipients }: Envelope, encoding: AddressEncoding): Envelope {
	if (typeof sender !== "string") throw new UsageError("ERR_QMTP_ADDRESS", "sender must be a string");
	if (!Array.isArray(recipients) || recipients.length === 0) {
		throw new UsageError("ERR_QMTP_RECIPIENTS", "recipients must be an array of at least one address");
	}
	const copy: unknown[] = recipients.slice();
	for (const recipient of copy) {
		if (typeof recipient !== "string")
			throw new UsageError("ERR_QMTP_ADDRESS", "each recipient must be a string");
	}
	const envelope = { sender, recipients: copy as readonly string[] };
	checkAddress(sender, encoding);
	for (const address of envelope.recipients) checkAddress(address, encoding);
	return envelope;
}

/**
 * The bytes of an address.
 *
 * @throws UsageError `ERR_QMTP_ADDRESS` as {@link checkAddress}.
 */
export function encodeAddress(address: string, encoding: AddressEncoding = "utf-8"): Uint8Array {
	checkAddress(address, encoding);
	if (encoding === "utf-8") return utf8.encode(address);
	const bytes = new Uint8Array(address.length);
	for (let index = 0; index < address.length; index++) bytes[index] = address.charCodeAt(index);
	return bytes;
}

const utf8 = new TextEncoder();
const LONE_SURROGATE = /\p{Surrogate}/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: every byte is a character of an address
const NOT_LATIN1 = /[^\u0000-\u00ff]/;
