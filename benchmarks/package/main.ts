/**
 * Packages in memory: what decoding and encoding cost, and how many bytes they copy. The yardstick for the decoder is
 * one hand-made machine that calls back; it is as strict, but cannot be stopped between two packages, and knows one limit.
 *
 * What it defends against:
 * - Dead code: each pass returns how many packages and bytes it found, which are checked, and a sum over bytes that it
 *   looked at, which is used.
 * - A yardstick that does less: tests hold it to the decoder, in what it finds and in what it refuses.
 * - JIT warm-up: a round that is not counted comes first, and each measurement lasts 100 ms or longer.
 * - Code that is fast because it is alone: `step()` and `next()` share one class and one process, and the two netstring
 *   decoders in it one machine code.
 * - Bytes that nobody touched: every byte of an address is read, as whoever makes a string of it does, and the ends of
 *   each piece of a body. The rest of a body costs nothing here, which is why figures are packages and not bytes a second.
 * - Chunks that are too nice: they are 64 KiB, each with a buffer of its own as from a socket, and they cut bodies,
 *   lengths and addresses wherever that falls.
 * - A noisy, shared machine: CPU time is measured, not the clock's; the ways run in turns, and each ratio is the median
 *   of the ratios within a round.
 *
 * Copies are counted in a pass that is not timed, with every way to copy bytes wrapped.
 */
import { type Comparison, compare, holdSpeed } from "../compare.js";
import { chunksOf, messageBody, packageBytes, repeated } from "../fixtures/packages.js";
import { CHUNK_BYTES } from "../measure.js";
import { benchmarkOptions } from "../options.js";
import { printTitle } from "../report.js";
import { decodePasses, EVENTS, STEPS, YARDSTICK } from "./decode.js";
import { encodePasses } from "./encode.js";

const STREAM_BYTES = 512 * 1024;
const BODY_BYTES = 400;
const SENDER = "sender@example.org";
const HELD_TO_TARGETS = 1; // recipient

const { rounds } = benchmarkOptions({ rounds: 7 });
printTitle(`package: packages of ${BODY_BYTES} B in memory, chunks of 64 KiB`, rounds);
for (const recipients of [HELD_TO_TARGETS, 10]) await decode(recipients);
for (const recipients of [HELD_TO_TARGETS, 10]) await encode(recipients);

async function decode(recipients: number): Promise<void> {
	const one = packageBytes({ body: messageBody(BODY_BYTES), ...envelope(recipients) });
	const items = Math.ceil(STREAM_BYTES / one.length);
	const passes = decodePasses(chunksOf(repeated(one, items), CHUNK_BYTES));
	const comparison = of("decode", recipients, passes, { items, bytes: items * BODY_BYTES });
	const samples = await compare(comparison);
	if (recipients !== HELD_TO_TARGETS) return;
	for (const pass of [STEPS, EVENTS]) {
		holdSpeed(comparison, samples, { pass, to: YARDSTICK, atLeast: 0.8, orPerSecond: 2_000_000 });
	}
}

async function encode(recipients: number): Promise<void> {
	const body = messageBody(BODY_BYTES);
	const { length } = packageBytes({ body, ...envelope(recipients) });
	const items = Math.ceil(STREAM_BYTES / length);
	const passes = encodePasses(envelope(recipients), body, items);
	await compare(of("encode", recipients, passes, { items, bytes: items * length }));
}

function envelope(recipients: number): { sender: string; recipients: string[] } {
	return {
		sender: SENDER,
		recipients: Array.from({ length: recipients }, () => "recipient@example.com"),
	};
}

function of(
	work: string,
	recipients: number,
	passes: Comparison["passes"],
	expected: Comparison["expected"],
): Comparison {
	const title = `${work}, ${recipients} ${recipients === 1 ? "recipient" : "recipients"}`;
	return { benchmark: "package", title, item: "package", passes, expected, rounds };
}
