/**
 * What the exit codes of qmail-queue mean: one response for each.
 *
 * Source: qmail_close() in qmail.c of notqmail 1.09, each code measured with a stand-in for qmail-queue.
 */
import { deferred, type QmtpResponse, rejected } from "../../protocol/response.js";

/** The most bytes of an error text that count. */
export const LONGEST_TEXT = 255;

/**
 * The response for a child that has failed.
 *
 * @param code - 1 to 255. 0 is no failure by itself: a child that says 0 and has not read everything gets 54.
 * @param text - What the child wrote to descriptor 6. It counts with code 82 alone, if it is longer than two bytes.
 */
export function exitResponse(code: number, text: Uint8Array): QmtpResponse {
	if (code === CODE_OF_TEXT && text.length > 2) return textResponse(text);
	return RESPONSES[code] ?? TEMPORARY_PROBLEM;
}

/** Z or D, as the first letter says. With any other letter it is a Z: a child that failed cannot say K. */
function textResponse(text: Uint8Array): QmtpResponse {
	// As a part of a stream: a character that was cut at the end is left out.
	const decoded = new TextDecoder().decode(text.subarray(0, LONGEST_TEXT), { stream: true });
	if (decoded.startsWith("D")) return rejected(decoded.substring(1));
	return deferred(decoded.startsWith("Z") ? decoded.substring(1) : decoded);
}

/** The same response for all codes of a range. */
function range(first: number, last: number, response: QmtpResponse): Record<number, QmtpResponse> {
	const responses: Record<number, QmtpResponse> = {};
	for (let code = first; code <= last; code++) responses[code] = response;
	return responses;
}

/** The exit code whose text is the child's own. */
const CODE_OF_TEXT = 82;

/** A child that did not read all, whatever it says. */
export const READ_ERROR: QmtpResponse = deferred("qq read error (#4.3.0)");

const TEMPORARY_PROBLEM = deferred("qq temporary problem (#4.3.0)");
const ADDRESS_TOO_LONG = rejected("envelope address too long for qq (#5.1.3)");
const INTERNAL_BUG = deferred("qq internal bug (#4.3.0)");

const RESPONSES: Readonly<Record<number, QmtpResponse>> = {
	...range(11, 40, rejected("qq permanent problem (#5.3.0)")),
	11: ADDRESS_TOO_LONG,
	31: rejected("mail server permanently rejected message (#5.3.0)"),
	51: deferred("qq out of memory (#4.3.0)"),
	52: deferred("qq timeout (#4.3.0)"),
	53: deferred("qq write error or disk full (#4.3.0)"),
	54: READ_ERROR,
	55: deferred("qq unable to read configuration (#4.3.0)"),
	56: deferred("qq trouble making network connection (#4.3.0)"),
	61: deferred("qq trouble in home directory (#4.3.0)"),
	...range(62, 66, deferred("qq trouble creating files in queue (#4.3.0)")),
	71: deferred("mail server temporarily rejected message (#4.3.0)"),
	72: deferred("connection to mail server timed out (#4.4.1)"),
	73: deferred("connection to mail server rejected (#4.4.1)"),
	74: deferred("communication with mail server failed (#4.4.2)"),
	81: INTERNAL_BUG,
	91: INTERNAL_BUG,
	115: ADDRESS_TOO_LONG, // of older qmail-queues
	120: deferred("unable to exec qq (#4.3.0)"),
};
