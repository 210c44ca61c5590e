/**
 * A second opinion on packages: the specification as a parser of a whole text, which shares nothing with the decoder.
 * It is slow, it holds everything, and it says of an error only that there is one.
 */

/** A package as the oracle reads it. Addresses over the limit are null. */
export interface OraclePackage {
	readonly encoding: "lf" | "crlf";
	readonly body: string;
	readonly sender: string | null;
	readonly recipients: readonly (string | null)[];
}

/** What became of the text behind the last whole package: nothing was there, it was cut short, or it was wrong. */
export type OracleEnd = "clean" | "cut" | "wrong";

/** Parses all packages of a Latin-1 text. */
export function parsePackages(
	text: string,
	addressBytes = 999,
): { packages: OraclePackage[]; end: OracleEnd } {
	const packages: OraclePackage[] = [];
	const address = (text: string) => (text.length > addressBytes ? null : text);
	try {
		for (let rest = text; rest !== ""; ) {
			const [message, afterMessage] = takeNetstring(rest);
			const [sender, afterSender] = takeNetstring(afterMessage);
			const [list, afterList] = takeNetstring(afterSender);
			if (!/^[\n\r]/.test(message)) throw "wrong";
			const recipients = takeAll(list).map(address);
			const encoding = message.startsWith("\n") ? "lf" : "crlf";
			packages.push({ encoding, body: message.slice(1), sender: address(sender), recipients });
			rest = afterList;
		}
		return { packages, end: "clean" };
	} catch (end) {
		if (end !== "cut" && end !== "wrong") throw end;
		return { packages, end };
	}
}

function takeAll(list: string): string[] {
	const taken: string[] = [];
	for (let rest = list; rest !== ""; ) {
		try {
			const [interpretation, after] = takeNetstring(rest);
			taken.push(interpretation);
			rest = after;
		} catch {
			throw "wrong"; // the list is whole, so nothing in it can be short of bytes yet to come
		}
	}
	return taken;
}

function takeNetstring(text: string): [interpretation: string, rest: string] {
	const head = /^(0|[1-9][0-9]*):/.exec(text);
	if (head === null) throw /^(0|[1-9][0-9]*)?$/.test(text) ? "cut" : "wrong";
	const start = head[0].length;
	const end = start + Number(head[1]);
	if (text.length <= end) throw "cut";
	if (text[end] !== ",") throw "wrong";
	return [text.slice(start, end), text.slice(end + 1)];
}
