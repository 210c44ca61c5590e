import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import type { Peer } from "../../src/protocol/peer.js";
import { proxiedPeer } from "../../src/server/proxy/peer.js";
import { trustedProxies } from "../../src/server/proxy/trusted.js";
import type { ProxyHeader } from "../../src/server/proxy-header.js";

const proxy: Peer = {
	remoteAddress: "10.0.0.1",
	remotePort: 40000,
	remoteHost: "proxy.example",
	remoteInfo: "haproxy",
	localAddress: "10.0.0.2",
	localPort: 209,
};
const header: ProxyHeader = {
	version: 2,
	command: "proxy",
	source: { address: "192.0.2.1", port: 56324 },
	destination: { address: "198.51.100.7", port: 6209 },
	tls: null,
	authority: null,
	alpn: null,
	uniqueId: null,
};

describe("the peer behind a proxy", () => {
	test("has the addresses that the proxy tells, and nothing that was looked up about the proxy", () => {
		expect(proxiedPeer(proxy, header)).toEqual({
			remoteAddress: "192.0.2.1",
			remotePort: 56324,
			localAddress: "198.51.100.7",
			localPort: 6209,
			proxy: { address: "10.0.0.1", port: 40000, command: "proxy", told: true },
		});
	});

	test("has what the proxy tells about TLS, and the name of the connection", () => {
		const tls = { version: "TLSv1.3", verified: true, commonName: "client.example" };
		const uniqueId = Uint8Array.of(1, 2);
		const told = { ...header, tls, uniqueId, authority: "mx.example", alpn: "qmtp" };
		expect(proxiedPeer(proxy, told).proxy).toEqual({
			address: "10.0.0.1",
			port: 40000,
			command: "proxy",
			told: true,
			tls,
			authority: "mx.example",
			uniqueId,
		});
	});

	test.each(["local", "proxy"] as const)(
		"keeps the connection's addresses if the header (%s) has none",
		(command) => {
			const { remoteAddress, remotePort, localAddress, localPort } = proxy;
			expect(proxiedPeer(proxy, { ...header, command, source: null, destination: null })).toEqual({
				...{ remoteAddress, remotePort, localAddress, localPort },
				proxy: { address: "10.0.0.1", port: 40000, command, told: false },
			});
		},
	);

	test("a client of the proxy's Unix socket has no address, and not the proxy's either", () => {
		const none = { address: "", port: 0 };
		const peer = proxiedPeer(proxy, { ...header, source: none, destination: none });
		expect(peer).toMatchObject({ remoteAddress: "", remotePort: 0, localAddress: "", localPort: 0 });
	});
});

describe("trusted proxies", () => {
	test("false is nobody, true is everybody", () => {
		expect(trustedProxies(false)("127.0.0.1")).toBe(false);
		expect(trustedProxies(true)("192.0.2.1")).toBe(true);
		expect(trustedProxies(true)("")).toBe(true);
		expect(trustedProxies([])("127.0.0.1")).toBe(false);
	});

	test.each([
		["192.0.2.1", true],
		["192.0.2.2", false],
		["10.255.0.1", true],
		["11.0.0.1", false],
		["::ffff:10.0.0.1", true],
		["2001:db8::1", true],
		["2001:DB8:0:0::ffff", true],
		["2001:db9::1", false],
		["::1", true],
		["fe80::1%lo", false],
		["", false],
		["proxy.example", false],
	])("%s is one: %s", (address, expected) => {
		expect(trustedProxies(["192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "::1"])(address)).toBe(expected);
	});

	test("0.0.0.0/0 is all of IPv4, ::/0 is all there is", () => {
		expect(trustedProxies(["0.0.0.0/0"])("192.0.2.1")).toBe(true);
		expect(trustedProxies(["0.0.0.0/0"])("2001:db8::1")).toBe(false);
		expect(trustedProxies(["::/0"])("2001:db8::1")).toBe(true);
	});

	test.each([
		[["proxy.example"]],
		[["192.0.2.0/33"]],
		[["2001:db8::/129"]],
		[["192.0.2.0/"]],
		[["192.0.2.0/8/8"]],
		[["192.0.2.0/-1"]],
		[[""]],
		[[7 as unknown as string]],
		["10.0.0.0/8" as unknown as string[]],
		[undefined as unknown as string[]],
	])("%j is refused", (option) => {
		expect(() => trustedProxies(option)).toThrow(UsageError);
		expect(() => trustedProxies(option)).toThrow(expect.objectContaining({ code: "ERR_QMTP_OPTION" }));
	});
});
