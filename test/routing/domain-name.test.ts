import { describe, expect, test } from "vitest";
import { asciiName, isHostName, plainName } from "../../src/routing/domain-name.js";

describe("a name", () => {
	test("has lower case letters of ASCII and no last dot when it is plain", () => {
		expect(plainName("MX.Example.COM.")).toBe("mx.example.com");
		expect(plainName("\u0130.example")).toBe("\u0130.example");
		expect(plainName("a..")).toBe("a.");
	});

	test("beyond ASCII is encoded, and what is ASCII stays as it is, even if it looks like an address", () => {
		expect(asciiName("B\u00fccher.example.")).toBe("xn--bcher-kva.example");
		expect(asciiName("0x7F.1")).toBe("0x7f.1");
		expect(asciiName("b\u00fccher b.example")).toBe("");
	});

	test("of a host has labels of 63 characters and is 253 long at most", () => {
		const label = "x".repeat(63);
		expect(isHostName(`${label}.example`)).toBe(true);
		expect(isHostName(`${label}x.example`)).toBe(false);
		expect(isHostName(`${label}.${label}.${label}.${"y".repeat(61)}.`)).toBe(true);
		expect(isHostName(`${label}.${label}.${label}.${"y".repeat(62)}`)).toBe(false);
	});

	test.each(["localhost", "3com.example", "_x.a-b.example", "a.xn--p1ai", "1.2.3.4x"])(
		"%s is a host's",
		(name) => {
			expect(isHostName(name)).toBe(true);
		},
	);

	test.each(["", ".", "a..b", ".a", "192.0.2.1", "1", "a.1", "a b", "a:b", "a\n", "a.example\n", "\u00fc"])(
		"'%s' is not",
		(name) => {
			expect(isHostName(name)).toBe(false);
		},
	);
});
