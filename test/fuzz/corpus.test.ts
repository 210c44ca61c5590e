/** The corpus, replayed: what once failed, and the inputs at which a reader is likely to. */
import { describe, expect, test } from "vitest";
import { corpus, type Kept } from "./corpus.js";
import { SURFACES } from "./surfaces.js";

const all = corpus();

describe("an input of the corpus", () => {
	test.each(all.filter(({ fails }) => !fails))("$surface: $name", replay);

	test.fails.each(all.filter(({ fails }) => fails))("$surface: $name, which is not mended yet", replay);

	test("is there for each surface", () => {
		const folders = new Set(all.map(({ surface }) => surface));
		expect([...folders].sort()).toEqual(SURFACES.map(({ name }) => name).sort());
	});
});

async function replay({ surface, input }: Kept): Promise<void> {
	await SURFACES.find(({ name }) => name === surface)?.check(input);
}
