/** Programs of others that benchmarks run. `npm run bench:peers:install` brings them from Debian. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { env } from "node:process";

/** Their names, and the Debian packages that they are in. */
export const PROGRAMS = {
	"qmtpfront-echo": "mailfront",
	tcpserver: "ucspi-tcp",
	"smtp-source": "postfix",
} as const;

/** Where a program is, or null. */
export function findProgram(name: keyof typeof PROGRAMS): string | null {
	const { PATH = "" } = env;
	const folders = [...PATH.split(delimiter), "/usr/sbin", "/usr/local/sbin"];
	return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** Whether all of them are here; says which are not, and what brings them. */
export function areHere(names: readonly (keyof typeof PROGRAMS)[]): boolean {
	const missing = names.filter((name) => findProgram(name) === null);
	const list = missing.map((name) => `${name} (Debian package ${PROGRAMS[name]})`).join(", ");
	if (missing.length > 0) {
		console.log(`\n  skipped, not installed here: ${list}; npm run bench:peers:install brings it`);
	}
	return missing.length === 0;
}
