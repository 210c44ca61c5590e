/**
 * Version 2 of the PROXY header: 16 bytes that tell how long it is, then two addresses, then TLVs.
 *
 * Source: "The PROXY protocol", section 2.2
 */
import type { ProxyAddress, ProxyHeader } from "../proxy-header.js";
import { plainIPv6 } from "./address.js";
import { invalid } from "./invalid.js";
import { NO_FACTS, readFacts, uint16 } from "./tlvs.js";

/** How long its first part is, in bytes. */
export const BINARY_HEAD = 16;

/** The most that may follow them. It is about nginx's bound: there is room for a client's certificate. */
export const LONGEST_BINARY = 4096;

/**
 * Looks at the head of a header as it grows, so that it is refused at the first byte that makes it wrong.
 *
 * @param head - What is there of it.
 * @param filled - How much that is, in bytes; more than the signature.
 * @returns How many bytes the header has in all; 0 if that is not known yet.
 * @throws ProtocolError.
 */
export function binaryLength(head: Uint8Array, filled: number): number {
	const isLocal = head[COMMAND_AT] === LOCAL;
	if (filled === COMMAND_AT + 1) {
		if (!isLocal && head[COMMAND_AT] !== PROXY) throw invalid("no version 2, or no command", COMMAND_AT);
	} else if (filled === FAMILY_AT + 1) {
		if (!isLocal && addressesLength(head) === undefined) throw invalid("no address family", FAMILY_AT);
	} else if (filled === BINARY_HEAD) {
		const length = uint16(head, LENGTH_AT);
		if (length > LONGEST_BINARY) throw invalid(`longer than ${LONGEST_BINARY} bytes`, LENGTH_AT);
		if (!isLocal && length < (addressesLength(head) as number)) {
			throw invalid("too short for its addresses", LENGTH_AT);
		}
		return BINARY_HEAD + length;
	}
	return 0;
}

/**
 * @param bytes - A whole header whose head {@link binaryLength} has passed. Its checksum is overwritten.
 * @throws ProtocolError.
 */
export function readBinary(bytes: Uint8Array): ProxyHeader {
	if (bytes[COMMAND_AT] === LOCAL) {
		// The rest of it, its family included, is to be discarded.
		return { version: 2, command: "local", source: null, destination: null, ...NO_FACTS };
	}
	const size = ADDRESS_SIZES[(bytes[FAMILY_AT] as number) >> 4] as number;
	const ports = BINARY_HEAD + 2 * size;
	return {
		version: 2,
		command: "proxy",
		source: readAddress(bytes, BINARY_HEAD, size, ports),
		destination: readAddress(bytes, BINARY_HEAD + size, size, ports + 2),
		...readFacts(bytes, BINARY_HEAD + (addressesLength(bytes) as number)),
	};
}

/** The bytes of both addresses and ports; undefined if the family or the protocol does not exist. */
function addressesLength(head: Uint8Array): number | undefined {
	const family = head[FAMILY_AT] as number;
	// That a datagram was made a stream by the proxy tells who sent it all the same.
	if (family !== UNSPECIFIED && (family & 0x0f) !== STREAM && (family & 0x0f) !== DATAGRAM) return undefined;
	if (family >> 4 === 0 && family !== UNSPECIFIED) return undefined;
	const size = ADDRESS_SIZES[family >> 4];
	if (size === undefined) return undefined;
	return size === IPV4_SIZE || size === IPV6_SIZE ? 2 * size + 4 : 2 * size;
}

function readAddress(bytes: Uint8Array, at: number, size: number, portAt: number): ProxyAddress | null {
	if (size === 0) return null;
	if (size === UNIX_SIZE) return { address: "", port: 0 };
	const port = uint16(bytes, portAt);
	const address = bytes.subarray(at, at + size);
	if (size === IPV4_SIZE) return { address: address.join("."), port };
	const bits = address.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
	return { address: plainIPv6(bits), port };
}

const COMMAND_AT = 12;
const FAMILY_AT = 13;
const LENGTH_AT = 14;

const LOCAL = 0x20; // version 2, command 0
const PROXY = 0x21;

const UNSPECIFIED = 0x00;
const STREAM = 0x01;
const DATAGRAM = 0x02;
const IPV4_SIZE = 4; // bytes
const IPV6_SIZE = 16;
const UNIX_SIZE = 108;
const ADDRESS_SIZES = [0, IPV4_SIZE, IPV6_SIZE, UNIX_SIZE]; // of AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX
