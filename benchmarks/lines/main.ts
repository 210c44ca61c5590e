/**
 * CR LF to LF in memory: the line decoder beside what one would write with strings, on the same bytes.
 *
 * What it defends against:
 * - Dead code: each pass returns how many lines and bytes it found, which are checked, and a sum over the ends of what it
 *   made, which is used.
 * - Wrong results: before anything is timed, what the decoder makes of all chunks is compared with what the strings say.
 * - Strings that are not made: V8 puts off most of the work of a replacement until somebody looks at the text. So the
 *   yardstick looks at its last character; what it takes without is in a row of its own.
 * - A yardstick that does less: the text stays a string, though whoever stores it needs bytes; one more row has that.
 * - Fast paths that sockets would not take: the pieces are Buffers of 64 KiB, as sockets hand them up, and one row has
 *   plain arrays, whose `indexOf` is slower. Line ends are cut wherever that falls.
 * - Lines that suit us: 20 bytes, 76 as in mail, and 998, the longest that mail may have; and line ends only,
 *   where a search for each of them would cost most.
 * - JIT warm-up, and a noisy, shared machine: a round that is not counted comes first, each measurement lasts 100 ms or
 *   longer, in CPU time; the ways run in turns, and each ratio is the median of the ratios within a round.
 *
 * Copies are counted in a pass that is not timed, with every way to copy bytes wrapped; single bytes are not seen.
 */
import { LineDecoder } from "qmtp/protocol";
import { compare, holdSpeed } from "../compare.js";
import { chunksOf, repeated } from "../fixtures/packages.js";
import { CHUNK_BYTES, type Findings, type Pass } from "../measure.js";
import { benchmarkOptions } from "../options.js";
import { printTitle } from "../report.js";

const STREAM_BYTES = 512 * 1024;
const HELD_TO_TARGETS = 76; // bytes of a line
const LENGTHS = [20, HELD_TO_TARGETS, 998, 0];
const STRINGS = "latin1Slice, replaceAll";
const DECODER = "LineDecoder";
const LF = 0x0a;
const CR = 0x0d;

const { rounds } = benchmarkOptions({ rounds: 7 });
printTitle("lines: CR LF to LF in memory, chunks of 64 KiB", rounds);
for (const length of LENGTHS) await measure(length);

async function measure(length: number): Promise<void> {
	const line = Buffer.from(`${"x".repeat(length)}\r\n`);
	const items = Math.ceil(STREAM_BYTES / line.length);
	const text = repeated(line, items);
	const chunks = chunksOf(text, CHUNK_BYTES);
	checkDecoder(chunks, text);
	const title = `lines of ${length} B`;
	const passes = linePasses(chunks);
	const expected = { items, bytes: text.length - items };
	const comparison = { benchmark: "lines", title, item: "line", passes, expected, rounds };
	const samples = await compare(comparison);
	if (length === HELD_TO_TARGETS)
		holdSpeed(comparison, samples, { pass: DECODER, to: STRINGS, atLeast: 0.8 });
}

function linePasses(chunks: readonly Buffer[]): Pass[] {
	const arrays = chunks.map(({ buffer, byteOffset, length }) => new Uint8Array(buffer, byteOffset, length));
	return [
		{ name: STRINGS, run: () => replaced(chunks, (text) => text.charCodeAt(text.length - 1)) },
		{ name: "the same, not looked at", run: () => replaced(chunks, (text) => text.length) },
		{ name: "the same, and back to bytes", run: () => replaced(chunks, (text) => latin1(text).length) },
		{ name: DECODER, run: () => decoded(chunks) },
		{ name: "LineDecoder, plain Uint8Array", run: () => decoded(arrays) },
	];
}

/** Each chunk by itself. Of a line end that is cut both halves stay, which the count makes good. */
function replaced(chunks: readonly Buffer[], look: (text: string) => number): Findings {
	let [items, bytes, touched] = [0, 0, 0];
	let last: number | undefined;
	for (const chunk of chunks) {
		const text = latin1Slice(chunk).replaceAll("\r\n", "\n");
		const cut = last === CR && chunk[0] === LF ? 1 : 0;
		last = chunk[chunk.length - 1];
		touched += look(text);
		items += chunk.length - text.length + cut;
		bytes += text.length - cut;
	}
	return { items, bytes, touched };
}

function decoded(chunks: readonly Uint8Array[]): Findings {
	const decoder = new LineDecoder();
	let [read, bytes, touched] = [0, 0, 0];
	for (const chunk of chunks) {
		const piece = decoder.decode(chunk);
		read += chunk.length;
		bytes += piece.length;
		touched += (piece[0] as number) + (piece[piece.length - 1] as number);
	}
	bytes += decoder.end().length;
	return { items: read - bytes, bytes, touched };
}

function checkDecoder(chunks: readonly Buffer[], text: Buffer): void {
	const decoder = new LineDecoder();
	const all = Buffer.concat([...chunks.map((chunk) => decoder.decode(chunk)), decoder.end()]);
	if (all.equals(latin1(latin1Slice(text).replaceAll("\r\n", "\n")))) return;
	throw new Error("the line decoder and the strings do not agree");
}

/** What `toString("latin1")` calls; Node's types do not have it. */
function latin1Slice(bytes: Buffer): string {
	return (bytes as Buffer & { latin1Slice(): string }).latin1Slice();
}

function latin1(text: string): Buffer {
	return Buffer.from(text, "latin1");
}
