/**
 * The vitest reporter that counts for scripts/test.mjs: it writes `{ passed, failed, skipped }` as JSON to the file
 * that QMTP_TEST_REPORT names. vitest's own JSON reporter keeps neither the reason of a skip nor failures that
 * happened outside of a test.
 */
import { writeFileSync } from "node:fs";

export default class TestReporter {
	onTestRunEnd(modules, unhandledErrors) {
		const report = { passed: 0, failed: unhandledErrors.length, skipped: [] };
		for (const module of modules) {
			report.failed += module.errors().length;
			for (const suite of module.children.allSuites()) report.failed += suite.errors().length;
			for (const test of module.children.allTests()) count(report, module, test);
		}
		writeFileSync(process.env.QMTP_TEST_REPORT, JSON.stringify(report));
	}
}

// A todo has the state "skipped", and a test that never ran, since the run was given up, is "pending".
function count(report, module, test) {
	const { state, note } = test.result();
	if (state === "passed") report.passed++;
	else if (state === "failed") report.failed++;
	else report.skipped.push(`${module.relativeModuleId} > ${test.fullName}${note ? ` (${note})` : ""}`);
}
