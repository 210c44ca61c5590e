/** qmail's control files: lines, numbers, lists of domains, and fixed routes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Cdb } from "../../../src/access/cdb.js";
import { controlLine, controlLines, controlNumber } from "../../../src/access/control.js";
import { RecipientHosts } from "../../../src/access/rcpthosts.js";
import { type FixedRoute, FixedRoutes } from "../../../src/routing/fixed-routes.js";
import { cdbOf } from "../../access/cdb-file.js";
import { bytesOf } from "../../support/bytes.js";
import { anyText } from "../../support/packages.js";
import { mutated } from "../mutations.js";
import { resultOrCode, same, surface } from "../surface.js";

const piece = fc.oneof(
	fc.constantFrom("example.com", "#", " ", "\t", "\n", "\r\n", "\n\n", "007", "99999999999999999999", "\0"),
	anyText(5),
);

/** Lines and numbers, read character by character. */
export const files = surface(
	"control",
	500,
	fc.record({ text: mutated(fc.array(piece, { maxLength: 20 }).map((all) => all.join(""))) }),
	({ text }) => {
		const bytes = bytesOf(text);
		const lines = [""];
		for (const character of text) {
			if (character === "\n") lines.push("");
			else lines[lines.length - 1] += character;
		}
		const trimmed = lines.map((line) => line.replace(/(?<![ \t])[ \t]+$/, ""));
		same(controlLine(bytes), trimmed[0]);
		same(
			controlLines(bytes),
			trimmed.filter((line) => line[0] !== "#" && line !== ""),
		);
		let number = 0n;
		for (const digit of trimmed[0] ?? "") {
			if (digit < "0" || digit > "9") break;
			number = number * 10n + BigInt(digit);
		}
		const most = BigInt(Number.MAX_SAFE_INTEGER);
		same(BigInt(controlNumber(bytes)), number > most ? most : number);
	},
);

const domain = fc.oneof(
	fc.constantFrom(
		"example.com",
		".example.com",
		"EXAMPLE.com",
		"com",
		".com",
		".",
		"",
		"a..b",
		"\xc0.example",
	),
	fc.string({ unit: fc.constantFrom("a", "A", "b", ".", "@", "\xe0", "\0"), maxLength: 8 }),
);
/** A domain, or what is left of the one that is looked up from some place on. */
const domainOf = (name: string) =>
	fc.oneof(
		domain,
		fc.nat(12).map((start) => name.slice(start % (name.length + 1))),
	);
const address = fc.oneof(
	fc.tuple(anyText(3), domain).map(([local, at]) => `${local}@${at}`),
	fc.tuple(domain, domain).map((parts) => `user@a${parts.join("")}`),
	domain,
);

/** Each entry of the lists is held against the address. */
export const hosts = surface(
	"rcpthosts",
	500,
	mutated(address).chain((address) => {
		const list = fc.array(domainOf(address), { maxLength: 4 });
		return fc.record({ domains: list, more: list, address: fc.constant(address) });
	}),
	({ domains, more, address }) => {
		const database = new Cdb(cdbOf(more.map((key) => [lowerCase(key), ""])));
		const [, name = null] = /@([^@]*)$/.exec(address) ?? [];
		const takes = (entry: string) => {
			const [lower, wanted] = [lowerCase(entry), lowerCase(name ?? "")];
			return lower === wanted || (lower.startsWith(".") && wanted.endsWith(lower));
		};
		const expected = (list: readonly string[]) => name === null || (name !== "" && list.some(takes));
		same(new RecipientHosts(domains).has(address), expected(domains));
		same(new RecipientHosts([], database).has(address), expected(more));
		same(new RecipientHosts(domains, database).has(address), expected([...domains, ...more]));
	},
);

const relay = fc.constantFrom("", "relay.example", "192.0.2.1", "[2001:db8::1]", "[IPv6:::1]", "[192.0.2.1]");
const port = fc.constantFrom("", "", ":", ":1", ":209", ":65535", ":65536", ":x");
const routeTo = (name: string) =>
	fc.tuple(domainOf(name), relay, port).map(([domain, to, at]) => `${domain}:${to}${at}`);

/** A line is a route or is refused, whatever lines are around it; of those that match, the longest counts. */
export const routes = surface(
	"routes",
	500,
	domain.chain((domain) => {
		const route = fc.oneof(
			{ weight: 4, arbitrary: routeTo(domain) },
			{ weight: 1, arbitrary: mutated(routeTo(domain)) },
			{ weight: 1, arbitrary: anyText(12) },
		);
		return fc.record({
			lines: fc.array(route, { maxLength: 4 }),
			protocol: fc.constantFrom("qmtp" as const, "smtp" as const),
			domain: fc.constant(domain),
		});
	}),
	({ lines, protocol, domain }) => {
		const parse = (lines: readonly string[]) =>
			resultOrCode(() => FixedRoutes.parse(lines, protocol), ["ERR_QMTP_ROUTE"]);
		const each = lines.map((line) => parse([line]));
		const all = parse(lines);
		if (typeof all === "string" || each.some((one) => typeof one === "string")) {
			return same(all, each.find((one) => typeof one === "string") ?? "a route");
		}
		let best: FixedRoute | null = null;
		for (const one of each) {
			const route = typeof one === "string" ? null : one.find(domain);
			if (route !== null && (best === null || route.domain.length >= best.domain.length)) best = route;
		}
		same(all.find(domain), best);
		if (best === null) return;
		assert(best.port >= 1 && best.port <= 65535 && best.protocol === protocol);
		assert(best.relay === null || /^[a-z0-9_.:%-]+$/.test(best.relay), `a relay ${best.relay}`);
	},
);

function lowerCase(text: string): string {
	return [...text].map((letter) => (letter >= "A" && letter <= "Z" ? letter.toLowerCase() : letter)).join("");
}
