/**
 * What is in new/, oldest first: as many files as one wants to know of, however many there are. Names are read without
 * their types: on a file system that does not tell them Node asks for each, and fails for all if one cannot be told. So
 * what is no regular file shows when it is opened.
 *
 * Source: D. J. Bernstein, "Using maildir format": a name begins with the time in seconds and a dot.
 */
import { lstat, readdir } from "node:fs/promises";
import { codeOf, isOfProcess } from "./fault.js";

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
 * Finds the oldest files whose names do not begin with a dot.
 *
 * @param directory - With a slash at the end.
 * @param most - How many.
 * @param isWanted - Asked for each name.
 * @throws What the system says of the directory. A file that it says nothing of is among the oldest.
 */
export async function oldestFiles(
	directory: string,
	most: number,
	isWanted: (name: string) => boolean,
): Promise<Listing> {
	let files: FoundFile[] = [];
	let count = 0;
	let newest = Number.POSITIVE_INFINITY; // later ones are not among the oldest
	for (const name of await readdir(directory, "latin1")) {
		if (name.startsWith(".") || !isWanted(name)) continue;
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

/** Null if it is gone, or no regular file. */
async function timeOf(directory: string, name: string): Promise<number | null> {
	try {
		const stats = await lstat(pathOf(directory, name));
		return stats.isFile() ? stats.mtimeMs : null;
	} catch (error) {
		if (isOfProcess(error)) throw error;
		return codeOf(error) === "ENOENT" ? null : 0; // who opens it tells what is wrong with it
	}
}

// Names of one second are in the order of their bytes, which is that of time in ours.
function newestFirst(a: FoundFile, b: FoundFile): number {
	return b.dueAt - a.dueAt || (a.name < b.name ? 1 : -1);
}

const TIME = /^(\d{9,11})\./; // what has fewer digits is no time since 1973
