import { describe, expect, test } from "vitest";
import { crc32c } from "../../src/server/proxy/crc32c.js";
import { ProxyHeaderDecoder } from "../../src/server/proxy/decoder.js";
import type { ProxyHeader } from "../../src/server/proxy-header.js";
import { bytesOf, copyOf } from "../support/bytes.js";
import { decoded, ends, header, IPV4_ENDS, NO_ENDS, outcome, refusal } from "../support/proxy-decoding.js";
import {
	binaryHeader,
	castagnoli,
	HAPROXY,
	ipv6,
	tlsTlv,
	tlv,
	withChecksum,
} from "../support/proxy-headers.js";

describe("TLVs", () => {
	const TLS = [
		tlv(0x21, "TLSv1.3"),
		tlv(0x22, "caf\xc3\xa9.example"),
		tlv(0x23, "AES"),
		tlv(0x24, "RSA-SHA256"),
		tlv(0x25, "RSA2048"),
	];
	const TOLD = {
		version: "TLSv1.3",
		commonName: "café.example",
		cipher: "AES",
		signatureAlgorithm: "RSA-SHA256",
		keyAlgorithm: "RSA2048",
	};

	test.each<[string, Uint8Array[], Partial<ProxyHeader>]>([
		[
			"ALPN and authority",
			[tlv(0x01, "qmtp"), tlv(0x02, "mx.example")],
			{ alpn: "qmtp", authority: "mx.example" },
		],
		[
			"a unique id of 128 bytes",
			[tlv(0x05, new Uint8Array(128).fill(7))],
			{ uniqueId: new Uint8Array(128).fill(7) },
		],
		["an empty unique id", [tlv(0x05, "")], { uniqueId: new Uint8Array(0) }],
		["a good certificate", [tlsTlv(7, 0, TLS)], { tls: { ...TOLD, verified: true } }],
		["one from earlier in the TLS session", [tlsTlv(5, 0, [])], { tls: { verified: true } }],
		["a bad certificate", [tlsTlv(7, 0x13000000, TLS)], { tls: { ...TOLD, verified: false } }],
		["a bad one by the last bit", [tlsTlv(7, 1, [])], { tls: { verified: false } }],
		["no certificate is none that was verified", [tlsTlv(1, 0, [])], { tls: { verified: false } }],
		["a client without TLS", [tlsTlv(0, 1, [])], { tls: null }],
		["text that is no UTF-8", [tlv(0x02, "\xff.example")], { authority: "\ufffd.example" }],
		["what nothing here is for", [tlv(0x04, ""), tlv(0x30, "blue"), tlv(0xea, "x"), tlv(0x04, "  ")], {}],
		[
			"an unknown one of TLS",
			[tlsTlv(3, 0, [tlv(0x28, "DER"), tlv(0x26, "x")])],
			{ tls: { verified: true } },
		],
	])("%s", (_, tlvs, expected) => {
		const told = header({ ...IPV4_ENDS, ...expected });
		expect(decoded(binaryHeader({ tlvs }))).toEqual(told);
		expect(decoded(withChecksum(binaryHeader({ tlvs })), false)).toEqual(told);
	});

	test("they may follow IPv6 addresses, those of a Unix socket, and no addresses", () => {
		const tlvs = [tlv(0x05, "id")];
		const addresses = ipv6([1, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0], [3, 4]);
		const uniqueId = bytesOf("id");
		expect(decoded(binaryHeader({ family: 0x21, addresses, tlvs })).uniqueId).toEqual(uniqueId);
		expect(
			decoded(binaryHeader({ family: 0x31, addresses: new Uint8Array(216), tlvs }), false).uniqueId,
		).toEqual(uniqueId);
		expect(decoded(binaryHeader({ family: 0x00, addresses: new Uint8Array(0), tlvs })).uniqueId).toEqual(
			uniqueId,
		);
	});

	test("the unique id is a copy", () => {
		const bytes = binaryHeader({ tlvs: [tlv(0x05, "id")] });
		const decoder = new ProxyHeaderDecoder();
		decoder.receive(bytes);
		const uniqueId = decoder.next()?.uniqueId;
		bytes.fill(0);
		expect(uniqueId?.buffer.byteLength).toBe(2);
		expect(uniqueId).toEqual(bytesOf("id"));
	});

	test.each<[string, Uint8Array[], number]>([
		["one byte that is left", [tlv(0x04, ""), Uint8Array.of(4)], 31],
		["two bytes that are left", [Uint8Array.of(4, 0)], 28],
		["a value that ends behind the header", [Uint8Array.of(4, 0, 2, 0)], 29],
		["a unique id of 129 bytes", [tlv(0x05, new Uint8Array(129))], 29],
		["a second unique id", [tlv(0x05, "a"), tlv(0x05, "a")], 32],
		["a checksum of three bytes", [tlv(0x03, "abc")], 29],
		["a wrong checksum", [tlv(0x03, "abcd")], 31],
		["TLS without its flags", [tlv(0x20, "\x01\0\0\0")], 29],
		["a TLV of TLS that is cut short", [tlsTlv(1, 0, [Uint8Array.of(0x21, 0)])], 36],
		["a TLV of TLS that ends behind it", [tlsTlv(1, 0, [Uint8Array.of(0x21, 0, 1)]), tlv(0x04, "abc")], 37],
		["a second name in TLS", [tlsTlv(7, 0, [tlv(0x22, "a"), tlv(0x22, "b")])], 40],
		["a second TLS", [tlsTlv(7, 0, []), tlsTlv(1, 1, [])], 36],
	])("%s is refused", (_, tlvs, offset) => {
		expect(refusal(binaryHeader({ tlvs }))).toBe(offset);
	});

	test("a header with a checksum is refused if any bit of it is wrong", () => {
		const good = withChecksum(binaryHeader({ tlvs: [tlv(0x05, "id"), tlv(0xe0, "x")] }));
		expect(decoded(good).uniqueId).toEqual(bytesOf("id"));
		for (let bit = 8 * 16; bit < 8 * good.length; bit++) {
			const bad = copyOf(good);
			bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
			// Whoever turns the checksum's type into another one has a header without a checksum.
			if (bit >> 3 === good.length - 7) continue;
			expect(outcome([bad]).offset, `bit ${bit}`).toBeGreaterThanOrEqual(16);
		}
	});

	test("the checksum is CRC-32C", () => {
		expect(crc32c(bytesOf("123456789"))).toBe(0xe3069283);
		expect(castagnoli(bytesOf("123456789"))).toBe(0xe3069283);
		expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa); // RFC 3720, B.4
		expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
	});
});

describe("headers that HAProxy has sent", () => {
	const here = "127.0.0.1";
	const algorithms = {
		version: "TLSv1.3",
		cipher: "TLS_AES_256_GCM_SHA384",
		signatureAlgorithm: "ecdsa-with-SHA256",
		keyAlgorithm: "EC256",
	};
	test.each<[keyof typeof HAPROXY, Partial<ProxyHeader>]>([
		["tcp4", { version: 1, ...ends(here, 56098, here, 18001) }],
		["mapped6", { version: 1, ...ends(here, 37418, here, 18005) }],
		["unknown", { version: 1, ...NO_ENDS }],
		[
			"binary4",
			{ ...ends(here, 43602, here, 18002), uniqueId: bytesOf("07b85eb3-35a0-4881-b0fb-935c23f15479") },
		],
		["binary6", ends("::1", 44562, "::1", 18004)],
		["binaryMapped", ends(here, 59860, here, 18004)],
		["local", { command: "local", ...NO_ENDS }],
		["check", { command: "local", ...NO_ENDS }],
		[
			"certificate",
			{
				...ends(here, 33866, here, 18003),
				tls: { ...algorithms, verified: true, commonName: "client.example.net" },
				alpn: "qmtp",
				authority: "mx.example.org",
				uniqueId: bytesOf("e7aa9475-26ed-4425-bf76-406bf8b73b01"),
			},
		],
		[
			"noCertificate",
			{
				...ends(here, 33876, here, 18003),
				tls: { ...algorithms, verified: false },
				authority: "mx.example.org",
				uniqueId: bytesOf("e6d64117-8201-4776-91ef-d5580c2f6a16"),
			},
		],
	])("%s", (name, expected) => {
		expect(decoded(HAPROXY[name])).toEqual(header(expected));
	});
});
