/**
 * `npm run bench`: makes the checkout ready and runs the benchmarks, each in a process of its own, one after the other.
 *
 * They are TypeScript like the tests, so that `npm run check` holds them to the API; and they import the package by its
 * name, so what is measured is what is published. Since Node 20 strips no types, they are compiled first, into
 * benchmarks/dist.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bin, root, setup } from "./setup.mjs";

const BENCHMARKS = {
	codec: "netstrings and packages, decoded and encoded in memory",
	loopback: "a server and its client in two processes, beside a raw socket",
	memory: "a message of 1 GiB through a server into a Maildir",
	queues: "small messages into a Maildir, beside the bare system calls",
	programs: "small messages into a program like qmail-queue, beside the bare processes",
};

const HELP = `Usage: npm run bench -- [benchmark ...] [options]

${Object.entries(BENCHMARKS)
	.map(([name, text]) => `  ${name.padEnd(10)} ${text}`)
	.join("\n")}

  --rounds N   how often each thing is measured; each benchmark has its own default
  --cpu-prof   loopback only: writes a CPU profile of each server process into this directory
  --help

Without a name all of them run. They write to the directory for temporary files (TMPDIR), about 2.1 GiB at a time.
A target that is missed is said, and is no failure; a wrong answer is one. Compare ratios within one run: figures
depend on the machine, and on what else it does.`;

const { names, rounds, help, cpuProf } = readArguments();
if (help) {
	console.log(HELP);
} else {
	setup();
	const benchmarks = join(root, "benchmarks");
	rmSync(join(benchmarks, "dist"), { recursive: true, force: true });
	run([bin("tsc"), "-p", benchmarks]);
	for (const name of names) {
		const options = [
			...(rounds === undefined ? [] : ["--rounds", rounds]),
			...(cpuProf ? ["--cpu-prof"] : []),
		];
		run(["--expose-gc", join(benchmarks, "dist", name, "main.js"), ...options]);
	}
}

function readArguments() {
	try {
		const { values, positionals } = parseArgs({
			allowPositionals: true,
			options: { rounds: { type: "string" }, "cpu-prof": { type: "boolean" }, help: { type: "boolean" } },
		});
		const wrong = positionals.find((name) => !Object.hasOwn(BENCHMARKS, name));
		if (wrong !== undefined) throw new Error(`there is no benchmark ${wrong}`);
		const { rounds, help = false, "cpu-prof": cpuProf = false } = values;
		if (rounds !== undefined && !/^[1-9]\d*$/.test(rounds))
			throw new Error("--rounds must be a number from 1 on");
		return { names: positionals.length > 0 ? positionals : Object.keys(BENCHMARKS), rounds, help, cpuProf };
	} catch (error) {
		console.error(`bench: ${error.message}; see npm run bench -- --help`);
		process.exit(1);
	}
}

function run(args) {
	const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
	if (status !== 0) process.exit(status ?? 1);
}
