/** What the decoder of PROXY headers makes of bytes, for tests. */
import { expect } from "vitest";
import { ProtocolError } from "../../src/errors.js";
import { ProxyHeaderDecoder } from "../../src/server/proxy/decoder.js";
import type { ProxyHeader } from "../../src/server/proxy-header.js";
import { bytesOf, concat, copyOf, textOf } from "./bytes.js";
import { everySplit } from "./every-split.js";

/** A header and what is behind it, no header yet, or where it is wrong. */
export interface Outcome {
	readonly header?: ProxyHeader | null;
	readonly rest?: string;
	readonly offset?: number;
}

/** Throws what is no error of a header. */
export function outcome(chunks: readonly Uint8Array[]): Outcome {
	const decoder = new ProxyHeaderDecoder();
	try {
		for (const [index, chunk] of chunks.entries()) {
			decoder.receive(copyOf(chunk));
			const header = decoder.next();
			if (header === null) continue;
			return { header, rest: textOf(concat([decoder.rest, ...chunks.slice(index + 1)])) };
		}
		return { header: null };
	} catch (error) {
		if (!(error instanceof ProtocolError) || error.code !== "ERR_QMTP_PROXY_HEADER") throw error;
		return { offset: error.offset };
	}
}

/** The header in all its splits, with and without something behind it. */
export function decoded(bytes: Uint8Array, inSplits = true): ProxyHeader {
	const alone = outcome([copyOf(bytes)]);
	expect(alone.rest).toBe("");
	const followed = concat([bytes, bytesOf("\r\n1")]);
	const result = inSplits ? everySplit(followed, outcome) : outcome([followed]);
	expect(result).toEqual({ header: alone.header, rest: "\r\n1" });
	return alone.header as ProxyHeader;
}

/** Where it is refused, in all its splits. */
export function refusal(bytes: Uint8Array): number | undefined {
	return everySplit(bytes, outcome).offset;
}

/** A header that tells this, and nothing else. */
export function header(told: Partial<ProxyHeader>): ProxyHeader {
	const nothing = { source: null, destination: null, tls: null, authority: null, alpn: null, uniqueId: null };
	return { version: 2, command: "proxy", ...nothing, ...told };
}

/** The addresses of a header. */
export function ends(from: string, fromPort: number, to: string, toPort: number): Partial<ProxyHeader> {
	return { source: { address: from, port: fromPort }, destination: { address: to, port: toPort } };
}

/** A header without addresses. */
export const NO_ENDS: Partial<ProxyHeader> = { source: null, destination: null };
/** Those of the test encoder's IPv4 header. */
export const IPV4_ENDS: Partial<ProxyHeader> = ends("192.0.2.1", 56324, "198.51.100.7", 209);
