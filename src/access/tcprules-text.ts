/**
 * tcpserver's rules as people write them: `address:allow` or `address:deny`, then `,NAME="value"` for each variable. It
 * takes and refuses the lines that `tcprules` takes and refuses, and compiles them to the same records.
 *
 * It knows more than `tcprules` in one thing, IPv6: `[2001:db8::1]:allow`, `[2001:db8::]/32:deny`, and
 * `info@[2001:db8::1]:allow`. What stands in brackets must be an IPv6 address, in any of its forms.
 *
 * Source: tcprules(1)
 */
import { UsageError } from "../errors.js";
import { quoted } from "./quoted.js";
import type { TcpRule, TcpRules } from "./tcprules.js";
import { addressEnd, expandAddress, networkBits } from "./tcprules-address.js";
import { ruleOfData } from "./tcprules-data.js";
import { tcpRules } from "./tcprules-lookup.js";
import { withoutTrailingBlanks } from "./trailing-blanks.js";

/** One record that a line is compiled to. */
export interface CompiledRule {
	readonly rule: TcpRule;
	/** The data of the record, one character a byte (Latin-1). */
	readonly data: string;
}

/**
 * Reads rules. Of several with the same address the first one counts.
 *
 * @param text - The file's bytes. A string stands for the file whose UTF-8 it is.
 * @throws UsageError `ERR_QMTP_RULES` with the number of the line that is wrong.
 */
export function parseTcpRules(text: Uint8Array | string): TcpRules {
	const rules = new Map<string, TcpRule>();
	const networks = new Set<number>();
	for (const { rule } of compileTcpRules(text)) {
		if (rules.has(rule.key)) continue;
		rules.set(rule.key, rule);
		const bits = networkBits(rule.key);
		if (bits !== null) networks.add(bits);
	}
	return tcpRules({
		keys: rules.keys(),
		rule: (key) => rules.get(key) ?? null,
		networks: [...networks].sort((a, b) => b - a),
	});
}

/** The records of a text, in its order; see {@link parseTcpRules}. */
export function* compileTcpRules(text: Uint8Array | string): Generator<CompiledRule, void, undefined> {
	const bytes =
		typeof text === "string" ? Buffer.from(text) : Buffer.from(text.buffer, text.byteOffset, text.byteLength);
	let number = 0;
	for (let start = 0; start < bytes.length; ) {
		const newline = bytes.indexOf(LF, start);
		const end = newline === -1 ? bytes.length : newline;
		number++;
		yield* compileLine(bytes.toString("latin1", start, end), number);
		start = end + 1;
	}
}

function* compileLine(line: string, number: number): Generator<CompiledRule, void, undefined> {
	if (line.startsWith("#")) return;
	const text = withoutTrailingBlanks(line);
	const end = addressEnd(text);
	if (end === null) return;
	const data = end === "bad" ? null : compileInstructions(text.slice(end + 1));
	const keys = end === "bad" ? null : expandAddress(text.slice(0, end));
	if (data === null || keys === null) throw unreadable(text, number);
	for (const key of keys) {
		// Only a NUL in the line can make data that is none.
		const rule = ruleOfData(key, data);
		if (rule === null) throw unreadable(text, number);
		yield { rule, data };
	}
}

/** The data of a rule's record, or null if the instructions cannot be understood. */
function compileInstructions(text: string): string | null {
	const word = text.startsWith("deny") ? "deny" : text.startsWith("allow") ? "allow" : null;
	if (word === null) return null;
	let data = word === "deny" ? "D\0" : "";
	for (let at = word.length; at < text.length; ) {
		if (text[at] !== ",") return null;
		// A name is all up to the "=", commas too; any character quotes, and its next occurrence ends the value.
		const equals = text.indexOf("=", at);
		const quote = equals === -1 ? undefined : text[equals + 1];
		if (quote === undefined) return null;
		const close = text.indexOf(quote, equals + 2);
		if (close === -1) return null;
		data += `+${text.slice(at + 1, equals + 1)}${text.slice(equals + 2, close)}\0`;
		at = close + 1;
	}
	return data;
}

function unreadable(line: string, number: number): UsageError {
	return new UsageError("ERR_QMTP_RULES", `line ${number} is no rule: ${quoted(line)}`);
}

const LF = 10;
