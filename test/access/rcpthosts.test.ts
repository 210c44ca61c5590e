/** Which addresses are in the domains that mail is taken for. */
import { describe, expect, test } from "vitest";
import { Cdb } from "../../src/access/cdb.js";
import { RecipientHosts } from "../../src/access/rcpthosts.js";
import { cdbOf } from "./cdb-file.js";

const LIST = ["example.com", ".sub.Example.com", "MIXED.example", "dot.example.", "ÀB.example", ".x", ""];
const list = new RecipientHosts(LIST);
const lowered = LIST.slice(0, -1).map((domain) => domain.replace(/[A-Z]/g, (c) => c.toLowerCase()));
const more = new RecipientHosts([], new Cdb(cdbOf(lowered.map((domain) => [domain, ""]))));

describe.each([
	["a list", list],
	["a cdb", more],
	[
		"a list and a cdb",
		new RecipientHosts(LIST.slice(0, 3), new Cdb(cdbOf(lowered.slice(3).map((domain) => [domain, ""])))),
	],
])("%s", (_, hosts) => {
	test.each<[string, boolean]>([
		["user@example.com", true],
		["USER@EXAMPLE.COM", true],
		["user@x.example.com", false],
		["user@xexample.com", false],
		["user@example.com.", false],
		["user@example.org", false],
		["user@a.sub.example.com", true],
		["user@b.a.sub.example.com", true],
		["user@sub.example.com", false],
		["user@.sub.example.com", true],
		["user@mixed.EXAMPLE", true],
		["user@dot.example.", true],
		["user@dot.example", false],
		["user@a.x", true],
		["user@x", false],
		["user@.", false],
		["user@..x", true],
		["user", true],
		["", true],
		["user@", false],
		["@", false],
		["@example.com", true],
		["a@elsewhere.org@example.com", true],
		["a@example.com@elsewhere.org", false],
		["example.com@", false],
	])("%j: %s", (address, expected) => {
		expect(hosts.has(address)).toBe(expected);
	});

	test("knows upper and lower case of ASCII alone", () => {
		expect(hosts.has("user@ÀB.EXAMPLE")).toBe(true);
		expect(hosts.has("user@àb.example")).toBe(false);
		expect(hosts.has("user@example.co\u212a")).toBe(false);
		expect(new RecipientHosts(["k.example"]).has("user@\u212a.example"), "the Kelvin sign").toBe(false);
		expect(new RecipientHosts(["\u212a.example"]).has("user@k.example")).toBe(false);
		expect(hosts.has("user@\u0165xample.com"), "whose low byte is e").toBe(false);
	});
});

test("nothing is in no domains but what is local", () => {
	for (const hosts of [
		new RecipientHosts([]),
		new RecipientHosts([], new Cdb(cdbOf([]))),
		new RecipientHosts([""], null),
	]) {
		expect(hosts.has("user@example.com")).toBe(false);
		expect(hosts.has("user@")).toBe(false);
		expect(hosts.has("user")).toBe(true);
	}
});

test("an empty key in a cdb takes no empty domain", () => {
	expect(new RecipientHosts([], new Cdb(cdbOf([["", ""]]))).has("user@")).toBe(false);
});
