/**
 * A surface: a place where bytes come in that somebody else made, and what must hold there for any of them.
 *
 * An input is plain JSON, one character a byte, so that it can be kept in the corpus as it was found. How a stream is
 * cut into chunks is a part of it; what the surface makes of it is compared with an oracle that never saw a chunk.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type fc from "fast-check";
import { bytesOf } from "../support/bytes.js";
import { cut } from "../support/every-split.js";

/** One surface, whatever its inputs look like. */
export interface Surface {
	/** Also the name of its folder in the corpus. */
	readonly name: string;
	readonly inputs: fc.Arbitrary<unknown>;
	/** How many inputs `npm test` tries. */
	readonly runs: number;
	/** Throws if something does not hold that must. */
	check(input: unknown): void | Promise<void>;
}

/** What a stream is cut into: at these points, modulo its length, or into single bytes. */
export type Cuts = readonly number[] | "each byte";

/** A stream, cut. */
export interface Stream {
	readonly text: string;
	readonly cuts: Cuts;
}

/** Makes a surface; what comes into `check` is what `inputs` makes, or a file of the corpus. */
export function surface<Input>(
	name: string,
	runs: number,
	inputs: fc.Arbitrary<Input>,
	check: (input: Input) => void | Promise<void>,
): Surface {
	return { name, runs, inputs, check: (input) => check(input as Input) };
}

/** The chunks of a stream, each with a buffer of its own. */
export function chunksOf({ text, cuts }: Stream): Uint8Array[] {
	const bytes = bytesOf(text);
	if (cuts === "each byte") return Array.from(bytes, (byte) => Uint8Array.of(byte));
	return cut(
		bytes,
		cuts.map((point) => point % (bytes.length + 1)),
	);
}

/** vitest's assertions take longer than the decoding, so only what differs gets to one. */
export function same(actual: unknown, expected: unknown, what?: string): void {
	if (!isDeepStrictEqual(actual, expected)) assert.deepStrictEqual(actual, expected, what);
}

/** What `run` returns, or the code of what it throws, which must be one of these. */
export function resultOrCode<T>(run: () => T, codes: readonly string[]): T | string {
	try {
		return run();
	} catch (error) {
		const { name, code } = error as { name?: string; code?: string };
		if (name !== "UsageError" || code === undefined || !codes.includes(code)) throw error;
		return code;
	}
}
