/** The code that an import loads: that all of it counts, once, and nothing else. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { loadedCode } from "../../benchmarks/start/modules.js";

test("counts what static imports reach, once each, in circles and through exports too", () => {
	const files = {
		"index.js": 'import { a } from "./a.js";\nexport * from "./b/b.js";\nexport const one = a;\n',
		"a.js": 'import fs from "node:fs";\nimport "./index.js";\nexport const a = fs;\n',
		"b/b.js": 'import "package";\nimport "@scope/other/sub";\nexport { a } from "../a.js";\n',
		"other.js": "export const other = 1;\n",
	};
	const code = loadedCode(join(written(files), "index.js"));
	const { "other.js": _, ...loaded } = files;
	expect(code).toMatchObject({
		modules: 3,
		packages: ["@scope/other/sub", "package"],
		builtins: ["node:fs"],
	});
	expect(code.bytes).toBe(Object.values(loaded).join("").length);
});

test("leaves out what is imported at run time, and what only looks like an import", () => {
	const folder = written({
		"index.js":
			'export const later = () => import("./later.js");\nexport const text = \'import "./no.js"\';\n// import "./no.js"\n',
		"later.js": "export const late = 1;\n",
	});
	expect(loadedCode(join(folder, "index.js"))).toMatchObject({ modules: 1, packages: [] });
});

test("counts code without its comments, and its size by gzip", () => {
	const folder = written({
		"index.js": "/** What it is. */\nexport const one = 1; // the first\n//# sourceMappingURL=index.js.map\n",
	});
	const { codeBytes, gzipBytes } = loadedCode(join(folder, "index.js"));
	expect(codeBytes).toBe("export const one = 1;\n".length);
	expect(gzipBytes).toBe(gzipSync("export const one = 1;\n").length);
});

test("fails where a module is missing", () => {
	const folder = written({ "index.js": 'import "./missing.js";\n' });
	expect(() => loadedCode(join(folder, "index.js"))).toThrow("missing.js");
});

function written(files: Readonly<Record<string, string>>): string {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-modules-"));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	for (const [name, text] of Object.entries(files)) {
		const path = join(folder, name);
		mkdirSync(join(path, ".."), { recursive: true });
		writeFileSync(path, text);
	}
	return folder;
}
