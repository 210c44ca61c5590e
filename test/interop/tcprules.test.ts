/**
 * Rules side by side with the real tcprules, which compiles them, and tcprulescheck, which says what tcpserver would do
 * with a client; and databases made by tinycdb's cdb.
 */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cdb } from "../../src/access/cdb.js";
import { RecipientHosts } from "../../src/access/rcpthosts.js";
import type { TcpClient, TcpRules } from "../../src/access/tcprules.js";
import { tcpRulesOfCdb } from "../../src/access/tcprules-cdb.js";
import { compileTcpRules, parseTcpRules } from "../../src/access/tcprules-text.js";
import { describeWithPrograms, findProgram } from "../support/peers.js";

const TOOLS = { tcprules: "ucspi-tcp", tcprulescheck: "ucspi-tcp" };
// What does not begin with a bracket: there we differ, and say so.
const TOKENS = [
	..."0123456789.-=@:,#\"'/ \t\r|xé",
	...[
		"10.0.0.1",
		"1-3",
		"255",
		"256",
		"-300",
		"allow",
		"deny",
		":allow",
		":deny",
		':allow,A="1"',
		",A=",
		',B="b"',
		"=.x",
	],
];

const ODD_LINES = [
	"",
	"\n\n",
	":",
	"::",
	":deny",
	"  :deny",
	"\t:deny \t",
	":deny\r",
	"\r",
	"# x:deny",
	" # x:deny",
	":denyx",
	":denyallow",
	":deny,",
	":allow,=",
	":allow,=xx",
	":allow,A",
	":allow,A=",
	":allow,A=1",
	":allow,A=11",
	":allow,A=1 1",
	":allow,A=1 1 ",
	":allow,A=  ,B=11",
	":allow,A=  ",
	":allow,A==x=,B=====",
	":allow,A=,,,B=,,",
	":allow,A=::,B=##",
	':allow,A="1",A="2",B="",A="3"',
	':allow,A="1","B"="2"',
	':allow,A="1"\n:allow,B="2"\n:deny',
	':allow,A="1\n2"',
	"1-2:allow\n1-2:deny",
	"10.0.0.1-300:deny",
	"10.0.0.256-300:deny",
	"10.0.0.255-255:deny",
	"10.0.0.3-1:deny",
	"10.0.0.-3:deny",
	"10.0.0.3-:deny",
	"-:deny",
	"--:deny",
	"-.-:deny",
	"1-2-3:deny",
	"1-2.3-4:deny",
	"1.2-3.4:deny",
	"1.02-03.4:deny",
	"a-b:deny",
	"a.1-2.b:deny",
	"a1-2:deny",
	"1-2b:deny",
	" 1-2:deny",
	"1 -2:deny",
	"1-2 :deny",
	"+1-2:deny",
	"=1-2:deny",
	"1-2=:deny",
	"a@1-2:deny",
	"1.18446744073709551617-3:deny",
	"1.1-18446744073709551618:deny",
	"1.1-99999999999999999999999999:deny",
	"2001:db8::1:deny",
	"=a:b:deny",
	"é.é:deny,É=ééé",
];

const LABELS = ["", "a", "b", "a-b", "example", "com"];
const NUMBERS = ["1", "2", "10", "12"];
const joined = (parts: readonly string[], minLength: number, maxLength: number) =>
	fc.array(fc.constantFrom(...parts), { minLength, maxLength }).map((chosen) => chosen.join("."));
const hosts = joined(LABELS, 0, 3);
const addresses = joined(NUMBERS, 4, 4);
const infos = fc.constantFrom("joe", "", "a@b", "=", "x y");

const RULE_KEYS = fc.oneof(
	addresses,
	joined(NUMBERS, 1, 3).map((prefix) => `${prefix}.`),
	joined(["1-10", ...NUMBERS], 4, 4),
	hosts.map((host) => `=${host}`),
	hosts.map((host) => `=.${host}`),
	fc.tuple(infos, addresses).map(([info, address]) => `${info}@${address}`),
	fc.tuple(infos, hosts).map(([info, host]) => `${info}@=${host}`),
	fc.constantFrom("=", "", "1.", "joe@", "@"),
);
const RULE_LINES = fc.array(
	fc
		.tuple(
			RULE_KEYS,
			fc.constantFrom("allow", "deny"),
			fc.array(fc.constantFrom(',A="1"', ',B=""', ",C=|x y|"), { maxLength: 2 }),
		)
		.map(([key, word, variables]) => `${key}:${word}${[...new Set(variables)].join("")}`),
	{ minLength: 60, maxLength: 200 },
);
const CLIENTS = fc.record({
	remoteAddress: addresses,
	remoteHost: fc.option(hosts, { nil: undefined }),
	remoteInfo: fc.option(infos, { nil: undefined }),
});

const run = promisify(execFile);

let folder: string;

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "qmtp-tcprules-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describeWithPrograms("tcprules", TOOLS, () => {
	test("makes of the text in the fixtures the cdb in the fixtures", () => {
		const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url));
		expect(compiled(fixture("rules.txt"))?.equals(fixture("rules.cdb"))).toBe(true);
	});

	test.each(ODD_LINES)("takes or refuses %j as we do, and makes the same records", (text) => {
		expectSame(text);
	});

	test("takes, refuses and makes of lines put together at random what we do", () => {
		const tokens = fc.constantFrom(...TOKENS);
		const lines = fc.array(
			fc.array(tokens, { maxLength: 9 }).map((parts) => parts.join("")),
			{ maxLength: 3 },
		);
		fc.assert(
			fc.property(lines, (parts) => expectSame(parts.join("\n"))),
			{ numRuns: 150 },
		);
	});

	test("takes and makes of rules with a slip in them what we do", () => {
		const key = fc.constantFrom(
			"10.0.0.1-3",
			"1.2-4.",
			"",
			"=.a.b",
			"joe@1.2.3.4",
			"joe@=x",
			"9-250.1",
			"-",
			"a.b",
			" 1",
		);
		const word = fc.constantFrom("allow", "deny");
		const variable = fc.constantFrom(',A="1"', ",B=/x/", ',C="a,D="', ",E=\t\t", ',F=""', ",,G=xx", ",H=|é|");
		const rule = fc
			.tuple(key, word, fc.array(variable, { maxLength: 3 }))
			.map(([a, b, c]) => `${a}:${b}${c.join("")}`);
		const slip = fc.tuple(fc.nat(60), fc.constantFrom("", "", "", ...TOKENS), fc.nat(1));
		fc.assert(
			fc.property(fc.array(rule, { maxLength: 4 }), slip, (rules, [at, token, cut]) => {
				const text = rules.join("\n");
				expectSame(token === "" ? text : text.slice(0, at) + token + text.slice(at + cut));
			}),
			{ numRuns: 150 },
		);
	});
});

describeWithPrograms("tcprulescheck", TOOLS, () => {
	test.each([1, 2, 3, 4, 5])("finds the rules for 200 random clients that we find (%d)", async (seed) => {
		const [texts = [""]] = fc.sample(RULE_LINES, { seed, numRuns: 1 });
		const text = texts.join("\n");
		const bytes = compiled(text) as Buffer;
		const [fromText, fromCdb] = [parseTcpRules(text), tcpRulesOfCdb(bytes)];
		const check = await checker(bytes);
		const clients = fc.sample(CLIENTS, { seed, numRuns: 200 });
		const found = new Set<string>();
		await atOnce(4, clients, async (client) => {
			const expected = await check(client);
			const about = JSON.stringify({ client, text });
			expect(said(fromText, client), about).toBe(expected);
			expect(said(fromCdb, client), about).toBe(expected);
			found.add(expected);
		});
		expect(found.size, "there is more than one answer").toBeGreaterThan(5);
	});

	test("takes empty names and ends of addresses as we do", async () => {
		const text = [
			'@1.2.3.4:allow,R="1"',
			'@=:allow,R="2"',
			'=:deny,R="3"',
			'1.2.3.4:allow,R="4",R="5"',
			'1.:allow,R="6"',
			'=.x:deny,R="7"',
			'@:allow,R="8"',
			'.:allow,R="9"',
			'=@:allow,R="10"',
		].join("\n");
		for (const rules of [text, `${text}\n:deny`]) {
			const bytes = compiled(rules) as Buffer;
			const check = await checker(bytes);
			const names = [undefined, "", ".x", "a.x", "x.", "@", ".", "x"];
			const clients = ["", "1.2.3.4", "1.2.", "1.", "9", ".", "..", "::1"].flatMap((remoteAddress) =>
				names.flatMap((remoteHost) =>
					[undefined, "", "joe"].map((remoteInfo) => ({ remoteAddress, remoteHost, remoteInfo })),
				),
			);
			await atOnce(4, clients, async (client) => {
				const expected = await check(client);
				expect(said(parseTcpRules(rules), client), JSON.stringify(client)).toBe(expected);
				expect(said(tcpRulesOfCdb(bytes), client), JSON.stringify(client)).toBe(expected);
			});
		}
	});
});

describeWithPrograms("cdb", { cdb: "tinycdb" }, () => {
	test("makes databases that we read, whatever their records", () => {
		const text = fc.string({
			unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
			maxLength: 20,
		});
		fc.assert(
			fc.property(fc.array(fc.tuple(text, text), { maxLength: 50 }), (pairs) => {
				const cdb = new Cdb(made(pairs));
				expect(cdb.size).toBe(pairs.length);
				expect(recordsOf(cdb)).toEqual(pairs.map(([key, data]) => `${key}->${data}`));
				for (const [key, data] of new Map([...pairs].reverse())) {
					expect(Buffer.from(cdb.find(key) as Uint8Array).toString("latin1")).toBe(data);
				}
			}),
			{ numRuns: 50 },
		);
	});

	test("makes a morercpthosts.cdb that mail is taken for", () => {
		const domains = Array.from({ length: 5000 }, (_, i) => `${i % 2 ? "." : ""}host${i}.example.com`);
		const hosts = new RecipientHosts(["example.com"], new Cdb(made(domains.map((domain) => [domain, ""]))));
		for (let i = 0; i < 5000; i++) {
			expect(hosts.has(`user@HOST${i}.example.com`)).toBe(i % 2 === 0);
			expect(hosts.has(`user@x.host${i}.Example.com`)).toBe(i % 2 === 1);
		}
		expect(hosts.has("user@example.com")).toBe(true);
		expect(hosts.has("user@host5000.example.com")).toBe(false);
	});

	function made(pairs: readonly (readonly [string, string])[]): Buffer {
		const lines = pairs.map(([key, data]) => `+${key.length},${data.length}:${key}->${data}\n`);
		const path = join(folder, "made.cdb");
		const input = Buffer.from(`${lines.join("")}\n`, "latin1");
		const { status, stderr } = spawnSync(findProgram("cdb") as string, ["-c", path], { input });
		expect(`${stderr}${status}`).toBe("0");
		return readFileSync(path);
	}
});

/** What tcprules makes of a text; null if it refuses it. */
function compiled(text: Uint8Array | string): Buffer | null {
	const path = join(folder, "rules.cdb");
	const { status, stderr } = spawnSync(findProgram("tcprules") as string, [path, `${path}.tmp`], {
		input: text,
	});
	if (status === 0) return readFileSync(path);
	expect(stderr.toString()).toContain("tcprules: fatal: unable to parse this line: ");
	return null;
}

function expectSame(text: string): void {
	const bytes = compiled(text);
	const theirs = bytes === null ? "refused" : recordsOf(new Cdb(bytes));
	let ours: string[] | string;
	try {
		ours = [...compileTcpRules(text)].map(({ rule, data }) => `${rule.key}->${data}`);
	} catch (error) {
		expect(error).toMatchObject({ code: "ERR_QMTP_RULES" });
		ours = "refused";
	}
	expect(ours, JSON.stringify(text)).toEqual(theirs);
	if (bytes !== null) expect(() => tcpRulesOfCdb(bytes)).not.toThrow();
}

function recordsOf(cdb: Cdb): string[] {
	const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
	return [...cdb.records()].map(({ key, data }) => `${latin1(key)}->${latin1(data)}`);
}

/** Asks tcprulescheck about clients. */
async function checker(bytes: Buffer): Promise<(client: TcpClient) => Promise<string>> {
	const path = join(mkdtempSync(join(folder, "check-")), "rules.cdb");
	await writeFile(path, bytes);
	return async ({ remoteAddress, remoteHost, remoteInfo }) => {
		const env: Record<string, string> = { TCPREMOTEIP: remoteAddress };
		if (remoteHost !== undefined) Object.assign(env, { TCPREMOTEHOST: remoteHost });
		if (remoteInfo !== undefined) Object.assign(env, { TCPREMOTEINFO: remoteInfo });
		const { stdout } = await run(findProgram("tcprulescheck") as string, [path], { env });
		return lastOfEach(stdout);
	};
}

/** It tells all settings of a variable, of which the last one counts. */
function lastOfEach(text: string): string {
	const variables = new Map<string, string>();
	const [rule, ...lines] = text.split("\n");
	const verdict = lines.splice(-2);
	for (const line of lines) variables.set(line.slice(0, line.indexOf("=")), line);
	return [rule, ...variables.values(), ...verdict].join("\n");
}

/** What tcprulescheck would say: it stops at a D, which is the first item, and does not tell the variables behind it. */
function said(rules: TcpRules, client: TcpClient): string {
	const rule = rules.find(client);
	const lines = [rule === null ? "default:" : `rule ${rule.key}:`];
	if (rule?.allow === false) return [...lines, "deny connection", ""].join("\n");
	for (const [name, value] of Object.entries(rule?.variables ?? {})) {
		lines.push(`set environment variable ${name}=${value}`);
	}
	lines.push("allow connection", "");
	return lines.join("\n");
}

async function atOnce<T>(
	count: number,
	items: readonly T[],
	work: (item: T) => Promise<void>,
): Promise<void> {
	const rest = items.values();
	const worker = async () => {
		for (const item of rest) await work(item);
	};
	await Promise.all(Array.from({ length: count }, worker));
}
