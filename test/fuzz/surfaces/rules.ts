/** tcpserver's rules, as text: which lines are rules, and which rule a client gets. */
import fc from "fast-check";
import type { TcpClient, TcpRule } from "../../../src/access/tcprules.js";
import { tcpRulesOfCdb } from "../../../src/access/tcprules-cdb.js";
import { compileTcpRules, parseTcpRules } from "../../../src/access/tcprules-text.js";
import { cdbOf, type Pair } from "../../access/cdb-file.js";
import { bytesOf } from "../../support/bytes.js";
import { anyText } from "../../support/packages.js";
import { mutated } from "../mutations.js";
import { resultOrCode, same, surface } from "../surface.js";

interface Input {
	readonly text: string;
	readonly client: TcpClient;
}

const host = fc.constantFrom("a.example.com", "example.com", "", "x", ".", "a..b");
const info = fc.constantFrom("joe", "", "a@b");
const ipv4 = fc.constantFrom("10.0.0.1", "10.0.2.7", "1.2.3.4", "192.0.2.255", "");
const address = fc.oneof(
	ipv4,
	fc.constantFrom(
		"",
		"10.",
		"10.0.",
		"10.0.0-2.",
		"10.0.2.1-7",
		"1.2.3.250-300",
		"1.2-.3",
		"-",
		"=",
		"=.com",
	),
	host.map((name) => `=${name}`),
	fc.tuple(info, ipv4).map(([name, ip]) => `${name}@${ip}`),
	fc.tuple(info, host).map(([name, at]) => `${name}@=${at}`),
	fc.constantFrom("[2001:db8::1]", "[2001:db8::]/32", "joe@[2001:db8::1]", "[::ffff:1.2.3.4]", "[::]/0"),
);
const variable = fc.constantFrom(',A="1"', ',RELAYCLIENT=""', ",B=|x|", ",C=,,", ",=aa", ',__proto__="x"');
const line = fc.oneof(
	{
		weight: 8,
		arbitrary: fc
			.tuple(address, fc.constantFrom(":allow", ":deny"), fc.array(variable, { maxLength: 3 }))
			.map(([at, word, variables]) => at + word + variables.join("")),
	},
	{ weight: 1, arbitrary: fc.constantFrom("", "# x:deny", " \t ", "no colon", ":", ":allow \t") },
	{ weight: 1, arbitrary: anyText(10) },
);

const inputs: fc.Arbitrary<Input> = fc.record({
	text: mutated(fc.array(line, { maxLength: 6 }).map((lines) => lines.join("\n"))),
	client: fc.record({
		remoteAddress: fc.oneof(ipv4, fc.constantFrom("2001:db8::1", "2001:DB8:0::1", "::ffff:10.0.2.7", "::")),
		remoteHost: fc.option(host, { nil: undefined }),
		remoteInfo: fc.option(info, { nil: undefined }),
	}),
});

/**
 * The records are those of a second compiler, which goes by the text of tcprules.c. A client gets the same rule of the
 * text and of the database made of its records; and one whose key is the first of the client's that is there.
 */
export const text = surface("rules", 400, inputs, ({ text, client }) => {
	const bytes = bytesOf(text);
	const records = resultOrCode(
		() => [...compileTcpRules(bytes)].map(({ rule, data }): Pair => [rule.key, data]),
		["ERR_QMTP_RULES"],
	);
	const rules = resultOrCode(() => parseTcpRules(bytes), ["ERR_QMTP_RULES"]);
	if (!/[[\0]/.test(text)) same(records, compiled(text) ?? "ERR_QMTP_RULES");
	if (typeof rules === "string" || typeof records === "string") return same(rules, records);
	const found = rules.find(client);
	const isIPv6 = client.remoteAddress.includes(":") && !client.remoteAddress.includes(".");
	if (isIPv6) return;
	same(plain(found), plain(tcpRulesOfCdb(cdbOf(records)).find(client)));
	const keys = new Set(records.map(([key]) => key));
	same(found?.key ?? null, keysOf(client).find((key) => keys.has(key)) ?? null);
});

function plain(rule: TcpRule | null): unknown {
	return rule === null ? null : { ...rule, variables: Object.entries(rule.variables) };
}

/** The records of a text without brackets and NULs; null if a line is wrong. */
function compiled(text: string): Pair[] | null {
	const records: Pair[] = [];
	for (const whole of text.split("\n")) {
		if (whole.startsWith("#")) continue;
		const line = whole.replace(/(?<![ \t])[ \t]+$/, "");
		const colon = line.indexOf(":");
		if (colon === -1) continue;
		const data = dataOf(line.slice(colon + 1));
		const keys = rangeOf(line.slice(0, colon));
		if (data === null || keys === null) return null;
		records.push(...keys.map((key): Pair => [key, data]));
	}
	return records;
}

function dataOf(instructions: string): string | null {
	const [, word, list] = /^(deny|allow)(.*)$/s.exec(instructions) ?? [];
	if (word === undefined || list === undefined) return null;
	let data = word === "deny" ? "D\0" : "";
	for (let rest = list; rest !== ""; ) {
		const [all, name, , value] = /^,([^=]*)=(.)(.*?)\2/s.exec(rest) ?? [];
		if (all === undefined) return null;
		data += `+${name}=${value}\0`;
		rest = rest.slice(all.length);
	}
	return data;
}

function rangeOf(address: string): string[] | null {
	if (/[=@]/.test(address) || !address.includes("-")) return [address];
	const [, before = "", from, to, behind = ""] = /^((?:[^-]*\.)?)([^-.]*)-([^.]*)(.*)$/s.exec(address) ?? [];
	if (!/^\d*$/.test(from ?? "x") || !/^\d*$/.test(to ?? "x")) return null;
	const number = (digits = "") => Number(BigInt(digits) & 0xffff_ffff_ffff_ffffn);
	const keys: string[] = [];
	for (let at = number(from); at <= Math.min(number(to), 255); at++) keys.push(before + at + behind);
	return keys;
}

/** The keys of a client with an IPv4 address, in tcpserver's order. */
function keysOf({ remoteAddress, remoteHost, remoteInfo }: TcpClient): string[] {
	const ip = remoteAddress.replace("::ffff:", "");
	const keys = [ip];
	if (remoteInfo !== undefined && remoteHost !== undefined) keys.unshift(`${remoteInfo}@=${remoteHost}`);
	if (remoteInfo !== undefined) keys.unshift(`${remoteInfo}@${ip}`);
	if (remoteHost !== undefined) keys.push(`=${remoteHost}`);
	for (let end = ip.length; end > 0; end--) if (ip[end - 1] === ".") keys.push(ip.slice(0, end));
	if (remoteHost !== undefined) {
		for (let at = 0; at < remoteHost.length; at++)
			if (remoteHost[at] === ".") keys.push(`=${remoteHost.slice(at)}`);
		keys.push("=");
	}
	return [...keys, ""];
}
