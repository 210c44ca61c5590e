/**
 * What is in new/, oldest first: as many files as one wants to know of, however many there are. The names are read as a
 * stream, and what is beyond the oldest so many is let go of on the way.
 *
 * Source: D. J. Bernstein, "Using maildir format": a name begins with the time in seconds and a dot.
 */
import { lstat, opendir } from "node:fs/promises";

/** A file that was found. */
export interface FoundFile {
	/** One character is one byte. */
	readonly name: string;
	/** When it came, in ms since 1970: by its name, or when it was written if that says nothing. */
	readonly dueAt: number;
}

/** What was found. */
export interface Listing {
	/** The oldest is the last. */
	readonly files: FoundFile[];
	/** There are more. */
	readonly more: boolean;
}

/**
 * Finds the oldest regular files whose names do not begin with a dot.
 *
 * @param directory - With a slash at the end.
 * @param most - How many.
 * @param isWanted - Asked for each name.
 * @throws What the system says.
 */
export async function oldestFiles(
	directory: string,
	most: number,
	isWanted: (name: string) => boolean,
): Promise<Listing> {
	let files: FoundFile[] = [];
	let count = 0;
	let newest = Number.POSITIVE_INFINITY; // later ones are not among the oldest
	for await (const entry of await opendir(directory, { encoding: "latin1", bufferSize: NAMES_AT_ONCE })) {
		const { name } = entry;
		if (name.startsWith(".") || !isWanted(name) || !entry.isFile()) continue;
		const dueAt = timeIn(name) ?? (await timeOf(directory, name));
		if (dueAt === null) continue;
		count++;
		if (dueAt > newest) continue;
		files.push({ name, dueAt });
		if (files.length < 2 * most) continue;
		files = files.sort(newestFirst).slice(most);
		newest = files[0]?.dueAt as number;
	}
	files.sort(newestFirst);
	return { files: files.slice(Math.max(0, files.length - most)), more: count > most };
}

/** The path of a file. @param directory - With a slash at the end. */
export function pathOf(directory: string, name: string): Buffer {
	return Buffer.concat([Buffer.from(directory), Buffer.from(name, "latin1")]);
}

function timeIn(name: string): number | null {
	const match = TIME.exec(name);
	return match === null ? null : Number(match[1]) * 1000;
}

/** Null if it is gone. */
async function timeOf(directory: string, name: string): Promise<number | null> {
	try {
		return (await lstat(pathOf(directory, name))).mtimeMs;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw error;
	}
}

// Names of one second are in the order of their bytes, which is that of time in ours.
function newestFirst(a: FoundFile, b: FoundFile): number {
	return b.dueAt - a.dueAt || (a.name < b.name ? 1 : -1);
}

const TIME = /^(\d{9,11})\./; // what has fewer digits is no time since 1973
const NAMES_AT_ONCE = 1024;
