import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const codes = [...read("src/errors.ts").matchAll(/\| "(ERR_[A-Z_]+)"/g)].map(([, code]) => code as string);

describe("error codes", () => {
	test("each has a heading in docs/errors.md, and each heading is a code", () => {
		const headings = [...read("docs/errors.md").matchAll(/^### (\S+)$/gm)].map(([, heading]) => heading);
		expect(headings.sort()).toEqual([...codes].sort());
		expect(codes.length).toBeGreaterThan(30);
	});

	test("each is made somewhere in the sources", () => {
		const sources = files("src").filter((file) => file !== join("src", "errors.ts"));
		const text = sources.map(read).join("\n");
		expect(codes.filter((code) => !text.includes(`"${code}"`))).toEqual([]);
	});

	test("each is held by a test", () => {
		const text = files("test")
			.filter((file) => file.endsWith(".test.ts"))
			.map(read)
			.join("\n");
		expect(codes.filter((code) => !text.includes(`"${code}"`))).toEqual([]);
	});
});

function files(folder: string): string[] {
	return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
		.filter((file) => file.endsWith(".ts"))
		.map((file) => join(folder, file));
}

function read(path: string): string {
	return readFileSync(join(root, path), "utf8");
}
