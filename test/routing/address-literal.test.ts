import { describe, expect, test } from "vitest";
import { addressLiteral, isBracketed } from "../../src/routing/address-literal.js";

describe("an address literal", () => {
	test.each([
		["[192.0.2.1]", "192.0.2.1"],
		["[IPv6:2001:db8::1]", "2001:db8::1"],
		["[ipv6:2001:DB8::1]", "2001:db8::1"],
		["[IPv6:::ffff:192.0.2.1]", "::ffff:192.0.2.1"],
	])("%s is an address", (domain, address) => {
		expect(addressLiteral(domain)).toBe(address);
		expect(isBracketed(domain)).toBe(true);
	});

	test.each([
		...["[]", "[192.0.2]", "[192.0.2.256]", "[192.0.2.1", "192.0.2.1]", "[2001:db8::1]", "[IPv6:192.0.2.1]"],
		...[
			"[IPv6:fe80::1%eth0]",
			"[IPv6:]",
			"[[192.0.2.1]]",
			"[192.0.2.1]x]",
			"[ 192.0.2.1]",
			"[mx.example.com]",
		],
	])("%s is malformed", (domain) => {
		expect(addressLiteral(domain)).toBeNull();
		expect(isBracketed(domain)).toBe(true);
	});

	test.each(["example.com", "192.0.2.1", "2001:db8::1", "", "a[b].example"])("'%s' is none", (domain) => {
		expect(addressLiteral(domain)).toBeNull();
		expect(isBracketed(domain)).toBe(false);
	});
});
