/** PROXY headers for tests: an encoder that shares nothing with the decoder, and headers that HAProxy 2.6 has sent. */
import { bytesOf, concat } from "./bytes.js";

/** A binary header. `length` is told instead of the true one. */
export function binaryHeader(parts: {
	readonly command?: number;
	readonly family?: number;
	readonly addresses?: Uint8Array;
	readonly tlvs?: readonly Uint8Array[];
	readonly length?: number;
}): Uint8Array {
	const { command = 0x21, family = 0x11, addresses = IPV4, tlvs = [] } = parts;
	const behind = concat([addresses, ...tlvs]);
	const head = Uint8Array.of(command, family, ...big(parts.length ?? behind.length, 2));
	return concat([bytesOf("\r\n\r\n\0\r\nQUIT\n"), head, behind]);
}

/** The same header with its checksum in a last TLV. */
export function withChecksum(header: Uint8Array): Uint8Array {
	const longer = concat([header, tlv(0x03, Uint8Array.of(0, 0, 0, 0))]);
	longer.set(big(longer.length - 16, 2), 14);
	longer.set(big(castagnoli(longer), 4), longer.length - 4);
	return longer;
}

/** A type, a length and a value. */
export function tlv(type: number, value: Uint8Array | string): Uint8Array {
	const bytes = typeof value === "string" ? bytesOf(value) : value;
	return concat([Uint8Array.of(type, ...big(bytes.length, 2)), bytes]);
}

/** The TLV of TLS. */
export function tlsTlv(client: number, verify: number, inner: readonly Uint8Array[]): Uint8Array {
	return tlv(0x20, concat([Uint8Array.of(client, ...big(verify, 4)), ...inner]));
}

/** 192.0.2.1 port 56324 to 198.51.100.7 port 209. */
export const IPV4: Uint8Array = Uint8Array.of(192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0, 209);

/** Addresses of 16 bytes and ports. */
export function ipv6(from: readonly number[], to: readonly number[], ports: readonly number[]): Uint8Array {
	const pairs = [...from, ...to, ...ports].flatMap((group) => big(group, 2));
	return Uint8Array.from(pairs);
}

/** CRC-32C as its definition has it: high bit first, each byte and the result turned around. */
export function castagnoli(bytes: Uint8Array): number {
	let register = 0xffffffffn;
	for (const byte of bytes) {
		register ^= reflect(BigInt(byte), 8) << 24n;
		for (let bit = 0; bit < 8; bit++) {
			register <<= 1n;
			if (register >> 32n === 1n) register ^= 0x11edc6f41n;
		}
	}
	return Number(reflect(register ^ 0xffffffffn, 32));
}

function reflect(value: bigint, bits: number): bigint {
	return BigInt(`0b${[...value.toString(2).padStart(bits, "0")].reverse().join("")}`);
}

function big(value: number, size: number): number[] {
	return Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** (size - 1 - index)) % 256);
}

/** What HAProxy 2.6.12 sent before "hello": of each header all bytes, in hexadecimal digits. */
export const HAPROXY = {
	/** send-proxy, a client of a socket for IPv4. */
	tcp4: hex("50524f58592054435034203132372e302e302e31203132372e302e302e312035363039382031383030310d0a"),
	/** send-proxy, an IPv4 client of a socket for IPv6. */
	mapped6: hex(
		"50524f58592054435036203a3a666666663a3132372e302e302e31203a3a666666663a3132372e302e302e3120333734313820313830" +
			"30350d0a",
	),
	/** send-proxy, a client of a Unix socket. */
	unknown: hex("50524f585920554e4b4e4f574e0d0a"),
	/** send-proxy-v2 with crc32c and unique-id. */
	binary4: hex(
		"0d0a0d0a000d0a515549540a2111003a7f0000017f000001aa5246520300045f9ab3f605002430376238356562332d333561302d3438" +
			"38312d623066622d393335633233663135343739",
	),
	/** send-proxy-v2 with crc32c, a client of a socket for IPv6. */
	binary6: hex(
		"0d0a0d0a000d0a515549540a2121002b0000000000000000000000000000000100000000000000000000000000000001ae1246540300" +
			"0431a76612",
	),
	/** The same, an IPv4 client. */
	binaryMapped: hex(
		"0d0a0d0a000d0a515549540a2121002b00000000000000000000ffff7f00000100000000000000000000ffff7f000001e9d446540300" +
			"043df92e7c",
	),
	/** send-proxy-v2 with crc32c, a client of a Unix socket. */
	local: hex("0d0a0d0a000d0a515549540a20000007030004a9b87e8f"),
	/** A health check, with crc32c and unique-id. */
	check: hex("0d0a0d0a000d0a515549540a2000000f030004889da1df2000050000000000"),
	/** All options of TLS; the client shows a certificate that is trusted. */
	certificate: hex(
		"0d0a0d0a000d0a515549540a211100ae7f0000017f000001844a4653030004eec3fb38010004716d747002000e6d782e6578616d706c" +
			"652e6f726705002465376161393437352d323665642d343432352d626637362d343036626638623733623031200059070000000021" +
			"0007544c5376312e33220012636c69656e742e6578616d706c652e6e6574250005454332353624001165636473612d776974682d53" +
			"4841323536230016544c535f4145535f3235365f47434d5f534841333834",
	),
	/** All options of TLS; the client shows no certificate, and HAProxy says that verifying found nothing wrong. */
	noCertificate: hex(
		"0d0a0d0a000d0a515549540a211100927f0000017f000001845446530300045a2b49d702000e6d782e6578616d706c652e6f72670500" +
			"2465366436343131372d383230312d343737362d393165662d64353538306332663661313620004401000000002100075" +
			"44c5376312e33250005454332353624001165636473612d776974682d534841323536230016544c535f4145535f3235365f47434d5f" +
			"534841333834",
	),
} as const;

function hex(digits: string): Uint8Array {
	return new Uint8Array(Buffer.from(digits, "hex"));
}
