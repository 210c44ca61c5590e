/**
 * Replies of an SMTP server, and what they are as QMTP responses. A reply is its lines with codes, joined by LF.
 *
 * Source: RFC 5321, section 4.2; RFC 3463 (enhanced status codes).
 */
import { accepted, deferred, type QmtpResponse, rejected } from "../protocol/response.js";

/** The code of a reply; 0 for what is no reply. */
export function replyCode(reply: string): number {
	return Number(/^([2-5]\d\d)(?:[ -]|$)/m.exec(reply.split("\n", 1)[0] ?? "")?.[1] ?? 0);
}

/** The reply to a whole message. */
export function finalResponse(reply: string): QmtpResponse {
	return isClass(reply, 2) ? accepted(replyText(reply)) : refusal(reply);
}

/** A reply that is not what would let the message go on: D for 5xx, Z for all else. It is never a K. */
export function refusal(reply: string): QmtpResponse {
	return isClass(reply, 5) ? rejected(replyText(reply)) : deferred(replyText(reply));
}

/**
 * The reply to one RCPT, likewise.
 *
 * @param several - Whether the message has more recipients. 552 may then mean too many of them, from servers that go by
 * RFC 821, so it is a Z (RFC 5321, section 4.5.3.1.10).
 */
export function recipientRefusal(reply: string, several: boolean): QmtpResponse {
	return several && replyCode(reply) === 552 ? deferred(replyText(reply)) : refusal(reply);
}

/** Its text in one line, behind its code and its enhanced status, if it has one, which stand there once. */
export function replyText(reply: string): string {
	let head = "";
	const texts = reply.split("\n").map((line, index) => {
		const [, code = "", status = "", text = ""] = LINE.exec(line.trim()) ?? [];
		if (index === 0) head = `${code} ${status}`;
		return text;
	});
	const whole = `${head} ${texts.join(" ")}`.replace(/[\s\p{Cc}]+/gu, " ").trim() || "an empty reply";
	return whole.slice(0, LONGEST_TEXT).replace(/[\ud800-\udbff]$/, "");
}

/**
 * Two turns of the event loop. A server that says more than it was asked is not to have that taken for the answer to what
 * is said next. What it said at once is here then, and was noticed.
 */
export async function timeToSayMore(): Promise<void> {
	for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function isClass(reply: string, digit: number): boolean {
	return Math.floor(replyCode(reply) / 100) === digit;
}

const LINE = /^(?:(\d{3})(?:[ -]|$))?(?:([245]\.\d{1,3}\.\d{1,3})(?:\s|$))?(.*)$/s;
const LONGEST_TEXT = 500;
