/**
 * Bounces: what is sent back when mail cannot be delivered, for people and for programs. They are composed by nodemailer,
 * which is loaded when it is needed.
 *
 * Source: RFC 3464 (delivery status notifications); RFC 6522 (multipart/report); RFC 6533 (addresses beyond ASCII); RFC
 * 3834 (Auto-Submitted).
 */
import type MimeNode from "nodemailer/lib/mime-node";
import { UsageError } from "../errors.js";

/** A recipient who is given up. */
export interface FailedRecipient {
	/** As text; what is no UTF-8 has U+FFFD. */
	readonly address: string;
	/** What was said last. */
	readonly description: string;
	/** Who said so, if it is known. */
	readonly host?: string | undefined;
	/** It might have gone out some day, but the message is too old. */
	readonly tooOld: boolean;
	/** ms since 1970. */
	readonly lastAttempt: number;
}

/** What a bounce is about. */
export interface BounceContent {
	/** This host. */
	readonly hostname: string;
	/** Who gets it, as text. */
	readonly to: string;
	/** It is a bounce that cannot be delivered. */
	readonly isDouble: boolean;
	readonly failed: readonly FailedRecipient[];
	/** When the message was stored, in ms since 1970. */
	readonly arrival: number;
	/** Now, in ms since 1970. */
	readonly date: number;
	/** The message, or its header; null if it cannot be read. */
	readonly original: Original | null;
}

/** As much of a message as comes back. */
export interface Original {
	readonly whole: boolean;
	readonly bytes: Buffer;
}

/** Composes bounces. */
export type Composer = (content: BounceContent) => Promise<Buffer>;

/** Loads nodemailer. @throws UsageError `ERR_QMTP_PACKAGE` if it is not installed. */
export async function loadComposer(): Promise<Composer> {
	let library: typeof MimeNode;
	try {
		library = (await import("nodemailer/lib/mime-node")).default;
	} catch (cause) {
		const message = "bounces need the package nodemailer, which cannot be loaded: npm install nodemailer";
		throw new UsageError("ERR_QMTP_PACKAGE", message, { cause });
	}
	return (content) => compose(library, content);
}

/** Reads as much of a message as comes back: all of it, or the fields of its header, up to 64 KiB. */
export async function readOriginal(body: AsyncIterable<Uint8Array>, size: number): Promise<Original> {
	const chunks: Uint8Array[] = [];
	let read = 0;
	for await (const chunk of body) {
		chunks.push(chunk);
		read += chunk.length;
		if (read > MOST_ORIGINAL) break;
	}
	const bytes = Buffer.concat(chunks);
	if (size <= MOST_ORIGINAL && canBePart(bytes)) return { whole: true, bytes };
	const start = bytes[0] === LF ? 0 : -1; // a message without a header
	const end = start === 0 ? 0 : bytes.indexOf("\n\n") + 1;
	if (end > 0 && end <= MOST_ORIGINAL) return { whole: false, bytes: bytes.subarray(0, end) };
	if (start === 0) return { whole: false, bytes: bytes.subarray(0, 0) };
	const most = bytes.subarray(0, MOST_ORIGINAL);
	return { whole: false, bytes: most.subarray(0, most.lastIndexOf(LF) + 1) };
}

/** The status for a recipient: the code in what was said, or one that says nothing more than that it failed. */
export function statusOf({ description, tooOld }: Pick<FailedRecipient, "description" | "tooOld">): string {
	const [, code] = CODE.exec(description) ?? SMTP_CODE.exec(description) ?? [];
	return code ?? (tooOld ? "4.4.7" : "5.0.0");
}

async function compose(Node: typeof MimeNode, content: BounceContent): Promise<Buffer> {
	const { hostname, to, isDouble, date, original } = content;
	const root = new Node("multipart/report; report-type=delivery-status", { newline: "linux", hostname });
	root.setHeader("From", { name: "Mail Delivery System", address: `MAILER-DAEMON@${hostname}` });
	root.setHeader("To", { name: "", address: to });
	root.setHeader("Subject", isDouble ? "failure notice about a bounce" : "failure notice");
	root.setHeader("Date", new Date(date).toUTCString().replace("GMT", "+0000"));
	root.setHeader("Auto-Submitted", "auto-replied");
	root.createChild("text/plain; charset=utf-8").setContent(text(content));
	root.createChild("message/delivery-status").setContent(`${deliveryStatus(content)}\n`);
	if (original?.whole === true) {
		const part = root.createChild("message/rfc822");
		part.setHeader("Content-Transfer-Encoding", original.bytes.some((byte) => byte > 127) ? "8bit" : "7bit");
		part.setContent(original.bytes);
	} else if (original !== null) {
		root.createChild("text/rfc822-headers").setContent(original.bytes);
	}
	return await root.build();
}

function text({ hostname, isDouble, failed, original }: BounceContent): string {
	const several = failed.length > 1 ? "these addresses" : "this address";
	return [
		`This is the mail system at ${hostname}.`,
		"",
		isDouble
			? `A bounce could not be delivered to ${several}:`
			: `Your message could not be delivered to ${several}. It has been given up:`,
		"",
		...failed.flatMap(({ address, description, host, tooOld }) => [
			`<${oneLine(address)}>:`,
			`${host === undefined ? "" : `${oneLine(host)} said: `}${oneLine(description)}`,
			...(tooOld ? ["The message has been waiting for too long, and is not tried again."] : []),
			"",
		]),
		...(original === null
			? ["The message itself could not be read."]
			: [`Attached is ${original.whole ? "a copy of the message" : "the header of the message"}.`]),
		"",
	].join("\n");
}

function deliveryStatus({ hostname, arrival, failed }: BounceContent): string {
	const message = [`Reporting-MTA: dns; ${ascii(hostname)}`, `Arrival-Date: ${dateField(arrival)}`];
	const recipients = failed.map((recipient) => {
		const { address, description, host, lastAttempt } = recipient;
		return [
			`Final-Recipient: ${typedAddress(address)}`,
			"Action: failed",
			`Status: ${statusOf(recipient)}`,
			...(host === undefined ? [] : [`Remote-MTA: dns; ${ascii(host)}`]),
			`Diagnostic-Code: ${/^[2-5]\d\d /.test(description) ? "smtp" : "x-qmtp"}; ${ascii(description)}`,
			`Last-Attempt-Date: ${dateField(lastAttempt)}`,
		];
	});
	return [message, ...recipients].map((fields) => `${fields.map(folded).join("\n")}\n`).join("\n");
}

/** An address that is no printable ASCII has to be written as one of RFC 6533. */
function typedAddress(address: string): string {
	if (PRINTABLE.test(address)) return `rfc822; ${address}`;
	return `utf-8; ${[...address].map((character) => (XTEXT.test(character) ? character : escaped(character))).join("")}`;
}

function escaped(character: string): string {
	return `\\x{${(character.codePointAt(0) as number).toString(16).toUpperCase()}}`;
}

/** A field whose lines are as long as mail allows. */
function folded(field: string): string {
	const lines: string[] = [];
	for (let rest = field; rest.length > 0; ) {
		if (rest.length <= LINE) {
			lines.push(rest);
			break;
		}
		const space = rest.lastIndexOf(" ", LINE);
		const end = space > rest.indexOf(": ") + 1 ? space : Math.min(LONGEST_LINE, nextSpace(rest));
		lines.push(rest.slice(0, end));
		rest = rest.slice(end).replace(/^ */, rest.length > end ? " " : "");
	}
	return lines.join("\n");
}

function nextSpace(text: string): number {
	const space = text.indexOf(" ", LINE);
	return space === -1 ? text.length : space;
}

function ascii(text: string): string {
	return oneLine(text).replace(/[^\x20-\x7e]/gu, "?");
}

function oneLine(text: string): string {
	return text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ").slice(0, LONGEST_TEXT);
}

function dateField(ms: number): string {
	return new Date(ms).toUTCString().replace("GMT", "+0000");
}

/** Whether the bytes are lines as mail has them: else they cannot be a part without being encoded. */
function canBePart(bytes: Buffer): boolean {
	if (bytes.includes(0) || bytes.includes(CR)) return false;
	for (let at = 0; at < bytes.length; ) {
		const end = bytes.indexOf(LF, at);
		if ((end === -1 ? bytes.length : end) - at > LONGEST_LINE) return false;
		if (end === -1) return true;
		at = end + 1;
	}
	return true;
}

const LF = 0x0a;
const CR = 0x0d;
const MOST_ORIGINAL = 64 * 1024;
const LINE = 76;
const LONGEST_LINE = 900;
const LONGEST_TEXT = 2000;
const CODE = /\(#([245]\.\d{1,3}\.\d{1,3})\)/;
const SMTP_CODE = /^[245]\d\d ([245]\.\d{1,3}\.\d{1,3})\b/;
const PRINTABLE = /^[\x20-\x7e]{1,800}$/;
const XTEXT = /^[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]$/; // neither space nor "+", "=" and "\"
