/**
 * Netstrings and packages in memory: what decoding and encoding cost, and how many bytes they copy.
 *
 * What it defends against:
 * - Dead code: each pass returns how many items and bytes it found, which are checked, and a sum over bytes that it
 *   looked at, which is used.
 * - JIT warm-up: a round that is not counted comes first, and each measurement lasts 100 ms or longer. All ways share
 *   one decoder class and one process, as in a program that uses several; so its code is compiled for all of them.
 * - Bytes that nobody touched: what hands up ranges need not read a body at all, so its time for a large one says
 *   little. One row reads each cache line as well, and one does that without a decoder. Figures are times and not bytes
 *   a second. The stream is small enough for the caches of a core, as what a socket has just read is.
 * - Chunks that are too nice: they are 64 KiB, each with a buffer of its own as from a socket, and they cut netstrings,
 *   lengths and addresses wherever that falls.
 * - A noisy, shared machine: CPU time is measured, not the clock's; the ways run in turns, and each ratio is the median
 *   of the ratios within a round.
 *
 * Copies are counted in a pass that is not timed, with every way to copy bytes wrapped.
 */
import {
	chunksOf,
	interpretationBytes,
	netstringBytes,
	repeated,
	smallPackage,
} from "../fixtures/packages.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { inTurns, median, ratio, samplesOf } from "../rounds.js";
import { decodePasses } from "./decode.js";
import { encodePasses } from "./encode.js";
import { CHUNK_BYTES, copiedBytes, type Findings, type Pass, timed } from "./measure.js";
import { packagePasses } from "./packages.js";

const STREAM_BYTES = 512 * 1024;
const SIZES: readonly (readonly [name: string, length: number])[] = [
	["100 B", 100],
	["1 KiB", 1024],
	["1 MiB", 1024 * 1024],
];
const PACKAGE_BODY = 400;

const { rounds } = benchmarkOptions({ rounds: 5 });
printTitle("codec: netstrings and packages in memory, chunks of 64 KiB", rounds);
for (const [name, length] of SIZES) await decode(name, length);
for (const [name, length] of SIZES) await encode(name, length);
await packages();

async function decode(name: string, length: number): Promise<void> {
	const netstring = netstringBytes(interpretationBytes(length));
	const items = Math.ceil(STREAM_BYTES / netstring.length);
	const chunks = chunksOf(repeated(netstring, items), CHUNK_BYTES);
	await compareNetstrings(`decode, ${name}`, decodePasses(chunks, { items, bytes: items * length }), {
		items,
		bytes: items * length,
	});
}

async function encode(name: string, length: number): Promise<void> {
	const items = Math.ceil(STREAM_BYTES / length);
	const interpretations = chunksOf(repeated(interpretationBytes(length), items), length);
	await compareNetstrings(`encode, ${name}`, encodePasses(interpretations), { items, bytes: items * length });
}

async function compareNetstrings(
	title: string,
	passes: readonly Pass[],
	expected: Pick<Findings, "items" | "bytes">,
): Promise<void> {
	const samples = await inTurns(
		passes.map((pass) => timed(pass, expected)),
		rounds,
	);
	const first = (passes[0] as Pass).name;
	const rows = [[title, "ns/netstring", "ratio", "bytes copied/netstring"]];
	for (const pass of passes) {
		rows.push([
			pass.name,
			spread(samplesOf(samples, pass.name)),
			figure(ratio(samples, pass.name, first)),
			figure(await copiedBytes(pass, expected.items)),
		]);
	}
	printTable(rows);
}

async function packages(): Promise<void> {
	const one = smallPackage(PACKAGE_BODY);
	const items = Math.ceil(STREAM_BYTES / one.length);
	const passes = packagePasses(chunksOf(repeated(one, items), CHUNK_BYTES));
	const expected = { items, bytes: items * PACKAGE_BODY };
	const samples = await inTurns(
		passes.map((pass) => timed(pass, expected)),
		rounds,
	);
	const first = (passes[0] as Pass).name;
	const rows = [
		[
			`packages, ${PACKAGE_BODY} B, 1 recipient`,
			"packages/s",
			"ns/package",
			"ratio of speed",
			"bytes copied/package",
		],
	];
	for (const pass of passes) {
		const times = samplesOf(samples, pass.name);
		rows.push([
			pass.name,
			figure(1e9 / median(times)),
			spread(times),
			figure(1 / ratio(samples, pass.name, first)),
			figure(await copiedBytes(pass, items)),
		]);
	}
	printTable(rows);
}
