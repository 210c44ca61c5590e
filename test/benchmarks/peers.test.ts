/** The programs of others: what the benchmark asks for is what the script installs. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test, vi } from "vitest";
import { areHere, PROGRAMS } from "../../benchmarks/peers/programs.js";

test("bench:peers:install brings every package that has a program of the benchmark", () => {
	const script = fileURLToPath(new URL("../../scripts/bench-peers-install.mjs", import.meta.url));
	const help = execFileSync(process.execPath, [script, "--help"], { encoding: "utf8" });
	const [, names = ""] = /^Installs (.*) by apt-get/m.exec(help) ?? [];
	expect(names.split(", ").sort()).toEqual([...new Set(Object.values(PROGRAMS))].sort());
});

test("what is missing is named, with what brings it", () => {
	const log = vi.spyOn(console, "log").mockImplementation(() => {});
	onTestFinished(() => log.mockRestore());
	expect(areHere(["no-such-program" as keyof typeof PROGRAMS])).toBe(false);
	expect(log.mock.calls[0]?.[0]).toMatch(/skipped, .*no-such-program .*npm run bench:peers:install/);
	expect(areHere([])).toBe(true);
	expect(log).toHaveBeenCalledTimes(1);
});
