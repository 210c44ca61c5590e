/**
 * `npm run check`: everything that can be said of the code without running it, and the test of its architecture. All
 * checks run even when one fails; the output of those that failed comes at the end. Two run at a time, the slowest
 * first, since one of them, tsc, keeps a core busy.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { bin, root } from "./setup.mjs";

// The package is built by then; without this, each `npm pack` would build it once more, by its "prepack".
const AS_BUILT = { npm_config_ignore_scripts: "true" };

const failures = [];
await check({ name: "setup", command: ["scripts/setup.mjs"] });
if (existsSync(bin("tsc"))) {
	const waiting = [
		{ name: "typecheck", command: [bin("tsc"), "--noEmit", "-p", "tsconfig.json"] },
		{ name: "docs", command: [bin("typedoc")] },
		{ name: "core typecheck", command: [bin("tsc"), "--noEmit", "-p", "tsconfig.core.json"] },
		{ name: "architecture", command: [bin("vitest"), "run", "test/architecture.test.ts"] },
		{ name: "package", command: [bin("publint"), "--strict", "--pack", "npm"], env: AS_BUILT },
		{ name: "package types", command: [bin("attw"), "--pack", ".", "--profile", "esm-only"], env: AS_BUILT },
		{ name: "lint and format", command: [bin("biome"), "check", "--error-on-warnings", "."] },
	];
	const work = async () => {
		for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await check(next);
	};
	await Promise.all([work(), work()]);
}

for (const { name, command, output } of failures) {
	console.log(`\n---- ${name}: ${command.join(" ").replaceAll(`${root}/`, "")}\n\n${output.trimEnd()}`);
}
if (failures.length > 0) {
	console.log(`\ncheck failed: ${failures.map(({ name }) => name).join(", ")}`);
	process.exitCode = 1;
}

/** Runs one check, a JavaScript file with its arguments, and says on one line how it went and how long it took. */
async function check({ name, command, env }) {
	const started = performance.now();
	const { ok, output } = await run(command, env);
	const seconds = ((performance.now() - started) / 1000).toFixed(1);
	console.log(`${ok ? "ok    " : "FAILED"}  ${name.padEnd(16)} ${seconds.padStart(6)} s`);
	if (!ok) failures.push({ name, command, output });
}

function run(command, extra) {
	return new Promise((resolve) => {
		const env = { ...process.env, ...extra };
		const child = spawn(process.execPath, command, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
		let output = "";
		for (const stream of [child.stdout, child.stderr]) {
			stream.setEncoding("utf8").on("data", (text) => {
				output += text;
			});
		}
		child.on("error", (error) => resolve({ ok: false, output: `${output}${error.message}` }));
		child.on("close", (code) => resolve({ ok: code === 0, output }));
	});
}
