/**
 * Names of files in a maildir: `<seconds>.M<microseconds>P<process>Q<number>.<host>`, unique for ever on all hosts.
 *
 * Source: D. J. Bernstein, "Using maildir format", on unique names.
 */
import { randomInt } from "node:crypto";

/** What {@link parseName} reads out of a name. */
export interface ParsedName {
	/** When the file was made, in seconds since 1970, by its maker's clock. */
	readonly seconds: number;
	/** The process that made it. */
	readonly pid: number;
	/** The host of that process, encoded as {@link encodeHost} does. */
	readonly host: string;
}

/** A new name on a host, which {@link encodeHost} has encoded. Names sort in the order in which they were made. */
export function uniqueName(host: string): string {
	const now = Date.now();
	const seconds = Math.floor(now / 1000);
	const microseconds = String((now % 1000) * 1000).padStart(6, "0");
	return `${seconds}.M${microseconds}P${process.pid}Q${number++}.${host}`;
}

/** The parts of a name that {@link uniqueName} could have made, or null. */
export function parseName(name: string): ParsedName | null {
	const match = NAME.exec(name);
	if (match === null) return null;
	return { seconds: Number(match[1]), pid: Number(match[2]), host: match[4] as string };
}

/** The number in a name that {@link uniqueName} could have made, as digits, which no other name has; or null. */
export function numberIn(name: string): string | null {
	const number = NAME.exec(name)?.[3];
	return number === undefined || number.length < DIGITS ? null : number; // others count from 1
}

/** A host name as it stands in names of files, where a slash would end it and a colon begins flags. */
export function encodeHost(hostname: string): string {
	return hostname.replaceAll("/", "\\057").replaceAll(":", "\\072");
}

const NAME = /^(\d+)\.M\d+P(\d+)Q(\d+)\.(.+)$/;

const DIGITS = 16;

// It starts at random, since threads share a process number, and so do the processes of containers that call themselves
// by one host name. Always sixteen digits, so that names of one millisecond sort by it.
let number = 1_000_000_000_000_000 + randomInt(2 ** 48 - 1);
