/**
 * IPv6 addresses as numbers of 128 bits, so that all ways to write one compare equal, and the one way to print them.
 *
 * Source: RFC 4291, sections 2.2 and 2.5.5.2; RFC 5952, section 4
 */
import { isIPv6 } from "node:net";

/** The address without its scope id, or null if it is no IPv6 address. */
export function ipv6Bits(address: string): bigint | null {
	if (!isIPv6(address)) return null;
	const [unscoped = ""] = address.split("%", 1);
	const [head = "", tail] = dottedToGroups(unscoped).split("::");
	const before = groupsOf(head);
	const after = groupsOf(tail ?? "");
	const zeros = new Array<string>(8 - before.length - after.length).fill("0");
	const digits = [...before, ...zeros, ...after].map((group) => group.padStart(4, "0"));
	return BigInt(`0x${digits.join("")}`);
}

/** The address as RFC 5952 writes it, but an IPv4 address inside never with dots. */
export function ipv6Text(bits: bigint): string {
	const groups = [112n, 96n, 80n, 64n, 48n, 32n, 16n, 0n].map((shift) => (bits >> shift) & 0xffffn);
	const text = groups.map((group) => group.toString(16)).join(":");
	let zeros = "";
	let start = 0;
	for (const match of text.matchAll(/\b0(?::0)+\b/g)) {
		if (match[0].length > zeros.length) [zeros, start] = [match[0], match.index];
	}
	if (zeros === "") return text;
	const before = text.slice(0, start).replace(/:$/, "");
	const after = text.slice(start + zeros.length).replace(/^:/, "");
	return `${before}::${after}`;
}

/** The first bits of an address, and zeros for the others. */
export function ipv6Network(bits: bigint, length: number): bigint {
	const rest = BigInt(128 - length);
	return (bits >> rest) << rest;
}

/** The IPv4 address in dotted form if the address is an IPv4-mapped one (`::ffff:0:0/96`), else null. */
export function mappedIPv4(bits: bigint): string | null {
	if (bits >> 32n !== 0xffffn) return null;
	return [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 0xffn).join(".");
}

/** The last 32 bits may be written with dots: these become two groups. */
function dottedToGroups(text: string): string {
	if (!text.includes(".")) return text;
	const cut = text.lastIndexOf(":") + 1;
	const [a = 0, b = 0, c = 0, d = 0] = text.slice(cut).split(".").map(Number);
	return `${text.slice(0, cut)}${(256 * a + b).toString(16)}:${(256 * c + d).toString(16)}`;
}

function groupsOf(text: string): string[] {
	return text === "" ? [] : text.split(":");
}
