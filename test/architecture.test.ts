/**
 * Holds the layers of the design against the code: who may import whom, what the core may know, and what a file may
 * look like. The tables come first; a change of the design is a change of a table.
 *
 * The sources are parsed, not searched, so comments and strings do not count, and neither does the way an import is
 * written: `import`, `import type`, `export ... from`, `import()` as a call and as a type, and `/// <reference>` are
 * all the same here.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

// A part that ends in "/" is a folder with all that is in it; another one is a file, or several of one folder. A file
// that is named belongs to its own line and not to its folder's. In queue/ each backend is a part of its own, to which
// belong queue/<backend>.ts, queue/<backend>-*.ts and queue/<backend>/; and to a file a/b of the table belongs the folder
// a/b/. An index.ts is in no layer: it only re-exports.
const LAYERS: readonly { readonly layer: number; readonly parts: readonly string[] }[] = [
	{ layer: 8, parts: ["cli/"] },
	{ layer: 7, parts: ["gateway/", "metrics/", "relay/"] },
	{ layer: 6, parts: ["routing/router", "queue/forward"] },
	{ layer: 5, parts: ["server/", "client/"] },
	{ layer: 4, parts: ["queue/", "routing/resolver", "smtp/"] },
	{
		layer: 3,
		parts: [
			"queue/{queue,source,settlement,alarm,stored-package,receipt,adapters,pool}",
			"routing/",
			"access/",
			"netstring/{streams,reader}",
			"body/",
			"connecting",
			"timers",
		],
	},
	{ layer: 2, parts: ["protocol/"] },
	{ layer: 1, parts: ["netstring/{decoder,encoder}"] },
	{ layer: 0, parts: ["errors", "core-globals"] },
];

// The core: these layers, and the index files that offer them.
const CORE_LAYERS = 2;
const CORE_INDEXES = ["netstring/index.ts", "protocol/index.ts"];

// What the compiler lets pass in the core, since ECMAScript has it or a global declaration could bring it in.
const NOT_IN_THE_CORE = ["Date", "Math.random", "performance", "setTimeout", "crypto"];

// Each npm package, and the folders and files that may import it.
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
	eventemitter3: ["server/", "client/", "relay/"],
	nodemailer: ["smtp/", "gateway/nodemailer.ts", "relay/bounce.ts"],
	"smtp-server": ["gateway/smtp.ts"],
	lmdb: ["queue/spool/"],
	amqplib: ["queue/rabbitmq/"],
	"prom-client": ["metrics/"],
};

// What `import "qmtp"` may load from npm.
const PACKAGES_OF_INDEX = ["eventemitter3"];

const LONGEST_FILE = 350; // lines
const FORBIDDEN_NAMES = ["utils.ts", "types.ts"];

describe("the layers", () => {
	test("every file stands in the table of layers", () => {
		expect(all.filter((file) => !isIndex(file.path) && file.layer === null).map(({ path }) => path)).toEqual(
			[],
		);
	});

	test("a file imports only from lower layers and from its own part", () => {
		expect(
			links(({ from, to }) => {
				if (isIndex(from.path) || isIndex(to.path) || from.part === to.part) return false;
				return from.layer === null || to.layer === null || from.layer <= to.layer;
			}),
		).toEqual([]);
	});

	test("a queue backend imports no other backend", () => {
		const isBackend = ({ path, layer }: Source) => path.startsWith("queue/") && layer !== null && layer >= 4;
		expect(links(({ from, to }) => isBackend(from) && isBackend(to) && from.part !== to.part)).toEqual([]);
	});

	test("server and client do not import each other", () => {
		const folders = ["server/", "client/"];
		expect(
			links(
				({ from, to }) => folders.includes(from.part) && folders.includes(to.part) && from.part !== to.part,
			),
		).toEqual([]);
	});

	test("nobody imports an index.ts", () => {
		expect(links(({ to }) => isIndex(to.path))).toEqual([]);
	});

	test("an index.ts only re-exports", () => {
		expect(
			all.filter(({ path, onlyReexports }) => isIndex(path) && !onlyReexports).map(({ path }) => path),
		).toEqual([]);
	});

	test("an import names its module literally, and a relative one names a file of src", () => {
		expect(
			imports(({ specifier }, from) => {
				return specifier === null || (isRelative(specifier) && target(from, specifier) === undefined);
			}),
		).toEqual([]);
	});
});

describe("the core", () => {
	test("the core imports no node: module and no npm package", () => {
		expect(
			imports(({ specifier }, from) => isCore(from) && specifier !== null && !isRelative(specifier)),
		).toEqual([]);
	});

	test("the core does not mention the clock, timers or randomness", () => {
		const mentions = all.filter(isCore).flatMap(({ path, names }) => {
			return NOT_IN_THE_CORE.filter((name) => names.has(name)).map((name) => `${path}: ${name}`);
		});
		expect(mentions).toEqual([]);
	});

	test("what netstring and protocol reach imports no node: module", () => {
		const reached = reach(all.filter(({ path }) => /^(netstring|protocol)\//.test(path)));
		expect(imports(({ specifier }, from) => isNode(specifier) && reached.has(from))).toEqual([]);
	});
});

describe("npm packages", () => {
	test("an npm package is imported only by the folders and files that the table names", () => {
		expect(
			imports(({ specifier }, { path }) => {
				const name = packageName(specifier);
				if (name === null) return false;
				return !PACKAGES[name]?.some(
					(place) => path === place || (place.endsWith("/") && path.startsWith(place)),
				);
			}),
		).toEqual([]);
	});

	test("what index.ts reaches imports eventemitter3 and nothing else from npm", () => {
		const reached = reach(all.filter(({ path }) => path === "index.ts"));
		expect(
			imports(({ specifier }, from) => {
				const name = packageName(specifier);
				return name !== null && reached.has(from) && !PACKAGES_OF_INDEX.includes(name);
			}),
		).toEqual([]);
	});
});

describe("the files", () => {
	test(`no file is longer than ${LONGEST_FILE} lines`, () => {
		const long = all
			.filter(({ lines }) => lines > LONGEST_FILE)
			.map(({ path, lines }) => `${path}: ${lines} lines`);
		expect(long).toEqual([]);
	});

	test(`no file is called ${FORBIDDEN_NAMES.join(" or ")}`, () => {
		expect(all.map(({ path }) => path).filter((path) => FORBIDDEN_NAMES.includes(baseName(path)))).toEqual(
			[],
		);
	});

	test("every export is named: no export * and no export default", () => {
		expect(all.flatMap(({ path, unnamedExports }) => unnamedExports.map((text) => `${path}${text}`))).toEqual(
			[],
		);
	});
});

describe("this test", () => {
	test("it looked at the files of all the parts that the SDK cannot be without, and at their imports", () => {
		const parts = new Set(all.map(({ part }) => part));
		expect([...parts]).toEqual(expect.arrayContaining(INDISPENSABLE));
		expect(all.length).toBeGreaterThanOrEqual(30);
		expect(links(() => true).length).toBeGreaterThanOrEqual(60);
	});

	test("it sees what is there: imports of each kind, names, and the graph behind index.ts", () => {
		const seen = parse(
			"cli/probe.ts",
			`/// <reference types="a" />
			import b from "b"; import type { c } from "c"; import "d"; export { e } from "e"; export * from "f";
			import g = require("g"); const h = await import("h"); let i: import("i").I; import(h); require("j");
			export default Math.random(); // Date, import "k"
			export { h as default };
			"performance"; crypto?.subtle;`,
		);
		expect(seen.imports.map(({ specifier }) => specifier)).toEqual([..."abcdefghi", null, "j"]);
		expect(NOT_IN_THE_CORE.filter((name) => seen.names.has(name))).toEqual(["Math.random", "crypto"]);
		expect(seen.unnamedExports).toHaveLength(3);
		const reached = [...reach(all.filter(({ path }) => path === "index.ts"))].map(({ part }) => part);
		expect(reached).toEqual(expect.arrayContaining(["server/", "client/", "protocol/", "errors"]));
	});
});

const INDISPENSABLE = [
	...["cli/", "server/", "client/", "body/", "protocol/", "errors"],
	...[
		"netstring/{decoder,encoder}",
		"netstring/{streams,reader}",
		"queue/{queue,source,settlement,alarm,stored-package,receipt,adapters,pool}",
	],
	...["queue/memory", "queue/discard", "queue/maildir", "queue/qmail-queue", "access/"],
];

interface Source {
	readonly path: string; // below src, with slashes
	readonly part: string; // the part of LAYERS, or queue/<backend>, or "" for a file that is in none
	readonly layer: number | null;
	readonly lines: number;
	readonly imports: readonly Import[];
	readonly names: ReadonlySet<string>; // identifiers, and "Math.random"
	readonly unnamedExports: readonly string[];
	readonly onlyReexports: boolean;
}

interface Import {
	readonly specifier: string | null; // null: not a literal
	readonly line: number;
}

interface Link {
	readonly from: Source;
	readonly to: Source;
}

/** The imports that `isWrong` picks, as lines to read in a failed test. */
function imports(isWrong: (found: Import, from: Source) => boolean): string[] {
	return all.flatMap((from) => {
		const wrong = from.imports.filter((found) => isWrong(found, from));
		return wrong.map(
			({ specifier, line }) => `${from.path}:${line} imports ${specifier ?? "what only running tells"}`,
		);
	});
}

/** The same for imports of one file of src by another. */
function links(isWrong: (link: Link) => boolean): string[] {
	return imports(({ specifier }, from) => {
		const to = specifier === null ? undefined : target(from, specifier);
		return to !== undefined && isWrong({ from, to });
	});
}

/** All that `start` imports, and what that imports, and so on, `start` included. */
function reach(start: readonly Source[]): Set<Source> {
	const reached = new Set(start);
	for (const from of reached) {
		for (const { specifier } of from.imports) {
			const to = specifier === null ? undefined : target(from, specifier);
			if (to !== undefined) reached.add(to); // and the loop comes to it
		}
	}
	return reached;
}

function target(from: Source, specifier: string): Source | undefined {
	if (!isRelative(specifier)) return undefined;
	const path = new URL(specifier, `file:///${from.path}`).pathname.slice(1).replace(/\.js$/, ".ts");
	return byPath.get(path);
}

function parse(path: string, text: string): Source {
	const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
	const imports: Import[] = file.typeReferenceDirectives
		.concat(file.referencedFiles)
		.map(({ fileName, pos }) => {
			return { specifier: fileName, line: lineAt(file, pos) };
		});
	const names = new Set<string>();
	const unnamedExports: string[] = [];
	const visit = (node: ts.Node): void => {
		const module = moduleOf(node);
		if (module !== undefined) {
			const specifier = ts.isStringLiteralLike(module) ? module.text : null;
			imports.push({ specifier, line: lineAt(file, module.getStart()) });
		}
		if (ts.isIdentifier(node)) names.add(node.text);
		if (ts.isPropertyAccessExpression(node)) names.add(`${node.expression.getText()}.${node.name.text}`);
		if (isUnnamedExport(node))
			unnamedExports.push(`:${lineAt(file, node.getStart())} ${node.getText().split("\n")[0]}`);
		ts.forEachChild(node, visit);
	};
	visit(file);
	const lines = text.replace(/\n$/, "").split("\n").length;
	const onlyReexports = file.statements.every((node) => ts.isExportDeclaration(node) && node.moduleSpecifier);
	return { path, ...place(path), lines, imports, names, unnamedExports, onlyReexports };
}

/** The expression that names the module, if the node imports one. */
function moduleOf(node: ts.Node): ts.Node | undefined {
	if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
	if (ts.isExternalModuleReference(node)) return node.expression;
	if (ts.isImportTypeNode(node))
		return ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument;
	if (!ts.isCallExpression(node)) return undefined;
	const { expression } = node;
	const loads =
		expression.kind === ts.SyntaxKind.ImportKeyword ||
		(ts.isIdentifier(expression) && expression.text === "require");
	return loads ? node.arguments[0] : undefined;
}

function isUnnamedExport(node: ts.Node): boolean {
	if (ts.isExportAssignment(node)) return true;
	if (ts.isExportDeclaration(node))
		return node.exportClause === undefined || ts.isNamespaceExport(node.exportClause);
	if (ts.isExportSpecifier(node)) return node.name.text === "default";
	return node.kind === ts.SyntaxKind.DefaultKeyword && !ts.isDefaultClause(node.parent);
}

function lineAt(file: ts.SourceFile, position: number): number {
	return file.getLineAndCharacterOfPosition(position).line + 1;
}

/** Where the table puts a file: a line that names it goes before the line of its folder. */
function place(path: string): { part: string; layer: number | null } {
	const file = ownerInQueue(path).replace(/(\.d)?\.ts$/, "");
	const [first, second] = path.split("/");
	const folder = `${first}/`;
	const lines = LAYERS.flatMap(({ layer, parts }) => parts.map((part) => ({ layer, part })));
	const line =
		lines.find(({ part }) => filesOf(part).includes(file)) ??
		lines.find(({ part }) => filesOf(part).includes(`${first}/${second}`)) ?? // a/b/c.ts is a helper of a/b.ts
		lines.find(({ part }) => part === folder && path.includes("/"));
	if (isIndex(path) || line === undefined) return { part: "", layer: null };
	return { part: line.part === "queue/" ? file : line.part, layer: line.layer };
}

/** "a/{b,c}" names a/b and a/c. */
function filesOf(part: string): string[] {
	const [, before = part, names = ""] = /^(.*)\{(.*)\}$/.exec(part) ?? [];
	return names.split(",").map((name) => before + name);
}

/** queue/a-b.ts and queue/a/b.ts are helpers of queue/a.ts. The first only if there is a queue/a.ts. */
function ownerInQueue(path: string): string {
	const [folder, name = ""] = path.split("/");
	if (folder !== "queue" || isIndex(path)) return path;
	const words = name.replace(/\.ts$/, "").split("-");
	const owners = words.map((_, index) => `queue/${words.slice(0, index + 1).join("-")}.ts`);
	return owners.find((owner) => paths.includes(owner)) ?? owners.at(-1) ?? path;
}

function isCore({ path, layer }: Source): boolean {
	return (layer !== null && layer <= CORE_LAYERS) || CORE_INDEXES.includes(path);
}

function isIndex(path: string): boolean {
	return baseName(path) === "index.ts";
}

function baseName(path: string): string {
	return path.slice(path.lastIndexOf("/") + 1);
}

function isRelative(specifier: string): boolean {
	return specifier.startsWith(".");
}

function isNode(specifier: string | null): boolean {
	return specifier?.startsWith("node:") ?? false;
}

/** "@a/b/c" and "a/b" are of the packages "@a/b" and "a". Node's own modules without "node:" count as packages. */
function packageName(specifier: string | null): string | null {
	if (specifier === null || isRelative(specifier) || isNode(specifier)) return null;
	return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

const folder = fileURLToPath(new URL("../src/", import.meta.url));
const paths = readdirSync(folder, { recursive: true, encoding: "utf8" })
	.map((path) => path.replaceAll("\\", "/"))
	.filter((path) => path.endsWith(".ts"))
	.sort();
const all = paths.map((path) => parse(path, readFileSync(folder + path, "utf8")));
const byPath = new Map(all.map((source) => [source.path, source]));
