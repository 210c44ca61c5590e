/**
 * What is sent back when mail cannot be delivered: from whom, to whom, and its text in front of the copy. One character
 * is one byte (Latin-1).
 *
 * Source: maildirserial.c of serialmail 0.75, of which log readers and mailing list managers know the words.
 */
import { join } from "node:path";
import { controlLine, readControl } from "../../access/control.js";
import type { Envelope } from "../../protocol/envelope.js";
import type { Head } from "../../queue/maildir/head.js";
import { quoteAddress, quoteLocalPart } from "./quote.js";

/** Who sends bounces, and who gets those that bounce. */
export interface BounceNames {
	/** The local part in `From`. */
	readonly from: string;
	readonly host: string;
	readonly doubleBounceTo: string;
}

/** Reads the names from qmail's control files. @throws An Error for a file that is there and cannot be read. */
export function bounceNames(directory: string): BounceNames {
	const line = (name: string) => {
		const bytes = readControl(join(directory, name));
		return bytes === null ? null : controlLine(bytes);
	};
	const me = line("me") ?? "me";
	const doubleBounceHost = line("doublebouncehost") ?? me;
	return {
		from: line("bouncefrom") ?? "MAILER-DAEMON",
		host: line("bouncehost") ?? me,
		doubleBounceTo: `${line("doublebounceto") ?? "postmaster"}@${doubleBounceHost}`,
	};
}

/** For whom the bounce of this mail is. Null for mail that must not bounce: it is a double bounce itself. */
export function bounceEnvelope({ sender }: Head, names: BounceNames): Envelope | null {
	if (sender === DOUBLE_BOUNCE) return null;
	if (sender === "") return { sender: DOUBLE_BOUNCE, recipients: [names.doubleBounceTo] };
	return { sender: "", recipients: [sender] };
}

/** Why mail comes back. */
export interface BounceReason {
	/** What the server said, as in the log. */
	readonly said: string;
	/** It is only that the mail is too old. */
	readonly tooOld: boolean;
	readonly date: Date;
}

/** The bounce up to where the copy of the message begins. */
export function bounceText(
	{ sender, recipient }: Head,
	recipientOfBounce: string,
	{ said, tooOld, date }: BounceReason,
	{ from, host }: BounceNames,
): string {
	const isBounce = sender === "";
	return [
		`Date: ${dateField(date)}`,
		`From: ${quoteLocalPart(from)}@${host}`,
		`To: ${quoteAddress(recipientOfBounce)}`,
		"Subject: failure notice",
		"",
		`Hi. This is the maildirbounce program at ${host}.`,
		...(isBounce
			? ["I tried to deliver a bounce message to this address, but the bounce bounced!"]
			: [
					"I'm afraid I wasn't able to deliver your message to the following address.",
					"This is a permanent error; I've given up. Sorry it didn't work out.",
				]),
		"",
		`<${recipient}>:`,
		said,
		...(tooOld ? ["This message is too old. Giving up."] : []),
		"",
		`--- Below this line is ${isBounce ? "the original bounce" : "a copy of the message"}.`,
		"",
		`Return-Path: <${quoteAddress(sender)}>`,
		"",
	].join("\n");
}

/** Such as `7 Mar 2026 09:05:00 -0000`, where -0000 says nothing of the zone. */
function dateField(date: Date): string {
	const [, day, month, year, time] = date.toUTCString().split(" "); // "Sat, 07 Mar 2026 09:05:00 GMT"
	return `${Number(day)} ${month} ${year} ${time} -0000`;
}

const DOUBLE_BOUNCE = "#@[]";
