/** The real tinydns, on an address of this machine of its own: it listens on port 53 and nowhere else. */
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram } from "./peers.js";
import { startProcess } from "./processes.js";
import { withDirectory } from "./program.js";

/** The programs that it takes, and the Debian packages that bring them. */
export const TINYDNS_PROGRAMS = { tinydns: "tinydns", "tinydns-data": "tinydns" } as const;

/** Serves these lines of data, and hands the server's address to `use`; afterwards it has ended. Needs root. */
export async function withTinydns(data: string, use: (address: string) => Promise<void>): Promise<void> {
	await withDirectory(async (root) => {
		await writeFile(join(root, "data"), data);
		execFileSync(findProgram("tinydns-data") as string, { cwd: root });
		const { address, stop } = await start(root);
		try {
			await use(address);
		} finally {
			await stop();
		}
	});
}

/** Starts it on the first address that no other test has taken. */
async function start(root: string): Promise<{ address: string; stop(): Promise<void> }> {
	for (let tried = 0; ; tried++) {
		const address = `127.0.53.${1 + ((process.pid + tried) % 254)}`;
		const env = { ...process.env, ROOT: root, IP: address, UID: "0", GID: "0" };
		const { until, stop } = startProcess(findProgram("tinydns") as string, [], { env });
		try {
			await until(/starting tinydns/);
			return { address, stop };
		} catch (error) {
			if (tried === MOST_TRIES) throw error;
		}
	}
}

const MOST_TRIES = 10;
