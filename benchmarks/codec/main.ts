/**
 * Netstrings in memory: what decoding and encoding cost, how many bytes they copy, and how that compares with what npm
 * has.
 *
 * What it defends against:
 * - Dead code: each pass returns how many netstrings and bytes it found, which are checked, and a sum over bytes that it
 *   looked at, which is used.
 * - JIT warm-up: a round that is not counted comes first, and each measurement lasts 100 ms or longer.
 * - Code that is fast because it is alone: all ways and all sizes share one process, as in a program that uses several;
 *   so what they share is compiled for all of them, and the loops that peers and we share see all their functions.
 * - Bytes that nobody touched: what hands up ranges need not read an interpretation at all, so its time for a large one
 *   says little. One row reads each cache line as well, and one does that without a decoder. Figures are times and not
 *   bytes a second. The stream is small enough for the caches of a core, as what a socket has just read is.
 * - Chunks that are too nice: they are 64 KiB, each with a buffer of its own as from a socket, and they cut netstrings,
 *   lengths and all, wherever that falls.
 * - Peers that are called in a way nobody would: they get the same chunks, and are called as their pages show. Tests
 *   hold what they find to what ours find. `nsWrite` is measured into a slab too, which few would think of.
 * - A noisy, shared machine: CPU time is measured, not the clock's; the ways run in turns, and each ratio is the median
 *   of the ratios within a round.
 *
 * Copies are counted in a pass that is not timed, with every way to copy bytes wrapped.
 */
import { type Comparison, compare, holdSpeed } from "../compare.js";
import { chunksOf, interpretationBytes, netstringBytes, repeated } from "../fixtures/packages.js";
import { CHUNK_BYTES } from "../measure.js";
import { benchmarkOptions } from "../options.js";
import { printTitle } from "../report.js";
import { decodePasses, FASTEST_PEER, RANGES, WHOLE } from "./decode.js";
import { encodePasses, PEER, SLAB } from "./encode.js";

const STREAM_BYTES = 512 * 1024;
const HELD_TO_TARGETS = 100; // bytes of an interpretation
const SIZES: readonly (readonly [name: string, length: number])[] = [
	["100 B", HELD_TO_TARGETS],
	["1 KiB", 1024],
	["1 MiB", 1024 * 1024],
];

const { rounds } = benchmarkOptions({ rounds: 7 });
printTitle("codec: netstrings in memory, chunks of 64 KiB", rounds);
for (const [name, length] of SIZES) await decode(name, length);
for (const [name, length] of SIZES) await encode(name, length);

async function decode(name: string, length: number): Promise<void> {
	const netstring = netstringBytes(interpretationBytes(length));
	const items = Math.ceil(STREAM_BYTES / netstring.length);
	const chunks = chunksOf(repeated(netstring, items), CHUNK_BYTES);
	const expected = { items, bytes: items * length };
	const comparison = of(`decode, ${name}`, decodePasses(chunks, expected), expected);
	const samples = await compare(comparison);
	if (length !== HELD_TO_TARGETS) return;
	holdSpeed(comparison, samples, { pass: RANGES, to: FASTEST_PEER, atLeast: 7 });
	holdSpeed(comparison, samples, { pass: WHOLE, to: FASTEST_PEER, atLeast: 2 });
}

async function encode(name: string, length: number): Promise<void> {
	const items = Math.ceil(STREAM_BYTES / length);
	const interpretations = chunksOf(repeated(interpretationBytes(length), items), length);
	const comparison = of(`encode, ${name}`, encodePasses(interpretations), { items, bytes: items * length });
	const samples = await compare(comparison);
	if (length === HELD_TO_TARGETS) holdSpeed(comparison, samples, { pass: SLAB, to: PEER, atLeast: 8 });
}

function of(title: string, passes: Comparison["passes"], expected: Comparison["expected"]): Comparison {
	return { benchmark: "codec", title, item: "netstring", passes, expected, rounds };
}
