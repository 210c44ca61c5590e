/**
 * Removes what writers that are gone have left in tmp/.
 *
 * A file of this host is a left-over when its process has ended; its name tells both. Any other file is one when nobody
 * has touched it for 36 hours, as "Using maildir format" has it. A file of a process that lives is never removed before
 * that, so hosts, and containers that do not see each other's processes, need different names if they share a maildir.
 */
import { codeOf } from "./fault.js";
import type { MaildirFileSystem } from "./file-system.js";
import { type ParsedName, parseName } from "./name.js";

/**
 * Removes left-overs. It does not reject: what it cannot remove stays for the next time.
 *
 * @param tmp - The path of tmp/, with a slash at the end.
 * @param host - This host, as in names of files.
 */
export async function removeLeftOvers(
	fileSystem: MaildirFileSystem,
	tmp: string,
	host: string,
): Promise<void> {
	const names = await fileSystem.readdir(tmp).catch(() => []);
	const now = Date.now();
	for (const name of names) {
		if (name.startsWith(".")) continue; // no message; NFS keeps files under such names that are still open
		const path = tmp + name;
		try {
			const parsed = parseName(name);
			const ours = parsed !== null && parsed.host === host;
			if ((ours && isGone(parsed)) || (await isOld(fileSystem, path, now))) await fileSystem.unlink(path);
		} catch {
			// Somebody else removed it, or it is a directory, or it may not be removed.
		}
	}
}

/** True if the process that made a file on this host has ended. */
function isGone({ pid, seconds }: ParsedName): boolean {
	// In a container the same program often gets the same number each time. All threads of this process see files made
	// since it began as living ones. The earlier of two reckonings counts, in case the clock was set in between.
	if (pid === process.pid) return (seconds + CLOCK_SLACK_S) * 1000 < Math.min(STARTED_MS, startOfProcess());
	try {
		process.kill(pid, 0);
		return false;
	} catch (error) {
		return codeOf(error) === "ESRCH"; // EPERM: it lives, and is somebody else's
	}
}

async function isOld(fileSystem: MaildirFileSystem, path: string, now: number): Promise<boolean> {
	const { atimeMs, mtimeMs } = await fileSystem.lstat(path);
	return now - Math.max(atimeMs, mtimeMs) > OLD_MS; // the mtime too, since many mounts do not keep the atime
}

function startOfProcess(): number {
	return Date.now() - process.uptime() * 1000;
}

const STARTED_MS = startOfProcess();
const CLOCK_SLACK_S = 2;
const OLD_MS = 36 * 60 * 60 * 1000;
