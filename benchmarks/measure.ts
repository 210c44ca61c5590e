/** What the benchmarks in memory share: how a pass is timed, and how its result is held to what must come out. */
import { countCopies } from "./fixtures/count-copies.js";
import type { Variant } from "./rounds.js";

/** What a pass found. */
export interface Findings {
	/** Netstrings, packages or lines. */
	readonly items: number;
	/** Bytes of their interpretations or bodies, or what the lines are decoded to. */
	readonly bytes: number;
	/** A sum over bytes that were looked at. */
	readonly touched: number;
}

/** One way to do the work. A pass does it once for the whole stream. */
export interface Pass {
	readonly name: string;
	run(): Findings | Promise<Findings>;
}

/** Chunks as a socket hands them up. */
export const CHUNK_BYTES = 64 * 1024;

/**
 * A variant that repeats a pass for at least 100 ms, and returns nanoseconds of CPU time for each item: of this whole
 * process, so the collection of garbage counts, and what other processes do does not.
 *
 * @param expected - What each pass must find.
 */
export function timed(pass: Pass, expected: Pick<Findings, "items" | "bytes">): Variant {
	return {
		name: pass.name,
		async run() {
			const before = process.cpuUsage();
			let microseconds = 0;
			let passes = 0;
			// Twice as many each time, since to ask for the time may take longer than a pass.
			for (let batch = 1; microseconds < SHORTEST_RUN; batch *= 2) {
				for (const end = passes + batch; passes < end; passes++) {
					const result = pass.run();
					check(pass, result instanceof Promise ? await result : result, expected);
				}
				const { user, system } = process.cpuUsage(before);
				microseconds = user + system;
			}
			return (microseconds * 1000) / (passes * expected.items);
		},
	};
}

/** How many bytes a pass copies for each item. Not timed. */
export async function copiedBytes(pass: Pass, items: number): Promise<number> {
	const copied = await countCopies(async () => {
		await pass.run();
	});
	return copied / items;
}

function check(pass: Pass, found: Findings, expected: Pick<Findings, "items" | "bytes">): void {
	blackHole += found.touched; // so that no compiler can leave out what makes it
	const { items, bytes } = expected;
	if (found.items === items && found.bytes === bytes && !Number.isNaN(blackHole)) return;
	throw new Error(
		`${pass.name} found ${found.items} items of ${found.bytes} bytes, not ${items} of ${bytes}`,
	);
}

let blackHole = 0;
const SHORTEST_RUN = 100_000; // in microseconds
