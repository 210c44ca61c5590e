/** A folder for what a benchmark writes: below TMPDIR, and removed when the process ends, also by a signal. */
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

/** Makes a new folder, and returns its path. */
export function temporaryFolder(): string {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-bench-"));
	process.on("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
		process.once(signal, () => process.exit(128 + constants.signals[signal]));
	}
	return folder;
}
