/** Holds back and fails what LMDB does to the database of a spool: see spool-shim.c. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** What it needs, and the Debian package that brings it. */
export const SHIM_PROGRAMS: Readonly<Record<string, string>> = { gcc: "gcc and libc6-dev" };

/** Calls of LMDB: the sync of pages, their writing, and the writing of a root, which ends a transaction. */
export type ShimCall = "sync" | "write" | "root";

/** The shim, compiled, and what it is to do. */
export class SpoolShim {
	readonly #directory: string;

	/** @param directory - It is made. */
	constructor(directory: string) {
		this.#directory = directory;
		mkdirSync(directory);
		const source = fileURLToPath(new URL("spool-shim.c", import.meta.url));
		execFileSync("gcc", ["-shared", "-fPIC", "-Wall", "-o", join(directory, "shim.so"), source, "-ldl"]);
	}

	/** The environment of a program that is to have it. */
	get env(): Record<string, string> {
		return { LD_PRELOAD: join(this.#directory, "shim.so"), SPOOL_SHIM: this.#directory };
	}

	/** Holds such calls from now on, until {@link release}. */
	hold(call: ShimCall): void {
		rmSync(join(this.#directory, "held"), { force: true });
		writeFileSync(join(this.#directory, `hold-${call}`), "");
	}

	/** Resolves when one is held. */
	async held(): Promise<void> {
		while (!existsSync(join(this.#directory, "held"))) await sleep(5);
	}

	/** Has such calls fail from now on, until {@link release}. */
	fail(call: ShimCall, errorNumber: number): void {
		writeFileSync(join(this.#directory, `fail-${call}`), String(errorNumber));
	}

	/** Lets everything pass. */
	release(): void {
		for (const call of ["sync", "write", "root"]) {
			for (const what of ["hold", "fail"]) rmSync(join(this.#directory, `${what}-${call}`), { force: true });
		}
	}
}
