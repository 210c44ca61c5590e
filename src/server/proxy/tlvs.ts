/**
 * What a binary PROXY header tells behind its addresses: values with a type and a length. Only lengths and the checksum
 * can be wrong; types that nothing here is for are passed over.
 *
 * Source: "The PROXY protocol", sections 2.2 to 2.2.8
 */
import type { ProxyTls } from "../../protocol/peer.js";
import type { ProxyHeader } from "../proxy-header.js";
import { crc32c } from "./crc32c.js";
import { invalid } from "./invalid.js";

/** The part of a header that its TLVs fill. */
export type ProxyFacts = Pick<ProxyHeader, "tls" | "authority" | "alpn" | "uniqueId">;

/** A header that has none. */
export const NO_FACTS: ProxyFacts = { tls: null, authority: null, alpn: null, uniqueId: null };

/**
 * @param header - The whole header; its checksum is overwritten with zeros.
 * @param start - Where the TLVs start in it.
 * @throws ProtocolError if a length is wrong, a fact is told twice, or the checksum is not that of the header.
 */
export function readFacts(header: Uint8Array, start: number): ProxyFacts {
	const found = { ...NO_FACTS } as { -readonly [Name in keyof ProxyFacts]: ProxyFacts[Name] };
	let checksum: Tlv | null = null;
	for (const tlv of tlvsOf(header, start, header.length, TYPES)) {
		if (tlv.type === TYPE_CRC32C) checksum = tlv;
		else if (tlv.type === TYPE_SSL) found.tls = readTls(header, tlv);
		else if (tlv.type === TYPE_AUTHORITY) found.authority = textOf(header, tlv);
		else if (tlv.type === TYPE_ALPN) found.alpn = textOf(header, tlv);
		else if (tlv.type === TYPE_UNIQUE_ID) found.uniqueId = readUniqueId(header, tlv);
	}
	if (checksum !== null) verify(header, checksum);
	return found;
}

/** A type, and the range of its value. */
interface Tlv {
	readonly type: number;
	readonly start: number;
	readonly end: number;
}

/** @param once - Types that may not come twice: which one counts, two readers might not agree on. */
function* tlvsOf(
	bytes: Uint8Array,
	from: number,
	to: number,
	once: Pick<ReadonlySet<number>, "has">,
): Generator<Tlv, void, undefined> {
	const seen = new Set<number>();
	for (let position = from; position < to; ) {
		if (to - position < TLV_HEAD) throw invalid("a TLV is cut short", position);
		const type = bytes[position] as number;
		const start = position + TLV_HEAD;
		const end = start + uint16(bytes, position + 1);
		if (end > to) throw invalid("a TLV is longer than what it stands in", position + 1);
		if (seen.has(type)) throw invalid(`a second TLV of type ${type}`, position);
		if (once.has(type)) seen.add(type);
		yield { type, start, end };
		position = end;
	}
}

function readTls(header: Uint8Array, { start, end }: Tlv): ProxyTls | null {
	if (end - start < SSL_HEAD) throw invalid("the TLV of TLS is too short", start - 2);
	const client = header[start] as number;
	const isGood = header.subarray(start + 1, start + SSL_HEAD).every((byte) => byte === 0);
	// Of a client that was not asked for a certificate HAProxy says that verifying found nothing wrong.
	const tls: Record<string, string | boolean> = { verified: isGood && (client & CLIENT_CERTIFICATE) !== 0 };
	for (const tlv of tlvsOf(header, start + SSL_HEAD, end, TLS_NAMES)) {
		const name = TLS_NAMES.get(tlv.type);
		if (name !== undefined) tls[name] = textOf(header, tlv);
	}
	return (client & CLIENT_SSL) === 0 ? null : (tls as unknown as ProxyTls);
}

function readUniqueId(header: Uint8Array, { start, end }: Tlv): Uint8Array {
	if (end - start > LONGEST_UNIQUE_ID) throw invalid("a unique id has at most 128 bytes", start - 2);
	return new Uint8Array(header.subarray(start, end));
}

function verify(header: Uint8Array, { start, end }: Tlv): void {
	if (end - start !== 4) throw invalid("a checksum has 4 bytes", start - 2);
	const told = uint16(header, start) * 0x10000 + uint16(header, start + 2);
	header.fill(0, start, end);
	if (crc32c(header) !== told) throw invalid("the checksum is wrong", start);
}

/** The big-endian number at a position. */
export function uint16(bytes: Uint8Array, at: number): number {
	return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function textOf(bytes: Uint8Array, { start, end }: Tlv): string {
	return UTF_8.decode(bytes.subarray(start, end));
}

const TLV_HEAD = 3; // bytes: the type, and two of the length
const TYPE_ALPN = 0x01;
const TYPE_AUTHORITY = 0x02;
const TYPE_CRC32C = 0x03;
const TYPE_UNIQUE_ID = 0x05;
const TYPE_SSL = 0x20;
const TYPES = new Set([TYPE_ALPN, TYPE_AUTHORITY, TYPE_CRC32C, TYPE_UNIQUE_ID, TYPE_SSL]);

const SSL_HEAD = 5; // bytes: the client's flags, and four of what verifying gave
const CLIENT_SSL = 0x01;
const CLIENT_CERTIFICATE = 0x02 | 0x04; // on this connection, or earlier in its TLS session
const TLS_NAMES: ReadonlyMap<number, keyof ProxyTls> = new Map([
	[0x21, "version"],
	[0x22, "commonName"],
	[0x23, "cipher"],
	[0x24, "signatureAlgorithm"],
	[0x25, "keyAlgorithm"],
]);

const LONGEST_UNIQUE_ID = 128; // bytes
const UTF_8 = new TextDecoder("utf-8", { ignoreBOM: true });
