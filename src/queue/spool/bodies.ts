/**
 * The directory of large bodies. A file is written while its message arrives, and belongs to the spool when a message of
 * the database names it. Its name is the message's id and the number of the process that made it, so that what crashed
 * deliveries left is told apart by names alone; no body is opened for that.
 */
import { lstat, mkdir, open, readdir, unlink } from "node:fs/promises";
import { BodyFile } from "./body-file.js";
import { codeOf } from "./fault.js";

/** The directory. */
export class Bodies {
	/** Its path, with a slash at the end. */
	readonly path: string;

	/** @param spool - The path of the spool. */
	constructor(spool: string) {
		this.path = `${spool}/bodies/`;
	}

	/** A new file for the body of a message. It is made with the first write. */
	create(id: string): BodyFile {
		return new BodyFile(this.path, `${id}.P${process.pid}`);
	}

	/** Makes the names in it durable. */
	sync(): Promise<void> {
		return syncDirectory(this.path);
	}

	/** Removes a file. It does not reject: what stays is removed with the left-overs. */
	async remove(name: string): Promise<void> {
		await unlink(this.path + name).catch(ignore);
	}

	/** Makes the directory if it is missing. */
	async make(): Promise<void> {
		await mkdir(this.path, { mode: DIRECTORY_MODE, recursive: true });
	}

	/**
	 * Removes the files that no message names and whose process is gone, or that nobody has touched for 36 hours.
	 *
	 * @param isNamed - Whether the message of this id names the file, as the database is now.
	 */
	async removeLeftOvers(isNamed: (id: string, name: string) => boolean): Promise<void> {
		let looked = 0;
		for (const name of await readdir(this.path)) {
			const [, id = "", pid = ""] = NAME.exec(name) ?? [];
			// In this order: what is gone names nothing any more, so what is not named then will never be.
			if (!(await this.#isAbandoned(name, Number(pid)))) continue;
			if (!isNamed(id, name)) await this.remove(name);
			if (++looked % AT_ONCE === 0) await new Promise(setImmediate); // looking is done in this thread
		}
	}

	async #isAbandoned(name: string, pid: number): Promise<boolean> {
		if (pid !== process.pid && isGone(pid)) return true;
		try {
			const { mtimeMs } = await lstat(this.path + name);
			// In a container the same program often gets the same number each time.
			if (pid === process.pid && mtimeMs + CLOCK_SLACK_MS < Math.min(STARTED_MS, startOfProcess()))
				return true;
			return Date.now() - mtimeMs > OLD_MS;
		} catch {
			return false; // somebody else removed it
		}
	}
}

/** Makes the entries of a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
	const directory = await open(path, "r");
	try {
		await directory.sync();
	} finally {
		await directory.close();
	}
}

/** True if there is no process of this number. Of a name that no spool made nobody knows. */
function isGone(pid: number): boolean {
	if (!(pid > 0)) return false;
	try {
		process.kill(pid, 0);
		return false;
	} catch (error) {
		return codeOf(error) === "ESRCH"; // EPERM: it lives, and is somebody else's
	}
}

function startOfProcess(): number {
	return Date.now() - process.uptime() * 1000;
}

function ignore(): void {}

/** For everything that a spool makes: mail is nobody else's business. */
export const DIRECTORY_MODE = 0o700;

const NAME = /^(\d+)\.P(\d+)$/;
const AT_ONCE = 1000;
const STARTED_MS = startOfProcess();
const CLOCK_SLACK_MS = 2000;
const OLD_MS = 36 * 60 * 60 * 1000;
