/**
 * `npm run build`: dist, from src. TypeScript writes the declarations; rolldown the code, one file for each entry and
 * chunks of what several need: `import "qmtp"` takes half as long as from a file for each module, and so does each start
 * of `qmtp qmtpd` under tcpserver.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { rolldown } from "rolldown";
import { bin, root } from "./setup.mjs";

const { exports: subpaths, bin: programs } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const targets = [...Object.values(subpaths).map((target) => target.default), ...Object.values(programs)];

// What `import "qmtp"` takes is in few files; the core in one of its own, which names no module of Node.
const CHUNKS = [
	{ name: "core", test: /src\/(errors|netstring|protocol)\b/ },
	{
		name: "shared",
		test: /src\/(body|timers|connecting|queue\/(receipt|adapters|pool)|access\/(ipv6|networks|rcpthosts))\b/,
	},
	{ name: "endpoints", test: /src\/(server|client)\// },
];
// What a test runs as it is published, though it is not public.
const TESTED = ["smtp/client", "body/body"];

const tsc = [bin("tsc"), "-p", "tsconfig.build.json", "--emitDeclarationOnly"];
const { status } = spawnSync(process.execPath, tsc, { cwd: root, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);

const names = [
	...targets.filter(Boolean).map((file) => relative("dist", file).replace(/\.js$/, "")),
	...TESTED,
];
const bundle = await rolldown({
	input: Object.fromEntries(names.map((name) => [name, join(root, "src", `${name}.ts`)])),
	external: /^[^./]/,
	platform: "node",
	tsconfig: join(root, "tsconfig.build.json"),
});
await bundle.write({
	dir: join(root, "dist"),
	format: "esm",
	sourcemap: true,
	entryFileNames: "[name].js",
	chunkFileNames: "chunks/[name].js",
	codeSplitting: { groups: CHUNKS },
});
await bundle.close();
for (const program of Object.values(programs)) chmodSync(join(root, program), 0o755);
