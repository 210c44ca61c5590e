/**
 * The modules that an import loads: those that its entry reaches by static imports, in files as they are published. A module
 * that is imported at run time, by `import()`, is loaded by those who call for it, and does not count.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import ts from "typescript";

/** What an entry comes to. */
export interface LoadedCode {
	/** Files of this package. */
	readonly modules: number;
	readonly bytes: number;
	/** Without comments, as a bundler would write it, and without the maps' addresses. Names are as long as they are. */
	readonly codeBytes: number;
	/** `codeBytes` of all modules in one, by gzip. */
	readonly gzipBytes: number;
	/** Packages of npm that it imports; their code is not in the figures. */
	readonly packages: readonly string[];
	/** Modules of Node that it imports. */
	readonly builtins: readonly string[];
}

/** Follows the imports of a file. */
export function loadedCode(entry: string): LoadedCode {
	const sources = new Map<string, string>();
	const packages = new Set<string>();
	const builtins = new Set<string>();
	const waiting = [entry];
	for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
		if (sources.has(path)) continue;
		const text = readFileSync(path, "utf8");
		sources.set(path, text);
		for (const specifier of staticImports(path, text)) {
			if (specifier.startsWith(".")) waiting.push(createRequire(pathToFileURL(path)).resolve(specifier));
			else if (specifier.startsWith("node:")) builtins.add(specifier);
			else packages.add(specifier);
		}
	}
	const texts = [...sources.values()];
	const code = texts.map(withoutComments);
	return {
		modules: texts.length,
		bytes: Buffer.byteLength(texts.join("")),
		codeBytes: Buffer.byteLength(code.join("")),
		gzipBytes: gzipSync(code.join("")).length,
		packages: [...packages].sort(),
		builtins: [...builtins].sort(),
	};
}

function staticImports(path: string, text: string): string[] {
	const { statements } = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022);
	return statements.flatMap((statement) => {
		if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return [];
		const { moduleSpecifier } = statement;
		return moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier) ? [moduleSpecifier.text] : [];
	});
}

function withoutComments(text: string): string {
	const compilerOptions = {
		removeComments: true,
		target: ts.ScriptTarget.ES2022,
		module: ts.ModuleKind.ESNext,
	};
	return ts
		.transpileModule(text, { compilerOptions })
		.outputText.replace(/^\/\/# sourceMappingURL=.*\n?/m, "");
}
