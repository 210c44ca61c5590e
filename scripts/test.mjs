/**
 * `npm test`: makes the checkout ready, runs the tests with vitest and the type tests with tsd, and sums both up. The
 * last line of stdout is always `N passed, N failed, N skipped`, and before it stands every test that was skipped, so
 * that a missing peer cannot pass for a success. Arguments go to vitest: `npm test -- test/netstring`.
 *
 * Each file of type tests counts as one test. What failed outside of any test counts as one failed: a file that does
 * not load, a hook of a suite, an error that nobody handled, a vitest that crashed.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { bin, root, setup } from "./setup.mjs";

setup();

const units = runVitest(process.argv.slice(2));
const types = await runTsd();
const passed = units.passed + types.passed;
const failed = units.failed + types.failed;
for (const name of units.skipped) console.log(`skipped: ${name}`);
console.log(`${passed} passed, ${failed} failed, ${units.skipped.length} skipped`);
process.exitCode = failed > 0 ? 1 : 0;

function runVitest(args) {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-test-"));
	const report = join(folder, "report.json");
	try {
		const reporters = ["--reporter=default", `--reporter=${join(root, "scripts", "test-reporter.mjs")}`];
		const { status, signal } = spawnSync(process.execPath, [bin("vitest"), "run", ...reporters, ...args], {
			cwd: root,
			stdio: "inherit",
			env: { ...process.env, QMTP_TEST_REPORT: report },
		});
		const result = readReport(report);
		if (status !== 0 && result.failed === 0) {
			console.log(`vitest ended with ${signal ?? `exit code ${status}`}, though no test failed`);
			result.failed = 1;
		}
		return result;
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

// A vitest that crashes, or that was asked for its --help, leaves no report.
function readReport(path) {
	try {
		return JSON.parse(readFileSync(path, "utf8"));
	} catch {
		return { passed: 0, failed: 0, skipped: [] };
	}
}

async function runTsd() {
	const files = readdirSync(join(root, "test", "types"), { recursive: true })
		.filter((file) => file.endsWith(".test-d.ts"))
		.map((file) => join("test", "types", file));
	const diagnostics = await typeErrors();
	for (const { fileName, line, column, message } of diagnostics) {
		console.log(`${relative(root, fileName)}:${line ?? 1}:${(column ?? 0) + 1}  ${message}`);
	}
	const broken = new Set(diagnostics.map(({ fileName }) => relative(root, fileName)));
	const failed = files.filter((file) => broken.delete(file)).length;
	console.log(`type tests: ${files.length - failed} passed, ${failed} failed`);
	// What is left is wrong outside of the tests, in package.json or in a declaration file of dist.
	return { passed: files.length - failed, failed: failed + broken.size };
}

// tsd is loaded when it is there for sure, after setup. It throws when it cannot even start.
async function typeErrors() {
	try {
		const { default: tsd } = await import("tsd");
		const diagnostics = await tsd.default({ cwd: root, testFiles: ["test/types/**/*.test-d.ts"] });
		return diagnostics.filter(({ severity }) => severity === "error");
	} catch (error) {
		return [{ fileName: join(root, "package.json"), message: `tsd failed: ${error?.message ?? error}` }];
	}
}
