/**
 * What it takes to begin: the time of `import "qmtp"` in a new process over that of an empty module, and the code that each
 * subpath of the package loads. A third module imports what the package imports of Node, and nothing else: so much of the
 * time is Node's.
 *
 * What it defends against:
 * - Node's own start, which is most of it: the time is that of two modules that differ by the import, in turns.
 * - A noisy, shared machine: each figure of a round is the median of many starts.
 * - A cold disk: the files are in the system's cache from the round that is not counted.
 * - An import that does not work: the process must end with 0, and the package is found by its name, as by a user.
 * - Sizes that flatter: they are of the files as they are published, every module counts that a static import reaches,
 *   and nothing is left out that a bundler might find unused. Packages of npm are named.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../folder.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, median, samplesOf, type Variant } from "../rounds.js";
import { holdTo } from "../target.js";
import { type LoadedCode, loadedCode } from "./modules.js";

const STARTS = 15;
const TARGET_MS = 25;
const EMPTY = "an empty module";
const BUILTINS = "the modules of Node that it imports";
const QMTP = 'import "qmtp"';

const { rounds } = benchmarkOptions({ rounds: 5 });
printTitle(`start: ${STARTS} processes a round, and the code that each subpath loads`, rounds);
const builtins = join(temporaryFolder(), "builtins.mjs");
writeFileSync(
	builtins,
	codeOf("qmtp")
		.builtins.map((name) => `import ${JSON.stringify(name)};\n`)
		.join(""),
);
const samples = await inTurns(
	[
		variant(EMPTY, fileURLToPath(new URL("./empty.js", import.meta.url))),
		variant(BUILTINS, builtins),
		variant(QMTP, fileURLToPath(new URL("./qmtp.js", import.meta.url))),
	],
	rounds,
);
const rows = [["", "ms"]];
for (const name of [EMPTY, BUILTINS, QMTP]) {
	const times = samplesOf(samples, name);
	rows.push([name, spread(times)]);
	record({ benchmark: "start", name, unit: "ms", samples: times, better: "lower" });
}
printTable(rows);
sizes();
console.log();
const empty = samplesOf(samples, EMPTY);
holdTo({
	benchmark: "start",
	name: 'ms that import "qmtp" adds',
	samples: samplesOf(samples, QMTP).map((time, round) => time - (empty[round] as number)),
	atMost: TARGET_MS,
});

/** Measures the milliseconds of one process, from its start to its end. */
function variant(name: string, path: string): Variant {
	return {
		name,
		run() {
			const times = Array.from({ length: STARTS }, () => {
				const started = performance.now();
				const { status } = spawnSync(process.execPath, [path], { stdio: "inherit" });
				if (status !== 0) throw new Error(`${path} ended with ${status}`);
				return performance.now() - started;
			});
			return median(times);
		},
	};
}

function sizes(): void {
	const manifest = createRequire(import.meta.url).resolve("qmtp/package.json");
	const { exports } = JSON.parse(readFileSync(manifest, "utf8")) as {
		exports: Readonly<Record<string, string | { readonly default: string }>>;
	};
	const rows = [["the code of", "modules", "KiB", "without comments", "gzip", "packages of npm"]];
	const kib = (bytes: number) => figure(bytes / 1024);
	for (const [subpath, target] of Object.entries(exports)) {
		if (typeof target === "string") continue; // package.json
		const name = `qmtp${subpath.slice(1)}`;
		const code = codeOf(name);
		rows.push([
			name,
			`${code.modules}`,
			kib(code.bytes),
			kib(code.codeBytes),
			kib(code.gzipBytes),
			code.packages.join(", "),
		]);
		const one = { benchmark: "start", unit: "KiB", better: "lower" } as const;
		record({ ...one, name: `code of ${name}`, samples: [code.codeBytes / 1024] });
		record({ ...one, name: `code of ${name}, gzip`, samples: [code.gzipBytes / 1024] });
	}
	printTable(rows);
}

function codeOf(name: string): LoadedCode {
	return loadedCode(fileURLToPath(import.meta.resolve(name)));
}
