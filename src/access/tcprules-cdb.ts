/** tcpserver's rules as `tcprules` compiles them: a cdb from addresses to what is to be done. */
import { UsageError } from "../errors.js";
import { Cdb } from "./cdb.js";
import { quoted } from "./quoted.js";
import type { TcpRule, TcpRules } from "./tcprules.js";
import { ruleOfData } from "./tcprules-data.js";
import { tcpRules } from "./tcprules-lookup.js";

/**
 * The rules in a cdb. They are read from the bytes at each lookup: these must not change while the rules are in use.
 * IPv6 addresses find what names hosts, and the default: `tcprules` cannot compile rules for them.
 *
 * @throws UsageError `ERR_QMTP_CDB` for a damaged cdb, `ERR_QMTP_RULES` for one whose records are no rules.
 */
export function tcpRulesOfCdb(bytes: Uint8Array): TcpRules {
	const cdb = new Cdb(bytes);
	for (const { key, data } of cdb.records()) ruleOf(latin1(key), data);
	const rule = (key: string): TcpRule | null => {
		const data = cdb.find(key);
		return data === null ? null : ruleOf(key, data);
	};
	return tcpRules({ keys: keysOf(cdb), rule, networks: [] });
}

function ruleOf(key: string, data: Uint8Array): TcpRule {
	const rule = ruleOfData(key, latin1(data));
	if (rule !== null) return rule;
	throw new UsageError("ERR_QMTP_RULES", `the record ${quoted(key)} of the cdb is no rule`);
}

function* keysOf(cdb: Cdb): Generator<string, void, undefined> {
	for (const { key } of cdb.records()) yield latin1(key);
}

function latin1(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
