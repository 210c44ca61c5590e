/**
 * Runs a decoder over every way to cut its input into chunks: a decoder's result must not depend on where the network
 * cuts. Each chunk has a buffer of its own, so that a view that reaches past its chunk is found out.
 */
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";
import { copyOf } from "./bytes.js";

/**
 * Calls `run` with the bytes whole; with every one-point cut and, below 200 bytes, every two-point cut; byte by byte;
 * and with empty chunks between. Each result must equal the first one.
 *
 * @returns What `run` made of the whole.
 */
export function everySplit<T>(bytes: Uint8Array, run: (chunks: Uint8Array[]) => T): T {
	const whole = run([copyOf(bytes)]);
	for (const points of cutPoints(bytes.length)) compare(run(cut(bytes, points)), whole, points);
	return whole;
}

/** The same as {@link everySplit} for a `run` that returns a promise. */
export async function everySplitAsync<T>(
	bytes: Uint8Array,
	run: (chunks: Uint8Array[]) => Promise<T>,
): Promise<T> {
	const whole = await run([copyOf(bytes)]);
	for (const points of cutPoints(bytes.length)) compare(await run(cut(bytes, points)), whole, points);
	return whole;
}

/** Calls `run` with every proper prefix, the empty one included. */
export function everyPrefix(bytes: Uint8Array, run: (prefix: Uint8Array) => void): void {
	for (let length = 0; length < bytes.length; length++) run(copyOf(bytes.subarray(0, length)));
}

/** Cuts bytes at some points, given in any order. Two equal points make an empty chunk. */
export function cut(bytes: Uint8Array, points: readonly number[]): Uint8Array[] {
	const sorted = [...points].sort((a, b) => a - b);
	const ends = [...sorted, bytes.length];
	return ends.map((end, index) => copyOf(bytes.subarray(index === 0 ? 0 : ends[index - 1], end)));
}

/** Cuts bytes into chunks of one size; the last one may be shorter. */
export function chunksOf(bytes: Uint8Array, size: number): Uint8Array[] {
	const points = [];
	for (let point = size; point < bytes.length; point += size) points.push(point);
	return cut(bytes, points);
}

function* cutPoints(length: number): Generator<number[]> {
	for (let first = 0; first <= length; first++) {
		yield [first];
		if (length >= LONGEST_TWO_POINT) continue;
		for (let second = first + 1; second < length; second++) yield [first, second];
	}
	const all = Array.from({ length: length + 1 }, (_, point) => point);
	yield all.slice(1, -1); // byte by byte
	yield all.flatMap((point) => [point, point]); // and with an empty chunk between each two
}

function compare(result: unknown, whole: unknown, points: readonly number[]): void {
	// The assertion is slow, and there are up to 20,000 comparisons for each input.
	if (!isDeepStrictEqual(result, whole)) expect(result, `cut at ${points.join(", ")}`).toStrictEqual(whole);
}

const LONGEST_TWO_POINT = 200; // bytes
