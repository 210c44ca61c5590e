/** Programs of others that tests talk to. Where one is missing a test is skipped and says so; in CI it fails. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, test } from "vitest";

/** Where the program is, or null. */
export function findProgram(name: string): string | null {
	const { PATH = "" } = process.env;
	const folders = [...PATH.split(delimiter), "/usr/sbin", "/usr/local/sbin"];
	return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** Runs `suite` if all programs are here. @param programs - Their names, and the Debian packages that bring them. */
export function describeWithPrograms(
	name: string,
	programs: Readonly<Record<string, string>>,
	suite: () => void,
): void {
	const missing = Object.entries(programs).filter(([program]) => findProgram(program) === null);
	if (missing.length === 0) {
		describe(name, suite);
		return;
	}
	test(name, (context) => {
		const names = missing.map(([program, debianPackage]) => `${program} (Debian package ${debianPackage})`);
		const note = `not installed here: ${names.join(", ")}`;
		const { CI } = process.env;
		if (CI === "true") throw new Error(note);
		context.skip(note);
	});
}
