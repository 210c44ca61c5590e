/** Whether what a server holds grows: the median of the last third of the samples against that of the first. */
import { median } from "../rounds.js";
import type { Holding } from "./server.js";

/** What came out. */
export interface Growth {
	/** In bytes. */
	readonly memory: number;
	readonly descriptors: number;
}

/** The growth after the warm-up, or null if there are too few samples. @param quiet - The first is the start. */
export function growthOf(quiet: readonly Holding[]): Growth | null {
	const samples = quiet.slice(1 + WARM_UP);
	const third = Math.floor(samples.length / 3);
	if (third < LEAST_IN_THIRD) return null;
	const between = (value: (holding: Holding) => number) =>
		median(samples.slice(-third).map(value)) - median(samples.slice(0, third).map(value));
	return { memory: between(({ memory }) => memory), descriptors: between(({ descriptors }) => descriptors) };
}

/** Turns of a server that are not counted: its heap and its caches take their size in them. */
export const WARM_UP = 2;

const LEAST_IN_THIRD = 2;

/**
 * The most that the memory of a server may grow. Runs of one and of five minutes, on two cores that were busy with other
 * things too, grew by -2.5 to 12 MiB, and by 21 MiB once with a shorter warm-up. A server that kept its sessions, and
 * 16 KiB with each of them, grew by 64 MiB in a minute. A leak that is slower than that needs a longer run.
 */
export const MOST_MEMORY: number = 32 * 1024 * 1024;
/** The most that its descriptors may. */
export const MOST_DESCRIPTORS = 1;
