/**
 * `npm run bench`: makes the checkout ready and runs the benchmarks, each in a process of its own, one after the other.
 *
 * They are TypeScript like the tests, so that `npm run check` holds them to the API; and they import the package by its
 * name, so what is measured is what is published. Since Node 20 strips no types, they are compiled first, into
 * benchmarks/dist.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bin, root, setup } from "./setup.mjs";

const BENCHMARKS = {
	codec: "netstrings, decoded and encoded in memory, beside what npm has",
	package: "packages, decoded and encoded in memory",
	lines: "CR LF to LF in memory, beside strings",
	loopback: "a server and its client in two processes, beside a raw socket",
	relay: "messages out of a spool to a next hop, and from a server to the next hop, beside a bare LMDB loop",
	workers: "qmtp serve in two processes, beside one",
	memory: "a message of 1 GiB through a server into a Maildir",
	queues: "small messages into a Maildir, beside the bare system calls",
	spool: "small messages through a server into a spool, beside a bare LMDB loop, and a spool of a million",
	rabbitmq: "small messages through a server into RabbitMQ, beside a bare publisher, and out by a relay",
	programs: "small messages into a program like qmail-queue, beside the bare processes",
	overload: "how much memory 200 clients make a server take that send 50 MiB each into a slow queue",
	restart: "a server that is restarted under load, with an overlap and in turn",
	latency: "a hundred messages to a server that is far away, beside SMTP",
	peers: "servers of others that discard small messages, where they are installed",
	idle: "the memory of 10,000 idle connections, beside bare sockets",
	start: 'the time of import "qmtp", and the code of each subpath',
};

const HELP = `Usage: npm run bench -- [benchmark ...] [options]

${Object.entries(BENCHMARKS)
	.map(([name, text]) => `  ${name.padEnd(10)} ${text}`)
	.join("\n")}

  --rounds N      how often each thing is measured; each benchmark has its own default
  --cpu-prof      loopback only: writes a CPU profile of each server process into this directory
  --report        writes what they found into docs/benchmarks, in place of what is there: JSON, a page, and charts
  --compare FILE  prints what has changed since a report, such as docs/benchmarks/results.json
  --help

Without a name all of them run. They write to the directory for temporary files (TMPDIR), about 3.2 GiB at a time.
\`npm run bench:peers:install\` brings the servers and clients of others, from Debian.
A target that is missed is said, and is no failure; a wrong answer is one. Compare ratios within one run: figures
depend on the machine, and on what else it does.`;

const { names, rounds, help, cpuProf, report, compare } = readArguments();
if (help) {
	console.log(HELP);
} else {
	setup();
	const benchmarks = join(root, "benchmarks");
	rmSync(join(benchmarks, "dist"), { recursive: true, force: true });
	run([bin("tsc"), "-p", benchmarks]);
	const folder = mkdtempSync(join(tmpdir(), "qmtp-bench-results-"));
	process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
	const results = join(folder, "results.jsonl");
	writeFileSync(results, "");
	for (const name of names) {
		const options = [
			...(rounds === undefined ? [] : ["--rounds", rounds]),
			...(cpuProf ? ["--cpu-prof"] : []),
		];
		run(["--expose-gc", join(benchmarks, "dist", name, "main.js"), ...options], {
			QMTP_BENCH_RESULTS: results,
		});
	}
	const tasks = [
		...(report ? ["--report", join(root, "docs", "benchmarks")] : []),
		...(compare === undefined ? [] : ["--compare", compare]),
	];
	if (tasks.length > 0) {
		run([join(benchmarks, "dist", "figures", "main.js"), "--results", results, "--root", root, ...tasks]);
	}
}

function readArguments() {
	try {
		const { values, positionals } = parseArgs({
			allowPositionals: true,
			options: {
				rounds: { type: "string" },
				"cpu-prof": { type: "boolean" },
				report: { type: "boolean" },
				compare: { type: "string" },
				help: { type: "boolean" },
			},
		});
		const wrong = positionals.find((name) => !Object.hasOwn(BENCHMARKS, name));
		if (wrong !== undefined) throw new Error(`there is no benchmark ${wrong}`);
		const { rounds, compare, report = false, help = false, "cpu-prof": cpuProf = false } = values;
		if (rounds !== undefined && !/^[1-9]\d*$/.test(rounds))
			throw new Error("--rounds must be a number from 1 on");
		if (compare !== undefined) JSON.parse(readFileSync(compare, "utf8")); // fails now, and not after an hour
		const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS);
		return { names, rounds, help, cpuProf, report, compare };
	} catch (error) {
		console.error(`bench: ${error.message}; see npm run bench -- --help`);
		process.exit(1);
	}
}

function run(args, extra) {
	const env = { ...process.env, ...extra };
	const { status } = spawnSync(process.execPath, args, { stdio: "inherit", env });
	if (status !== 0) process.exit(status ?? 1);
}
