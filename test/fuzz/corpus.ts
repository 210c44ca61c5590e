/**
 * The corpus: a folder for each surface, a file for each input that was worth keeping. The name of the file says what is
 * in it; what was found by chance is named by its hash, until somebody knows what it is. A name that ends in
 * `.fails.json` is that of a fault that is known and not mended yet.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** An input, and what it is called. */
export interface Kept {
	readonly surface: string;
	readonly name: string;
	readonly input: unknown;
	/** It is known to fail. When it does not any more, its file loses the `.fails`. */
	readonly fails: boolean;
}

/** All that is in the corpus. */
export function corpus(): Kept[] {
	return readdirSync(FOLDER).flatMap((surface) =>
		readdirSync(`${FOLDER}/${surface}`).map((file) => ({
			surface,
			name: file.replace(/(?:\.fails)?\.json$/, "").replaceAll("-", " "),
			fails: file.endsWith(".fails.json"),
			input: JSON.parse(readFileSync(`${FOLDER}/${surface}/${file}`, "utf8")) as unknown,
		})),
	);
}

/** Keeps an input that failed. @returns The path of its file, from the root of the project. */
export function keep(surface: string, input: unknown): string {
	const text = `${JSON.stringify(input, null, "\t")}\n`;
	const file = `found-${createHash("sha256").update(text).digest("hex").slice(0, 12)}.json`;
	mkdirSync(`${FOLDER}/${surface}`, { recursive: true });
	writeFileSync(`${FOLDER}/${surface}/${file}`, text);
	return `test/fuzz/corpus/${surface}/${file}`;
}

const FOLDER = fileURLToPath(new URL("corpus", import.meta.url));
