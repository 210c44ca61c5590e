/**
 * `npm run fuzz`: makes the checkout ready and runs test/fuzz/fuzz.test.ts for as long as it is told. It runs in vitest
 * as in `npm test`, so that what fails here fails there, from the same files.
 */
import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bin, root, setup } from "./setup.mjs";

const GRACE = 120_000; // milliseconds, for the start and for shrinking
const LONGEST = 7 * 24 * 60;
const CORPUS = join(root, "test", "fuzz", "corpus");
const SURFACES = readdirSync(CORPUS);

const HELP = `Usage: npm run fuzz -- [options]

  --minutes N     how long to go on, in minutes, 0.5 for half of one; 1 by default. The surfaces share it equally.
  --surface NAME  this one alone: ${SURFACES.slice(0, 8).join(", ")},
                  ${SURFACES.slice(8).join(", ")}
  --seed N        tries the same inputs in the same order as the run that named this seed
  --help

It says every ten seconds how many inputs it tried. Of an input that fails it writes the shrunk one to
test/fuzz/corpus, where \`npm test\` tries it from then on, and ends with 1.`;

const { minutes, surface, seed, help } = readArguments();
if (help) console.log(HELP);
else fuzz();

function fuzz() {
	setup();
	console.log(`seed ${seed}`);
	const { status, error } = spawnSync(
		process.execPath,
		[bin("vitest"), "run", "test/fuzz/fuzz.test.ts", "--disable-console-intercept=true"],
		{
			cwd: root,
			stdio: "inherit",
			timeout: minutes * 60_000 + GRACE,
			env: {
				...process.env,
				FUZZ_MINUTES: `${minutes}`,
				FUZZ_SEED: `${seed}`,
				...(surface === undefined ? {} : { FUZZ_SURFACE: surface }),
			},
		},
	);
	if (error?.code === "ETIMEDOUT") {
		console.error(`fuzz: it hangs at the surface after the last one that is named; the seed is ${seed}`);
	}
	if (status === 0) return;
	spawnSync(process.execPath, [bin("biome"), "format", "--write", CORPUS], { cwd: root });
	process.exitCode = 1;
}

function readArguments() {
	try {
		const { values } = parseArgs({
			options: {
				minutes: { type: "string", default: "1" },
				surface: { type: "string" },
				seed: { type: "string" },
				help: { type: "boolean", default: false },
			},
		});
		const { surface, help } = values;
		const minutes = Number(values.minutes);
		if (!(minutes > 0 && minutes <= LONGEST)) {
			throw new Error(`--minutes must be a number above 0, and at most ${LONGEST}`);
		}
		const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
		if (!Number.isInteger(seed)) throw new Error("--seed must be a whole number");
		if (surface !== undefined && !SURFACES.includes(surface))
			throw new Error(`there is no surface ${surface}`);
		return { minutes, surface, seed, help };
	} catch (error) {
		console.error(`fuzz: ${error.message}; see npm run fuzz -- --help`);
		process.exit(1);
	}
}
