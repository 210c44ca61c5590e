/**
 * The addresses of rules as people write them: where one ends, the ranges in it, and IPv6.
 *
 * Source: tcprules(1), "Addresses"; the details of ranges are what `tcprules` does
 */
import { ipv6Bits, mappedIPv4 } from "./ipv6.js";
import { ipv6Key } from "./tcprules-lookup.js";

/**
 * The index of the colon that ends the address of a line; null for a line without a colon, which is none, and "bad" for
 * brackets that do not end. It is the first colon, unless that stands in brackets.
 */
export function addressEnd(line: string): number | "bad" | null {
	const colon = line.indexOf(":");
	if (colon === -1) return null;
	const start = bracketStart(line);
	if (start === null) return colon;
	const bracket = line.indexOf("]", start);
	const end = bracket === -1 ? -1 : line.indexOf(":", bracket);
	return end === -1 ? "bad" : end;
}

/** The keys that an address stands for, in order; null if it cannot be understood. */
export function expandAddress(address: string): string[] | null {
	const start = bracketStart(address);
	if (start !== null) {
		const key = bracketKey(address.slice(start), start > 0);
		return key === null ? null : [address.slice(0, start) + key];
	}
	const dash = /[=@]/.test(address) ? -1 : address.indexOf("-");
	return dash === -1 ? [address] : expandRange(address, dash);
}

/** The number of bits of a key that is a network; null for all other keys. */
export function networkBits(key: string): number | null {
	const [, bits] = /^\[[0-9a-f:]+\]\/(\d+)$/.exec(key) ?? [];
	return bits === undefined ? null : Number(bits);
}

/** Where the bracket of "[address]" or "info@[address]" opens; null if that is not how the text begins. */
function bracketStart(text: string): number | null {
	const [head = ""] = text.split(":", 1);
	const start = head.lastIndexOf("@") + 1;
	return head[start] === "[" ? start : null;
}

/**
 * The range around this dash, one key for each number: from the dot before it to the dot behind it. The last number is
 * at most 255, a range that goes down is empty, and no other dash of the address makes a range.
 */
function expandRange(address: string, dash: number): string[] | null {
	const left = address.lastIndexOf(".", dash) + 1;
	const dot = address.indexOf(".", dash);
	const right = dot === -1 ? address.length : dot;
	const first = rangeNumber(address.slice(left, dash));
	const last = rangeNumber(address.slice(dash + 1, right));
	if (first === null || last === null) return null;
	const keys: string[] = [];
	for (let number = first; number <= last && number <= 255n; number++) {
		keys.push(address.slice(0, left) + number + address.slice(right));
	}
	return keys;
}

/** None is 0, and a number has 64 bits: tcprules counts on when they are full. A NUL ends it. */
function rangeNumber(text: string): bigint | null {
	const [digits = ""] = text.split("\0", 1);
	return /^\d*$/.test(digits) ? BigInt.asUintN(64, BigInt(digits)) : null;
}

/**
 * The key of "[address]" or "[address]/bits". An IPv4-mapped address is refused, for its clients are looked up by their
 * IPv4 address; so are scope ids, and a network behind "info@", which tcpserver looks up with whole addresses only: each
 * would be a rule that says less or more than it seems to.
 */
function bracketKey(text: string, withInfo: boolean): string | null {
	const [, address = "", length] = /^\[([^\]%]*)\](?:\/(\d{1,3}))?$/.exec(text) ?? [];
	const bits = ipv6Bits(address);
	if (bits === null) return null;
	if (length === undefined) return mappedIPv4(bits) === null ? ipv6Key(bits) : null;
	const count = Number(length);
	if (withInfo || count > 128 || (count >= 96 && mappedIPv4(bits) !== null)) return null;
	return ipv6Key(bits, count);
}
