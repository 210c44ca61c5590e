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
 * The bytes of an address.
 *
 * @throws UsageError `ERR_QMTP_ADDRESS` if it has a character that the encoding cannot express (a lone surrogate, or
 * one above U+00FF in Latin-1).
 */
export function encodeAddress(address: string, encoding: AddressEncoding = "utf-8"): Uint8Array {
	if (encoding === "utf-8") {
		if (LONE_SURROGATE.test(address)) {
			throw new UsageError(
				"ERR_QMTP_ADDRESS",
				"address holds half of a surrogate pair, which UTF-8 cannot express",
			);
		}
		return utf8.encode(address);
	}
	const bytes = new Uint8Array(address.length);
	for (let index = 0; index < address.length; index++) {
		const character = address.charCodeAt(index);
		if (character > 0xff) {
			throw new UsageError("ERR_QMTP_ADDRESS", "address holds a character that Latin-1 cannot express");
		}
		bytes[index] = character;
	}
	return bytes;
}

const utf8 = new TextEncoder();
const LONE_SURROGATE = /\p{Surrogate}/u;
