/**
 * The two lines that each mail begins with, read as serialqmtp reads them: `Return-Path: <SENDER>` and
 * `Delivered-To: RECIPIENT`, each with its LF. One character is one byte (Latin-1).
 *
 * Source: maildirserial.c and serialqmtp.c of serialmail 0.75.
 */

/** The envelope of a mail, and where its message begins. */
export interface Head {
	/** As it stands between `<` and `>`, quotes included. */
	readonly sender: string;
	/** Without the prefix. */
	readonly recipient: string;
	/** The bytes of both lines. */
	readonly length: number;
}

/**
 * Reads the two lines.
 *
 * @returns `"other"` for mail whose recipient does not begin with `prefix`: it is not ours, whatever its first line.
 * `"malformed"` for what is not two such lines.
 */
export function readHead(bytes: Buffer, prefix: string): Head | "other" | "malformed" {
	const first = bytes.indexOf(LF);
	const second = first === -1 ? -1 : bytes.indexOf(LF, first + 1);
	const deliveredTo = second === -1 ? "" : bytes.toString("latin1", first + 1, second);
	const ours = deliveredTo.startsWith(DELIVERED_TO + prefix);
	if (second === -1 && mayBegin(bytes, first + 1, DELIVERED_TO + prefix)) return "malformed";
	if (!ours && prefix !== "") return "other";
	const returnPath = bytes.toString("latin1", 0, Math.max(first, 0));
	if (!ours || !returnPath.startsWith(RETURN_PATH) || !returnPath.endsWith(">")) return "malformed";
	return {
		sender: returnPath.slice(RETURN_PATH.length, -1),
		recipient: deliveredTo.slice(DELIVERED_TO.length + prefix.length),
		length: second + 1,
	};
}

/** True if it can be sent: it has a recipient, and there is no CR or NUL in its addresses. */
export function canBeSent({ sender, recipient }: Head): boolean {
	return recipient !== "" && !FORBIDDEN.test(sender) && !FORBIDDEN.test(recipient);
}

/** Whether a second line that is not whole may be that of our mail: as far as it is there, it is. */
function mayBegin(bytes: Buffer, from: number, line: string): boolean {
	if (from === 0) return true; // not even the first line is whole
	const there = bytes.toString("latin1", from, from + line.length);
	return line.startsWith(there);
}

const RETURN_PATH = "Return-Path: <";
const DELIVERED_TO = "Delivered-To: ";
const LF = 0x0a;
const FORBIDDEN = /[\0\r]/;
