/** A new file with a unique name. */
import { codeOf } from "./fault.js";
import type { MaildirFileSystem } from "./file-system.js";
import { uniqueName } from "./name.js";

/** A file that was made and is open. */
export interface NewFile {
	readonly name: string;
	readonly path: string;
	readonly descriptor: number;
}

/**
 * Makes a file in `directory`, a path that ends in a slash. It never opens one that is there.
 *
 * @param flags - Those of `fs.open`, with "x".
 */
export async function createFile(
	fileSystem: MaildirFileSystem,
	directory: string,
	host: string,
	flags: "wx" | "wx+",
): Promise<NewFile> {
	for (let attempt = 1; ; attempt++) {
		const name = uniqueName(host);
		const path = directory + name;
		try {
			return { name, path, descriptor: await fileSystem.open(path, flags, FILE_MODE) };
		} catch (error) {
			if (codeOf(error) !== "EEXIST" || attempt === ATTEMPTS) throw error;
		}
	}
}

const FILE_MODE = 0o600;
const ATTEMPTS = 10;
