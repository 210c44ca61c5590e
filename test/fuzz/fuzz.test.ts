/**
 * Any input, at each surface: valid ones, nearly valid ones and rubbish, cut anywhere.
 *
 * `npm test` tries a few hundred inputs a surface. `npm run fuzz` sets FUZZ_MINUTES, which the surfaces
 * share: then it says how far it is, and keeps what failed, shrunk, in the corpus.
 */
import fc from "fast-check";
import { describe, test } from "vitest";
import { keep } from "./corpus.js";
import type { Surface } from "./surface.js";
import { SURFACES } from "./surfaces.js";

const { FUZZ_MINUTES, FUZZ_SURFACE, FUZZ_SEED } = process.env;
const wanted = SURFACES.filter(({ name }) => FUZZ_SURFACE === undefined || name === FUZZ_SURFACE);
const milliseconds = FUZZ_MINUTES === undefined ? null : (Number(FUZZ_MINUTES) * 60_000) / wanted.length;

describe("any input", () => {
	test.each([...wanted])("$name", { timeout: 60_000 + 2 * (milliseconds ?? 0) }, async (surface) => {
		const seed = FUZZ_SEED === undefined ? {} : { seed: Number(FUZZ_SEED) };
		const progress = milliseconds === null ? null : new Progress(surface);
		const property = fc.asyncProperty(surface.inputs, async (input) => {
			progress?.count();
			await surface.check(input);
		});
		const bounds =
			milliseconds === null
				? { numRuns: surface.runs }
				: { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: milliseconds };
		const details = await fc.check(property, { ...bounds, ...seed });
		progress?.end();
		if (!details.failed) return;
		const [input] = details.counterexample ?? [];
		const where =
			milliseconds === null || input === undefined ? "" : `kept as ${keep(surface.name, input)}\n`;
		throw new Error(`${where}input: ${JSON.stringify(input)}\n${fc.defaultReportMessage(details)}`, {
			cause: details.errorInstance,
		});
	});
});

/** Says every ten seconds how many inputs were tried. */
class Progress {
	readonly #name: string;
	readonly #started = performance.now();
	#runs = 0;
	#told = this.#started;

	constructor({ name }: Surface) {
		this.#name = name;
	}

	count(): void {
		this.#runs++;
		const now = performance.now();
		if (now - this.#told < 10_000) return;
		this.#told = now;
		this.end();
	}

	end(): void {
		const seconds = ((performance.now() - this.#started) / 1000).toFixed(0);
		console.log(`${this.#name.padEnd(16)}${`${this.#runs}`.padStart(9)} inputs ${seconds.padStart(5)} s`);
	}
}
