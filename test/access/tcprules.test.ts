/** tcpserver's rules: what a text says, which rule a client gets, and what rights that gives. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { rightsOfRule, type TcpClient } from "../../src/access/tcprules.js";
import { tcpRulesOfCdb } from "../../src/access/tcprules-cdb.js";
import { compileTcpRules, parseTcpRules } from "../../src/access/tcprules-text.js";
import { UsageError } from "../../src/errors.js";
import { cdbOf } from "./cdb-file.js";

const TEXT = readFileSync(new URL("../fixtures/rules.txt", import.meta.url));
const COMPILED = readFileSync(new URL("../fixtures/rules.cdb", import.meta.url));

describe.each([
	["a text", () => parseTcpRules(TEXT)],
	["a string", () => parseTcpRules(TEXT.toString())],
	["a cdb", () => tcpRulesOfCdb(COMPILED)],
])("rules in %s", (_, load) => {
	test.each<[string, string | undefined, string, boolean, Record<string, string>]>([
		["127.0.0.1", undefined, "127.", true, { RELAYCLIENT: "" }],
		["10.0.1.22", undefined, "10.0.1.22", true, { RELAYCLIENT: "", DATABYTES: "8000000" }],
		["10.0.1.23", undefined, "10.0.1.", true, { RELAYCLIENT: "" }],
		["10.0.2.1", undefined, "10.0.2.1", false, {}],
		["10.0.2.7", "www.example.com", "10.0.2.7", false, {}],
		["10.0.2.8", undefined, "", false, {}],
		["10.0.2.8", "www.example.com", "=.example.com", true, { FOO: "bar" }],
		["10.0.2.8", "a.b.example.com", "=.example.com", true, { FOO: "bar" }],
		["10.0.2.8", "example.com", "", false, {}],
		["10.0.2.8", "", "", false, {}],
		["2001:db8::1", "www.example.com", "=.example.com", true, { FOO: "bar" }],
		["2001:db8::1", undefined, "", false, {}],
		["::ffff:127.0.0.1", undefined, "127.", true, { RELAYCLIENT: "" }],
	])("%s, %s: rule %j", (remoteAddress, remoteHost, key, allow, variables) => {
		const rule = load().find({ remoteAddress, remoteHost });
		expect(rule).toEqual({ key, allow, variables });
	});

	test("ask for host names, and not for ident", () => {
		expect(load()).toMatchObject({ usesHost: true, usesInfo: false });
	});
});

describe("the lines of a text", () => {
	test.each<[string, string, string[]]>([
		["nothing", "", []],
		["comments, blank lines and lines without a colon", "#:deny\n\n \t \n:deny\nfoo bar\n# x", ["=D\0"]],
		["a comment only at the first column", " #:deny", [" #=D\0"]],
		["a last line without a newline", "1.:allow\n2.:deny", ["1.=", "2.=D\0"]],
		["blanks at the end", "1.:deny \t \n2.:allow\t", ["1.=D\0", "2.="]],
		["a space in front, which belongs to the address", " 1.2.3.4:deny", [" 1.2.3.4=D\0"]],
		["variables", ':allow,A="1",B="",C="a b"', ["=+A=1\0+B=\0+C=a b\0"]],
		["variables of what is denied", ':deny,A="1"', ["=D\0+A=1\0"]],
		["any character as a quote", ':allow,A=/x"y/,B=|q|,C=aba,D=,,', ['=+A=x"y\0+B=q\0+C=b\0+D=\0']],
		[
			"names with commas, colons and blanks, and none",
			':allow,,A="1",b c:d="2",="3"',
			["=+,A=1\0+b c:d=2\0+=3\0"],
		],
		["bytes of any encoding", ':allow,A="Grüße"', ["=+A=GrÃ¼Ã\u009fe\0"]],
		["a carriage return without a colon", "\r\nfoo\r\n", []],
		["a NUL that makes two variables of one", ':allow,A="1\0+B=2"', ["=+A=1\0+B=2\0"]],
	])("%s", (_, text, records) => {
		expect(recordsOf(text)).toEqual(records);
	});

	test.each<[string, string, string[]]>([
		["the last number of an address", "10.0.2.1-3:deny", ["10.0.2.1", "10.0.2.2", "10.0.2.3"]],
		["one before a dot", "10.2-3.:deny", ["10.2.", "10.3."]],
		["the first one", "1-2.0.0.1:deny", ["1.0.0.1", "2.0.0.1"]],
		["to 255 at most", "1.254-300:deny", ["1.254", "1.255"]],
		["from more than that, which is none", "1.256-300:deny", []],
		["downwards, which is none", "1.5-3:deny", []],
		["without a first number, which is 0", "1.-2:deny", ["1.0", "1.1", "1.2"]],
		["without a last number", "1.0-:deny", ["1.0"]],
		["of zeros in front", "1.008-09:deny", ["1.8", "1.9"]],
		["of 64 bits", "1.18446744073709551617-2:deny", ["1.1", "1.2"]],
		["only at the first dash", "1-2.3-4:deny", ["1.3-4", "2.3-4"]],
		["not in host names", "=a-b.example.com:deny", ["=a-b.example.com"]],
		["not behind INFO@", "joe@1.2.3.4-5:deny", ["joe@1.2.3.4-5"]],
	])("a range is %s", (_, text, keys) => {
		expect([...compileTcpRules(text)].map(({ rule }) => rule.key)).toEqual(keys);
	});

	test.each([
		":Deny",
		":permit",
		":allowX",
		":",
		": deny",
		"x: allow",
		":deny\r",
		"::deny",
		"2001:db8::1:deny",
		"=a:b:deny",
		":allow,",
		":allow,A",
		":allow,A=",
		":allow,A=1",
		':allow,A="',
		':allow,A="1',
		':allow,A="1"x',
		':allow,A="1" ,B="2"',
		":allow,A=x ",
		"a-b:deny",
		"1-2-3:deny",
		"1.2.x-5:deny",
		"1-0x2:deny",
		"- 1:deny",
		'\0:allow,A\0="1"',
		':allow,A="1\0B"',
	])("%j is refused", (line) => {
		const text = `#\n1.:allow\n${line}\n:deny\n`;
		expect(() => parseTcpRules(text)).toThrow(UsageError);
		expect(() => parseTcpRules(text)).toThrow(
			expect.objectContaining({
				code: "ERR_QMTP_RULES",
				message: expect.stringMatching(/^line 3 is no rule: "/),
			}),
		);
	});

	test("an error shows what is printable of a line, and not all of a long one", () => {
		expect(() => parseTcpRules("\x1b[2Jé\u009f:x")).toThrow(/^line 1 is no rule: "[\x20-\x7e]+"$/);
		expect(() => parseTcpRules(`${"x".repeat(1000)}:x`)).toThrow(/^line 1 is no rule: "x{60}"\.\.\.$/);
	});

	test("the first of several with one address counts", () => {
		const rules = parseTcpRules("1.1-3:allow\n1.2:deny\n1.4:deny\n1.2-4:allow\n");
		expect(rules.find({ remoteAddress: "1.2" })?.allow).toBe(true);
		expect(rules.find({ remoteAddress: "1.4" })?.allow).toBe(false);
	});

	test("the last of several variables with one name counts", () => {
		expect(parseTcpRules(':allow,A="1",B="2",A="3"').find(CLIENT)?.variables).toEqual({ A: "3", B: "2" });
	});

	test("names that objects have are names like others", () => {
		const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
		const line = `${names.map((name) => `,${name}="x"`).join("")}`;
		const rules = parseTcpRules(`__proto__@=constructor:allow${line}\n=__proto__:deny\n`);
		const rule = rules.find({ remoteAddress: "1", remoteHost: "constructor", remoteInfo: "__proto__" });
		expect(Object.entries(rule?.variables ?? {})).toEqual(names.map((name) => [name, "x"]));
		expect(rules.find({ remoteAddress: "toString", remoteHost: "valueOf" })).toBeNull();
		const bare = parseTcpRules(":allow").find(CLIENT)?.variables;
		expect(names.map((name) => bare?.[name])).toEqual([undefined, undefined, undefined, undefined]);
	});
});

describe("a client's rule is", () => {
	const ORDER = [
		"joe@10.1.2.3",
		"joe@=a.b.c",
		"10.1.2.3",
		"=a.b.c",
		"10.1.2.",
		"10.1.",
		"10.",
		"=.b.c",
		"=.c",
		"=",
		"",
	];
	const client: TcpClient = { remoteAddress: "10.1.2.3", remoteHost: "a.b.c", remoteInfo: "joe" };

	test.each([
		["a text", (keys: string[]) => parseTcpRules(keys.map((key) => `${key}:allow`).join("\n"))],
		["a cdb", (keys: string[]) => tcpRulesOfCdb(cdbOf(keys.map((key) => [key, ""])))],
	])("the most special one of %s, whatever their order", (_, load) => {
		for (let first = 0; first < ORDER.length; first++) {
			const rest = ORDER.slice(first).reverse();
			expect(load(rest).find(client)?.key).toBe(ORDER[first]);
		}
		expect(load([]).find(client)).toBeNull();
		expect(load(["11.", "=b.c", "=c", "joe@10.1.2.", "joe@", "joe@="]).find(client)).toBeNull();
	});

	test("not that of a name which is unknown; an empty name is a known one", () => {
		const rules = parseTcpRules("=:allow\n@=:allow\n@1.2.3.4:allow\n1.2.3.:allow\n");
		const key = (given: Omit<TcpClient, "remoteAddress">) =>
			rules.find({ remoteAddress: "1.2.3.4", ...given })?.key;
		expect(key({})).toBe("1.2.3.");
		expect(key({ remoteHost: "" })).toBe("=");
		expect(key({ remoteInfo: "" })).toBe("@1.2.3.4");
		expect(rules.find({ remoteAddress: "5", remoteHost: "", remoteInfo: "" })?.key).toBe("@=");
		expect(rules.find({ remoteAddress: "5", remoteInfo: "" })).toBeNull();
		expect(rules.find({ remoteAddress: "5", remoteHost: "anything" })?.key).toBe("=");
	});

	test("the default one where there is no address", () => {
		expect(parseTcpRules(":deny").find({ remoteAddress: "" })?.key).toBe("");
		expect(parseTcpRules("1:deny").find({ remoteAddress: "" })).toBeNull();
	});

	test("not found by letters that are no bytes", () => {
		for (const rules of [parseTcpRules("=A:deny"), tcpRulesOfCdb(cdbOf([["=A", "D\0"]]))]) {
			expect(rules.find({ remoteAddress: "1", remoteHost: "\u0141" })).toBeNull();
			expect(rules.find({ remoteAddress: "1", remoteHost: "A" })?.allow).toBe(false);
		}
	});

	test.each<[string, boolean, boolean]>([
		["1.2.3.4", false, false],
		["", false, false],
		["=", true, false],
		["=x", true, false],
		["=.x", true, false],
		["joe@1.2.3.4", false, true],
		["joe@=x", true, true],
		["@=", true, true],
		["x=y", false, false],
	])("%j: asks for a host %s, for ident %s", (key, usesHost, usesInfo) => {
		for (const rules of [
			parseTcpRules(`:deny\n${key}:allow`),
			tcpRulesOfCdb(
				cdbOf([
					["1", ""],
					[key, ""],
				]),
			),
		]) {
			expect(rules).toMatchObject({ usesHost, usesInfo });
		}
	});
});

describe("rules for IPv6", () => {
	const rules = parseTcpRules(
		[
			'[2001:DB8:0:0::1]:allow,A="address"',
			'[2001:db8::]/32:deny,A="32"',
			'[2001:db8::]/48:allow,A="48"',
			'[2001:db8:0:ff::1]/63:allow,A="63"',
			'[fe80::]/10:allow,A="link"',
			'[64:ff9b::192.0.2.1]:deny,A="nat64"',
			'[2001:db8::7]/128:allow,A="128"',
			'joe@[2001:db8::1]:deny,A="joe"',
			'j@e@[::1]:deny,A="at"',
			'=known:allow,A="host"',
			'=.known:allow,A="below"',
			'192.0.2.:allow,A="ipv4"',
			':deny,A="default"',
		].join("\n"),
	);
	const ruleOf = (remoteAddress: string, rest: Omit<TcpClient, "remoteAddress"> = {}) => {
		const { A } = rules.find({ remoteAddress, ...rest })?.variables ?? {};
		return A;
	};

	test.each([
		["2001:db8::1", "address"],
		["2001:0DB8:0000:0000:0000:0000:0000:0001", "address"],
		["2001:db8::0.0.0.1", "address"],
		["2001:db8::2", "48"],
		["2001:db8:0:ffff::1", "48"],
		["2001:db8:0:fe::1", "63"],
		["2001:db8:0:ff:ffff::", "63"],
		["2001:db8:1::2", "32"],
		["2001:db9::1", "default"],
		["2001:db8::7", "128"],
		["febf::1", "link"],
		["fec0::1", "default"],
		["fe80::1%eth0", "link"],
		["2001:db8::1%2", "address"],
		["64:ff9b::c000:201", "nat64"],
		["::ffff:192.0.2.77", "ipv4"],
		["::ffff:c000:24d", "ipv4"],
		["::FFFF:192.0.2.77%lo", "ipv4"],
		["192.0.2.77", "ipv4"],
		["::ffff:198.51.100.1", "default"],
	])("%s gets that of %s", (address, expected) => {
		expect(ruleOf(address)).toBe(expected);
	});

	test("stand where those for IPv4 addresses and prefixes stand in the order", () => {
		expect(ruleOf("2001:db8::1", { remoteInfo: "joe", remoteHost: "known" })).toBe("joe");
		expect(ruleOf("2001:db8::1", { remoteInfo: "jim", remoteHost: "known" })).toBe("address");
		expect(ruleOf("2001:db8::2", { remoteHost: "known" })).toBe("host");
		expect(ruleOf("2001:db8::2", { remoteHost: "un.known" })).toBe("48");
		expect(ruleOf("2001:db9::2", { remoteHost: "un.known" })).toBe("below");
		expect(ruleOf("::1", { remoteInfo: "j@e" })).toBe("at");
	});

	test("have one key for all ways to write them, and the first counts", () => {
		const text = "[0:0:0:0:0:0:0:0]/0:allow\n[1:0:0:2:0:0:0:3]:deny\n[1::2:0:0:0:3]:allow\n[::5]/0:deny";
		expect([...compileTcpRules(text)].map(({ rule }) => rule.key)).toEqual([
			"[::]/0",
			"[1:0:0:2::3]",
			"[1:0:0:2::3]",
			"[::]/0",
		]);
		const found = parseTcpRules(text);
		expect(found.find({ remoteAddress: "1:0:0:2::3" })?.allow).toBe(false);
		expect(found.find({ remoteAddress: "8000::" })).toMatchObject({ key: "[::]/0", allow: true });
		expect(found.find({ remoteAddress: "1.2.3.4" }), "IPv4 is no part of ::/0").toBeNull();
		expect(found.find({ remoteAddress: "::ffff:1.2.3.4" })).toBeNull();
	});

	test.each([
		"[x]:allow",
		"[]:allow",
		"[192.0.2.1]:allow",
		"[192.0.2.0]/24:allow",
		"[2001:db8::]/129:deny",
		"[::]/:deny",
		"[::]/1x:deny",
		"[::]/-1:deny",
		"[::]/0128:deny",
		"[::1:deny",
		"[::1",
		"[::1]",
		"[::1] :deny",
		"[::1]x:deny",
		"[1::2::3]:deny",
		"[fe80::1%eth0]:deny",
		"[::ffff:192.0.2.1]:deny",
		"[::ffff:0:0]/96:deny",
		"joe@[::]/64:deny",
		"joe@[x]:deny",
		"[::1]:Deny",
		"[::1@x]:deny",
		"[::1]-[::2]:deny",
	])("%j is refused, for it would mean something else or never match", (line) => {
		const parse = () => parseTcpRules(`:deny\n${line}\n`);
		expect(parse).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_RULES", message: expect.stringContaining("line 2 ") }),
		);
	});

	test("leave brackets elsewhere as they are", () => {
		expect(recordsOf("a[b:deny\n[a]@1.2.3.4:deny\n=[::deny")).toEqual("refused");
		expect(recordsOf("a[b:deny\n[a]@1.2.3.4:deny\n[a@b]/12:deny\n=[x]:deny")).toEqual([
			"a[b=D\0",
			"[a]@1.2.3.4=D\0",
			"[a@b]/12=D\0",
			"=[x]=D\0",
		]);
	});
});

describe("a cdb of rules", () => {
	test.each([
		["an item without its NUL", "D"],
		["an item of another kind", "X\0"],
		["more behind the D", "Dx\0"],
		["a variable without =", "+A\0"],
		["an empty item", "+A=1\0\0"],
		["only a NUL", "\0"],
	])("with %s in any record is refused as a whole", (_, data) => {
		const bytes = cdbOf([
			["", "D\0"],
			["1.2.3.4\n", data],
			["9.", ""],
		]);
		expect(() => tcpRulesOfCdb(bytes)).toThrow(UsageError);
		expect(() => tcpRulesOfCdb(bytes)).toThrow(
			expect.objectContaining({
				code: "ERR_QMTP_RULES",
				message: 'the record "1.2.3.4\\n" of the cdb is no rule',
			}),
		);
	});

	test("that is damaged is refused", () => {
		expect(() => tcpRulesOfCdb(COMPILED.subarray(1))).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_CDB" }),
		);
	});

	test("keeps the bytes of its values", () => {
		const all = Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1)).join("");
		expect(tcpRulesOfCdb(cdbOf([["", `+ALL=${all}\0`]])).find(CLIENT)?.variables).toEqual({ ALL: all });
	});
});

describe("the rights of", () => {
	const rightsOf = (text: string) => rightsOfRule(parseTcpRules(text).find(CLIENT));

	test("a rule that denies are none, whatever its variables say", () => {
		expect(rightsOf(":deny")).toBe(false);
		expect(rightsOf(':deny,RELAYCLIENT=""')).toBe(false);
	});

	test("no rule, and of one without variables, are those of anybody", () => {
		expect(rightsOf("")).toEqual({});
		expect(rightsOf(":allow")).toEqual({ environment: {} });
	});

	test("RELAYCLIENT are to relay, with its value as suffix, empty or not", () => {
		expect(rightsOf(':allow,RELAYCLIENT=""')).toEqual({
			relay: true,
			suffix: "",
			environment: { RELAYCLIENT: "" },
		});
		expect(rightsOf(':allow,RELAYCLIENT="@gw"')).toMatchObject({ relay: true, suffix: "@gw" });
	});

	test.each([
		["8000000", 8_000_000],
		["1", 1],
		["012x3", 12],
		["0", 2_000_000_009],
		["", 2_000_000_009],
		["none", 2_000_000_009],
		[" 5", 2_000_000_009],
		["-5", 2_000_000_009],
		["9".repeat(400), Number.MAX_SAFE_INTEGER],
	])("DATABYTES %j are messages of %d bytes", (value, messageBytes) => {
		const environment = { DATABYTES: value };
		expect(rightsOf(`:allow,DATABYTES="${value}"`)).toEqual({ messageBytes, environment });
	});

	test("other variables are only handed on", () => {
		expect(rightsOf(':allow,FOO="bar",relayclient=""')).toEqual({
			environment: { FOO: "bar", relayclient: "" },
		});
	});
});

const CLIENT: TcpClient = { remoteAddress: "192.0.2.1" };

function recordsOf(text: string): string[] | "refused" {
	try {
		return [...compileTcpRules(text)].map(({ rule, data }) => `${rule.key}=${data}`);
	} catch {
		return "refused";
	}
}
