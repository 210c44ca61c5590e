/**
 * `npm run soak`: makes the checkout ready and runs `qmtp serve` for minutes or hours under clients of all kinds. See
 * benchmarks/soak/main.ts for what it does and when it fails. It is compiled like the benchmarks, and runs in this
 * process, so that signals reach it as they come.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { bin, root, setup } from "./setup.mjs";

const HELP = `Usage: npm run soak -- [--minutes N] [--seed N]

Runs two servers, one with a maildir and one that discards, and lets clients at them in turns: messages of 0 B to 5 MiB,
slow writers, clients that never read, half-closers, garbage, packages that break off.

  --minutes N  how long, from 1 on; 5 if it is not given
  --seed N     repeats the clients' choices of another run
  --help

It prints a line every 10 seconds and a summary at the end, and fails (exit code 1) if the memory or the descriptors of
a server grow, if a message that was acknowledged is not in the maildir, or if an answer is not what it should be.
SIGINT ends it with the summary. It writes to the directory for temporary files (TMPDIR), some 100 MiB at a time.`;

const { minutes, seed, help } = readArguments();
if (help) {
	console.log(HELP);
} else {
	setup();
	const benchmarks = join(root, "benchmarks");
	rmSync(join(benchmarks, "dist"), { recursive: true, force: true });
	const { status } = spawnSync(process.execPath, [bin("tsc"), "-p", benchmarks], { stdio: "inherit" });
	if (status !== 0) process.exit(status ?? 1);
	const { soak } = await import(pathToFileURL(join(benchmarks, "dist", "soak", "main.js")).href);
	process.exitCode = (await soak({ minutes, seed })) ? 0 : 1;
}

function readArguments() {
	try {
		const { values } = parseArgs({
			options: { minutes: { type: "string" }, seed: { type: "string" }, help: { type: "boolean" } },
		});
		const { minutes = "5", seed, help = false } = values;
		if (!/^[1-9]\d{0,4}$/.test(minutes)) throw new Error("--minutes must be a number from 1 to 99999");
		if (seed !== undefined && !/^\d{1,10}$/.test(seed)) throw new Error("--seed must be a number");
		return { minutes: Number(minutes), seed: seed === undefined ? undefined : Number(seed), help };
	} catch (error) {
		console.error(`soak: ${error.message}; see npm run soak -- --help`);
		process.exit(1);
	}
}
