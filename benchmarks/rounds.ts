/**
 * Runs the variants of a benchmark in turns, so that whatever else the machine does meets all of them alike.
 *
 * In each round every variant runs once, in an order that moves on by one from round to round. A round goes before
 * them that is not counted, in which the code is compiled. Young garbage is collected before each measurement, so that
 * no variant pays for the one before it. All garbage would be too much: with the last object of a class V8 throws the
 * code away that it compiled for it.
 */

/** One of the things that are compared. */
export interface Variant {
	readonly name: string;
	/** Does the work once, checks its result, and returns what was measured. */
	run(): number | Promise<number>;
}

/** What was measured, by the variant's name; index n of each array is of round n. */
export type Samples = ReadonlyMap<string, readonly number[]>;

/** Measures all variants `rounds` times each. */
export async function inTurns(variants: readonly Variant[], rounds: number): Promise<Samples> {
	const samples = new Map<string, number[]>(variants.map(({ name }) => [name, []]));
	for (let round = -1; round < rounds; round++) {
		for (let turn = 0; turn < variants.length; turn++) {
			const { name, run } = variants[(turn + round + 1) % variants.length] as Variant;
			globalThis.gc?.({ type: "minor" });
			const value = await run();
			if (round >= 0) samples.get(name)?.push(value);
		}
	}
	return samples;
}

/** The samples of one variant. */
export function samplesOf(samples: Samples, name: string): readonly number[] {
	const values = samples.get(name);
	if (values === undefined) throw new Error(`there is no variant ${name}`);
	return values;
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	const upper = sorted[middle] as number;
	return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/**
 * How many times the one is the other: the median of each round's ratio, since what slows a round down slows both.
 */
export function ratio(samples: Samples, name: string, to: string): number {
	return median(ratios(samples, name, to));
}

/** How many times the one is the other, in each round. */
export function ratios(samples: Samples, name: string, to: string): number[] {
	const base = samplesOf(samples, to);
	return samplesOf(samples, name).map((value, round) => value / (base[round] as number));
}
