/**
 * Responses: a status letter and a description, for one recipient.
 *
 * Source: D. J. Bernstein, "Quick Mail Transfer Protocol (QMTP)", section 5.
 */
import { netstringSize, writeHead } from "../netstring/encoder.js";

/**
 * K: the message was accepted for this recipient, and whoever said so is responsible for it from now on. Z: not
 * accepted, but may be later. D: not accepted, and never will be.
 */
export type Status = "K" | "Z" | "D";

/** What a server says about one recipient of a package. */
export interface QmtpResponse {
	/** Whether the message was accepted for this recipient. */
	readonly status: Status;
	/** A text for people. It may hold a code such as (#5.1.1). */
	readonly description: string;
}

/** A decision of a hook: nothing means go on, a response (Z or D) refuses with it. */
export type Verdict = QmtpResponse | undefined;

/**
 * A K: the message is stored, and will not be lost.
 *
 * @param description - Cleaned: control characters become spaces, and so does a `#` that starts no code.
 */
export function accepted(description = "ok"): QmtpResponse {
	return { status: "K", description: clean(description) };
}

/** A Z: try again later. The description is cleaned as in {@link accepted}. */
export function deferred(description = "temporary failure (#4.3.0)"): QmtpResponse {
	return { status: "Z", description: clean(description) };
}

/** A D: never try again. The description is cleaned as in {@link accepted}. */
export function rejected(description = "permanent failure (#5.3.0)"): QmtpResponse {
	return { status: "D", description: clean(description) };
}

/** The responses as netstrings, one behind the other, in one new array. Descriptions are encoded as UTF-8. */
export function encodeResponses(responses: readonly QmtpResponse[]): Uint8Array {
	let text = "";
	for (const { status, description } of responses)
		text += `${description.length + 1}:${status}${description},`;
	return NOT_ASCII.test(text) ? encodeBytewise(responses) : utf8.encode(text);
}

function encodeBytewise(responses: readonly QmtpResponse[]): Uint8Array {
	const interpretations = responses.map(({ status, description }) => utf8.encode(status + description));
	const encoded = new Uint8Array(
		interpretations.reduce((sum, bytes) => sum + netstringSize(bytes.length), 0),
	);
	let offset = 0;
	for (const bytes of interpretations) {
		offset = writeHead(encoded, offset, bytes.length);
		encoded.set(bytes, offset);
		offset += bytes.length;
		encoded[offset++] = COMMA;
	}
	return encoded;
}

function clean(description: string): string {
	return UNCLEAN.test(description) ? description.replace(UNCLEAN_ALL, " ") : description;
}

const utf8 = new TextEncoder();
const COMMA = 0x2c;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOT_ASCII = /[^\x00-\x7f]/;
// Section 5: no control characters, and # only in front of a code such as 5.1.1 (HCMSSC).
const UNCLEAN = /\p{Cc}|#(?!\d\.\d{1,3}\.\d{1,3})/u;
const UNCLEAN_ALL = new RegExp(UNCLEAN, "gu");
