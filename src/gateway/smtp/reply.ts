/**
 * SMTP's replies for QMTP's responses.
 *
 * A description is the text of the reply, with its code in parentheses at the end as qmail-smtpd writes it. The number
 * says K, Z or D, and stands for the code where SMTP has a number for it.
 *
 * Source: RFC 5321, sections 4.2 and 4.5.3.1.5; qmail 1.03, qmail-smtpd.c.
 */
import type { QmtpResponse } from "../../protocol/response.js";

/** A number and one line of text. */
export interface SmtpReply {
	readonly code: number;
	/** ASCII without control characters, and short enough for a line of SMTP. */
	readonly text: string;
}

/** What is answered: a command of the envelope, or a whole message. */
export type Answered = "envelope" | "message";

/** The reply that one response is. */
export function replyOf({ status, description }: QmtpResponse, answered: Answered): SmtpReply {
	return { code: codeOf(status, description, answered), text: line(description) };
}

/**
 * The one reply to a message for several recipients. It is 250 only if every response is a K: SMTP has no way to say
 * more, so with a Z the client tries again for all, and with a D it gives up for all, whatever the rest got.
 *
 * @param recipients - Those that the responses are for, in order; at least one.
 */
export function messageReply(recipients: readonly string[], responses: readonly QmtpResponse[]): SmtpReply {
	const deferral = responses.find(({ status }) => status === "Z");
	if (deferral !== undefined) return replyOf(deferral, "message");
	const rejections = responses.filter(({ status }) => status === "D");
	const [first] = rejections;
	if (first === undefined) return replyOf(responses[0] as QmtpResponse, "message");
	const alike = rejections.every(({ description }) => description === first.description);
	if (alike && rejections.length === responses.length) return replyOf(first, "message");
	const named = recipients.flatMap((recipient, index) => {
		const response = responses[index] as QmtpResponse;
		return response.status === "D" ? [`${recipient}: ${response.description}`] : [];
	});
	return { code: 554, text: line(`not accepted for ${named.join("; ")}`) };
}

function codeOf(status: QmtpResponse["status"], description: string, answered: Answered): number {
	if (status === "K") return 250;
	const detail = DETAIL.exec(description)?.[1] ?? "";
	if (status === "Z") return detail === "4.5.3" ? 452 : 451;
	if (detail === "5.3.4") return 552;
	if (answered === "message") return 554;
	return NOT_ALLOWED.test(detail) ? 553 : 550;
}

function line(text: string): string {
	const plain = text.replace(/[^\x20-\x7e]/gu, "?").trim();
	return plain.length > LONGEST_TEXT ? `${plain.slice(0, LONGEST_TEXT - 3)}...` : plain;
}

const DETAIL = /#([45]\.\d{1,3}\.\d{1,3})/;
// qmail-smtpd's 553: an address as such, or a domain that is not taken here. A mailbox that is not there is 550.
const NOT_ALLOWED = /^5\.(?:1\.[2378]|7\.1)$/;
const LONGEST_TEXT = 500; // of 512, with the number and CR LF
