import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FixedRoutes, fixedRoute } from "../../src/routing/fixed-routes.js";

function qmtp(...lines: string[]): FixedRoutes {
	return FixedRoutes.parse(lines, "qmtp");
}

function smtp(...lines: string[]): FixedRoutes {
	return FixedRoutes.parse(lines, "smtp");
}

describe("a line of routes", () => {
	test.each([
		["example.com:relay.example:2209", { relay: "relay.example", port: 2209 }],
		["example.com:relay.example", { relay: "relay.example", port: 209 }],
		["example.com:relay.example:", { relay: "relay.example", port: 209 }],
		["EXAMPLE.com.:Relay.Example.", { relay: "relay.example", port: 209 }],
		["example.com:localhost", { relay: "localhost", port: 209 }],
		["example.com:192.0.2.1:65535", { relay: "192.0.2.1", port: 65535 }],
		["example.com:[192.0.2.1]:1", { relay: "192.0.2.1", port: 1 }],
		["example.com:[2001:DB8::1]", { relay: "2001:db8::1", port: 209 }],
		["example.com:[2001:db8::1]:26", { relay: "2001:db8::1", port: 26 }],
		["example.com:[IPv6:2001:db8::1]:26", { relay: "2001:db8::1", port: 26 }],
		["example.com:", { relay: null, port: 209 }],
		["example.com::", { relay: null, port: 209 }],
	])("%s is understood", (line, expected) => {
		expect(qmtp(line).find("example.com")).toEqual({ domain: "example.com", protocol: "qmtp", ...expected });
	});

	test("without a port it is the protocol's", () => {
		expect(smtp(":relay.example").find("example.com")).toMatchObject({ protocol: "smtp", port: 25 });
	});

	test("a domain in brackets may have colons", () => {
		const routes = qmtp("[IPv6:2001:db8::1]:relay.example:2209", "[192.0.2.1]:other.example");
		expect(routes.find("[ipv6:2001:DB8::1]")).toMatchObject({ relay: "relay.example", port: 2209 });
		expect(routes.find("[192.0.2.1]")?.relay).toBe("other.example");
	});

	test.each([
		["example.com", "it is not domain:relay or domain:relay:port"],
		["", "it is not domain:relay or domain:relay:port"],
		["example.com:relay.example:0", "its port is no number from 1 to 65535"],
		["example.com:relay.example:65536", "its port is no number from 1 to 65535"],
		["example.com:relay.example:smtp", "its port is no number from 1 to 65535"],
		["example.com:relay.example:25 user password", "its port is no number from 1 to 65535"],
		["example.com:relay.example:1:2", "it has too many colons"],
		["example.com:2001:db8::1", "an IPv6 address is written in brackets, [2001:db8::1]"],
		["example.com:[2001:db8::1", "it has too many colons"],
		["example.com:[relay.example]", "there is no address in the brackets of its relay"],
		["example.com:[]:25", "there is no address in the brackets of its relay"],
		["example.com::25", "it has a port and no relay"],
		["example.com: relay.example", "its relay is neither a host's name nor an address"],
		["example.com:relay.example;209", "its relay is neither a host's name nor an address"],
		["example.com:192.0.2", "its relay is neither a host's name nor an address"],
	])("'%s' is refused", (line, problem) => {
		expect(() => qmtp("fine.example:relay.example", line)).toThrow(
			expect.objectContaining({
				name: "UsageError",
				code: "ERR_QMTP_ROUTE",
				message: `the route '${line}' cannot be understood: ${problem}`,
			}),
		);
	});

	test("whatever the line, it is understood or refused, and nothing else happens", () => {
		const line = fc.string({ unit: fc.constantFrom(..."a.:[]%19 é\n") });
		fc.assert(
			fc.property(line, (text) => {
				try {
					qmtp(text);
				} catch (error) {
					expect(error).toMatchObject({ code: "ERR_QMTP_ROUTE" });
				}
			}),
		);
	});
});

describe("the route for a domain", () => {
	const routes = qmtp(
		"example.com:whole.example",
		".example.com:below.example",
		".com:com.example",
		".a.example.com:deep.example",
		"direct.example.com:",
		":all.example",
	);

	test.each([
		["example.com", "whole.example"],
		["Example.COM.", "whole.example"],
		["b.example.com", "below.example"],
		["c.b.example.com", "below.example"],
		["a.example.com", "below.example"],
		["b.a.example.com", "deep.example"],
		["example.com.com", "com.example"],
		["notexample.com", "com.example"],
		["example.net", "all.example"],
		["com", "all.example"],
		["direct.example.com", null],
	])("%s goes by its longest match", (domain, relay) => {
		expect(routes.find(domain)?.relay).toBe(relay);
	});

	test("there is none without a match", () => {
		expect(qmtp("example.com:relay.example").find("a.example.com")).toBeNull();
		expect(qmtp(".example.com:relay.example").find("example.com")).toBeNull();
		expect(qmtp().find("example.com")).toBeNull();
	});

	test("of several lines for one domain the last counts", () => {
		expect(qmtp("a.example:one.example", "A.example:two.example").find("a.example")?.relay).toBe(
			"two.example",
		);
	});
});

describe("the route by both files", () => {
	test("is that of qmtproutes if both are for the same", () => {
		const route = fixedRoute("a.example", qmtp(":q.example"), smtp(":s.example"));
		expect(route).toEqual({ domain: "", relay: "q.example", port: 209, protocol: "qmtp" });
	});

	test("is the more specific one if they are not", () => {
		const files = [
			qmtp(".example:q.example", "b.example:"),
			smtp("a.example:s.example", ":t.example"),
		] as const;
		expect(fixedRoute("a.example", ...files)).toMatchObject({ relay: "s.example", protocol: "smtp" });
		expect(fixedRoute("b.example", ...files)).toMatchObject({ relay: null, protocol: "qmtp" });
		expect(fixedRoute("c.example", ...files)).toMatchObject({ relay: "q.example", protocol: "qmtp" });
		expect(fixedRoute("else.where", ...files)).toMatchObject({ relay: "t.example", protocol: "smtp" });
	});

	test("is that of one file if there is no other, or no match in it", () => {
		expect(fixedRoute("a.example", qmtp(":q.example"), null)?.relay).toBe("q.example");
		expect(fixedRoute("a.example", null, smtp(":s.example"))?.relay).toBe("s.example");
		expect(fixedRoute("a.example", qmtp("b.example:q.example"), smtp(":s.example"))?.relay).toBe("s.example");
		expect(fixedRoute("a.example", qmtp(), smtp())).toBeNull();
		expect(fixedRoute("a.example", null, null)).toBeNull();
	});
});
