/**
 * What must be made of a stream: netstrings, packages and responses read from a whole text, by recursive descent, down
 * to the code and the offset of the error. It shares nothing with the decoders but their limits, and has no state that a
 * cut could disturb. Errors here are values that are thrown: `Stop` ends the text, in whatever depth.
 */
import { DEFAULT_PACKAGE_LIMITS, LONGEST_NETSTRING, type PackageLimits } from "../../src/protocol/limits.js";
import type { Decoded, Failure, PlainEvent, PlainNetstring } from "../support/decoding.js";

/** Where a text stops: at an error, or since there is no more of it (null). */
class Stop {
	readonly error: Failure | null;
	constructor(error: Failure | null) {
		this.error = error;
	}
}

/** What a NetstringDecoder must say. */
export function netstringsOf(text: string, maxLength = Number.MAX_SAFE_INTEGER): Decoded<PlainNetstring> {
	return decoded(text, (items) => (at) => {
		const { length, start } = lengthAt(text, at, maxLength);
		const end = start + length;
		const whole = text[end] === ",";
		items.push({ length, text: text.slice(start, end), end: whole ? end + 1 : null });
		return commaAt(text, end);
	});
}

/** What a ResponseDecoder must say: the responses, each with the offset behind it. */
export function responsesOf(text: string, maxLength = 65536): Decoded<string> {
	return decoded(text, (items) => (at) => {
		const { length, start } = lengthAt(text, at, maxLength);
		if (length === 0) fail("ERR_QMTP_RESPONSE_EMPTY", start - 1);
		if (start >= text.length) throw new Stop(null);
		if (!"KZD".includes(text[start] as string)) fail("ERR_QMTP_RESPONSE_STATUS", start);
		const after = commaAt(text, start + length);
		items.push(`${Buffer.from(text.slice(start, start + length), "latin1").toString("utf8")} ${after}`);
		return after;
	});
}

/** What a PackageDecoder must say. */
export function packagesOf(text: string, given: Partial<PackageLimits> = {}): Decoded<PlainEvent> {
	const limits = { ...DEFAULT_PACKAGE_LIMITS, ...given };
	const { netstringBytes } = limits;
	return decoded(text, (items) => (at) => {
		const message = lengthAt(
			text,
			at,
			netstringBytes ?? Math.max(2 * limits.messageBytes + 1, LONGEST_NETSTRING),
		);
		if (message.length === 0) fail("ERR_QMTP_MESSAGE_EMPTY", message.start - 1);
		const first = text[message.start];
		if (first === undefined) throw new Stop(null);
		if (first !== "\n" && first !== "\r") fail("ERR_QMTP_MESSAGE_ENCODING", message.start);
		items.push({ type: "message", encoding: first === "\n" ? "lf" : "crlf", length: message.length - 1 });
		const body = text.slice(message.start + 1, message.start + message.length);
		if (body !== "") items.push({ type: "body", text: body });
		const behindMessage = commaAt(text, message.start + message.length);

		const address = ({ start, length }: Span) =>
			length > limits.addressBytes ? null : text.slice(start, start + length);
		const sender = lengthAt(text, behindMessage, netstringBytes ?? LONGEST_NETSTRING);
		const behindSender = commaAt(text, sender.start + sender.length);
		items.push({ type: "sender", address: address(sender) });

		const list = lengthAt(text, behindSender, netstringBytes ?? limits.recipientBytes);
		const end = list.start + list.length;
		const readable = Math.min(end, list.start + limits.recipientBytes);
		const known = text.slice(0, readable);
		try {
			for (let from = list.start; from < end; ) {
				const recipient = lengthAt(known, from, LONGEST_NETSTRING);
				if (recipient.start + recipient.length >= end)
					fail("ERR_QMTP_RECIPIENT_OVERRUN", recipient.start - 1);
				from = commaAt(known, recipient.start + recipient.length);
				items.push({ type: "recipient", address: address(recipient) });
			}
		} catch (stop) {
			if (!(stop instanceof Stop) || stop.error !== null || text.length < readable) throw stop;
			if (readable === end) {
				commaAt(text, end); // the list is whole
				fail("ERR_QMTP_RECIPIENT_OVERRUN", end); // and ends in the digits of a length
			}
			if (text.length === readable) throw stop;
			fail("ERR_NETSTRING_TOO_LONG", readable);
		}
		const offset = commaAt(text, end);
		items.push({ type: "end", offset });
		return offset;
	});
}

interface Span {
	readonly length: number;
	readonly start: number;
}

function decoded<Item>(text: string, reader: (items: Item[]) => (at: number) => number): Decoded<Item> {
	const items: Item[] = [];
	const read = reader(items);
	let at = 0;
	try {
		while (at < text.length) at = read(at);
		return { items, error: null, offset: text.length, idle: true };
	} catch (stop) {
		if (!(stop instanceof Stop)) throw stop;
		return { items, error: stop.error, offset: stop.error === null ? text.length : null, idle: false };
	}
}

/** Reads `123:`. */
function lengthAt(text: string, at: number, maxLength: number): Span {
	for (let position = at; position < text.length; position++) {
		const character = text[position] as string;
		const digits = text.slice(at, position);
		if (character === ":" && digits === "") fail("ERR_NETSTRING_LENGTH_EMPTY", position);
		if (character === ":") return { length: Number(digits), start: position + 1 };
		if (!/[0-9]/.test(character)) {
			// As qmail has it: a huge length that no digit may follow is too long, whatever follows it.
			const isHuge = Number(digits) > Math.max(200_000_000, maxLength / 10);
			fail(isHuge ? "ERR_NETSTRING_TOO_LONG" : "ERR_NETSTRING_LENGTH_DIGIT", position);
		}
		if (digits === "0") fail("ERR_NETSTRING_LENGTH_ZEROS", position);
		if (BigInt(digits + character) > BigInt(maxLength)) fail("ERR_NETSTRING_TOO_LONG", position);
	}
	throw new Stop(null);
}

/** Reads the comma that must be there. @returns The offset behind it. */
function commaAt(text: string, at: number): number {
	if (at >= text.length) throw new Stop(null);
	if (text[at] !== ",") fail("ERR_NETSTRING_COMMA", at);
	return at + 1;
}

function fail(code: string, offset: number): never {
	throw new Stop({ code, offset });
}
