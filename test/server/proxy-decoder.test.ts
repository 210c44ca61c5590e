import { describe, expect, test } from "vitest";
import { ProtocolError, UsageError } from "../../src/errors.js";
import { ProxyHeaderDecoder } from "../../src/server/proxy/decoder.js";
import type { ProxyHeader } from "../../src/server/proxy-header.js";
import { bytesOf, textOf } from "../support/bytes.js";
import { everyPrefix } from "../support/every-split.js";
import { decoded, ends, header, IPV4_ENDS, NO_ENDS, outcome, refusal } from "../support/proxy-decoding.js";
import { binaryHeader, HAPROXY, ipv6, tlv } from "../support/proxy-headers.js";

const FFFF = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

describe("the line", () => {
	test.each<[string, string, Partial<ProxyHeader>]>([
		[
			"the specification's example",
			"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443",
			ends("192.168.0.1", 56324, "192.168.0.11", 443),
		],
		[
			"the specification's longest line of IPv4",
			"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535",
			ends("255.255.255.255", 65535, "255.255.255.255", 65535),
		],
		[
			"the specification's longest line of IPv6",
			`PROXY TCP6 ${FFFF} ${FFFF} 65535 65535`,
			ends(FFFF, 65535, FFFF, 65535),
		],
		[
			"IPv6 in any way to write it",
			"PROXY TCP6 2001:DB8:0:0::7 2001:db8::0:1 0 209",
			ends("2001:db8::7", 0, "2001:db8::1", 209),
		],
		[
			"an IPv4-mapped address",
			"PROXY TCP6 ::ffff:192.0.2.1 ::FFFF:c633:6407 1 2",
			ends("192.0.2.1", 1, "198.51.100.7", 2),
		],
		["a client that the proxy does not know", "PROXY UNKNOWN", NO_ENDS],
		["what follows UNKNOWN means nothing", "PROXY UNKNOWN 192.0.2.1 \0\xff  x", NO_ENDS],
		["the specification's longest line", `PROXY UNKNOWN ${FFFF} ${FFFF} 65535 65535`, NO_ENDS],
	])("%s", (_, line, expected) => {
		expect(decoded(bytesOf(`${line}\r\n`))).toEqual(header({ version: 1, ...expected }));
	});

	test.each<[string, string, number]>([
		["the client's own first bytes", "5:hello,", 0],
		["an empty line", "\r\n\n", 2],
		["a word that only starts so", "PROXYING", 5],
		["a small letter", "PROXy ", 4],
		["no family", "PROXY \r\n", 6],
		["an unknown family", "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", 6],
		["UNKNOWN with something at its end", "PROXY UNKNOWNS\r\n", 6],
		["two spaces", "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", 11],
		["a leading zero in an address", "PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n", 11],
		["a number above 255 in an address", "PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n", 21],
		["an address of the other family", "PROXY TCP6 ::1 192.0.2.2 1 2\r\n", 15],
		["an address with a scope", "PROXY TCP6 fe80::1%lo ::1 1 2\r\n", 11],
		["a leading zero in a port", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", 31],
		["a port above 65535", "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", 33],
		["a port with a sign", "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", 31],
		["no ports", "PROXY TCP4 192.0.2.1 192.0.2.2\r\n", 31],
		["a space at the end", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", 34],
		["an LF alone", "PROXY UNKNOWN\n", 13],
		["a CR alone", "PROXY UNKNOWN\r \n", 14],
		["CR CR LF", "PROXY UNKNOWN\r\r\n", 14],
		["108 bytes", `PROXY UNKNOWN ${"x".repeat(92)}\r\n`, 106],
		["no end", `PROXY UNKNOWN ${"x".repeat(1000)}`, 106],
	])("%s is refused", (_, text, offset) => {
		expect(refusal(bytesOf(text))).toBe(offset);
	});
});

describe("the binary header", () => {
	test.each<[string, Uint8Array, Partial<ProxyHeader>]>([
		["TCP over IPv4", binaryHeader({}), IPV4_ENDS],
		["UDP over IPv4", binaryHeader({ family: 0x12 }), IPV4_ENDS],
		[
			"TCP over IPv6",
			binaryHeader({
				family: 0x21,
				addresses: ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], [0, 0, 0, 0, 0, 0, 0, 1], [1, 65535]),
			}),
			ends("2001:db8::7", 1, "::1", 65535),
		],
		[
			"IPv4-mapped addresses",
			binaryHeader({
				family: 0x22,
				addresses: ipv6(
					[0, 0, 0, 0, 0, 0xffff, 0xc000, 0x201],
					[0, 0, 0, 0, 0, 0xfffe, 0xc000, 0x201],
					[1, 2],
				),
			}),
			ends("192.0.2.1", 1, "::fffe:c000:201", 2),
		],
		[
			"a Unix socket has no addresses",
			binaryHeader({ family: 0x31, addresses: new Uint8Array(216).fill(47) }),
			ends("", 0, "", 0),
		],
		[
			"a datagram's Unix socket",
			binaryHeader({ family: 0x32, addresses: new Uint8Array(216) }),
			ends("", 0, "", 0),
		],
		[
			"no family: the proxy does not know its client",
			binaryHeader({ family: 0, addresses: new Uint8Array(0) }),
			NO_ENDS,
		],
		[
			"LOCAL",
			binaryHeader({ command: 0x20, family: 0, addresses: new Uint8Array(0) }),
			{ command: "local", ...NO_ENDS },
		],
		[
			"LOCAL, and all that it tells is discarded",
			binaryHeader({ command: 0x20 }),
			{ command: "local", ...NO_ENDS },
		],
		[
			"LOCAL with a family that does not exist",
			binaryHeader({ command: 0x20, family: 0xff }),
			{ command: "local", ...NO_ENDS },
		],
	])("%s", (_, bytes, expected) => {
		expect(decoded(bytes)).toEqual(header(expected));
	});

	test("the longest one is taken", () => {
		const tlvs = [tlv(0x04, new Uint8Array(4096 - 12 - 3))];
		expect(decoded(binaryHeader({ tlvs }), false)).toEqual(header(IPV4_ENDS));
	});

	test.each<[string, Uint8Array, number]>([
		["a wrong byte of the signature", bytesOf("\r\n\r\n\0\r\nQUIT\r"), 11],
		["version 1", binaryHeader({ command: 0x11 }), 12],
		["version 3", binaryHeader({ command: 0x31 }), 12],
		["a command that does not exist", binaryHeader({ command: 0x22 }), 12],
		["a family that does not exist", binaryHeader({ family: 0x41 }), 13],
		["a protocol that does not exist", binaryHeader({ family: 0x13 }), 13],
		["a family without a protocol", binaryHeader({ family: 0x10 }), 13],
		["a protocol without a family", binaryHeader({ family: 0x01 }), 13],
		["4097 bytes", binaryHeader({ length: 4097 }), 14],
		["65535 bytes of LOCAL", binaryHeader({ command: 0x20, length: 65535 }), 14],
		["half of IPv4", binaryHeader({ length: 11 }), 14],
		["half of IPv6", binaryHeader({ family: 0x21, length: 35 }), 14],
		["half of a Unix socket", binaryHeader({ family: 0x31, length: 215 }), 14],
	])("%s is refused", (_, bytes, offset) => {
		expect(refusal(bytes)).toBe(offset);
	});
});

describe("the decoder", () => {
	test("a part of a header is never a header, and never wrong", () => {
		for (const bytes of Object.values(HAPROXY)) {
			everyPrefix(bytes, (prefix) => expect(outcome([prefix])).toEqual({ header: null }));
		}
	});

	test("what the last chunk holds behind the header is a view of that chunk", () => {
		const decoder = new ProxyHeaderDecoder();
		const chunk = bytesOf("PROXY UNKNOWN\r\n5:hello,");
		decoder.receive(chunk);
		expect(decoder.next()).not.toBeNull();
		expect(textOf(decoder.rest)).toBe("5:hello,");
		expect(decoder.rest.buffer).toBe(chunk.buffer);
		expect(decoder.next()).toBe(decoder.next());
		expect(() => decoder.receive(chunk)).toThrow(usage("ERR_QMTP_ENDED"));
	});

	test("a chunk that was not looked at is not passed over", () => {
		const decoder = new ProxyHeaderDecoder();
		decoder.receive(bytesOf("PROXY"));
		expect(() => decoder.receive(bytesOf(" "))).toThrow(usage("ERR_NETSTRING_UNREAD"));
	});

	test("an error is thrown again at each call", () => {
		const decoder = new ProxyHeaderDecoder();
		decoder.receive(bytesOf("G"));
		const errors = [1, 2].map(() => {
			try {
				return decoder.next();
			} catch (error) {
				return error;
			}
		});
		expect(errors[0]).toBeInstanceOf(ProtocolError);
		expect(errors[0]).toMatchObject({ code: "ERR_QMTP_PROXY_HEADER", offset: 0 });
		expect(errors[1]).toBe(errors[0]);
	});
});

function usage(code: string): unknown {
	return expect.objectContaining({ constructor: UsageError, code });
}
