/** The yardstick of `cp`: that it copies, whole, and leaves nothing. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { CopiedFile } from "../../benchmarks/memory/copy.js";

test("copies a file made of one block, checks its size, and removes the copy", async () => {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-copy-"));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	const file = await CopiedFile.make(folder, Buffer.from("0123456789"), 1000);
	expect(readFileSync(join(folder, "source"), "latin1")).toBe("0123456789".repeat(100));
	expect(await file.copy()).toBeGreaterThan(0);
	expect(readdirSync(folder)).toEqual(["source"]);
	truncateSync(join(folder, "source"), 999);
	await expect(file.copy()).rejects.toThrow("the copy has 999 bytes, not 1000");
	file.remove();
	expect(readdirSync(folder).filter((name) => name === "source")).toEqual([]);
});
