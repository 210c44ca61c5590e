/** Which file it is, and in which state: whether what is under a name is still what was read there. */
import type { Stats } from "node:fs";

/** What tells one state of one file from others. */
export interface Mark {
	readonly dev: number;
	readonly ino: number;
	readonly size: number;
	readonly mtimeMs: number;
}

/** The mark of a file. It keeps nothing else of these. */
export function markOf({ dev, ino, size, mtimeMs }: Stats): Mark {
	return { dev, ino, size, mtimeMs };
}

/** True if it is the same file, and nothing was written to it. */
export function isSame(one: Mark, other: Mark): boolean {
	return (
		one.ino === other.ino && one.dev === other.dev && one.size === other.size && one.mtimeMs === other.mtimeMs
	);
}
