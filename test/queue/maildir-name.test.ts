import { describe, expect, it } from "vitest";
import { encodeHost, parseName, uniqueName } from "../../src/queue/maildir/name.js";

describe("names of files in a maildir", () => {
	it("are all different, and sort in the order in which they were made", () => {
		const names = Array.from({ length: 10_000 }, () => uniqueName("host"));
		expect(new Set(names).size).toBe(names.length);
		expect([...names].sort()).toEqual(names);
	});

	it("tell when they were made, by which process and where", () => {
		const parsed = parseName(uniqueName("a.example.org"));
		expect(parsed).toMatchObject({ pid: process.pid, host: "a.example.org" });
		expect(Math.abs((parsed?.seconds ?? 0) - Date.now() / 1000)).toBeLessThan(60);
	});

	it.each([
		"1795344065.31580.host",
		"1.M2P3.host",
		"x.M1P2Q3.host",
		"1.M2P3Q4",
		"1.M2P3Q4.",
		".1.M2P3Q4.host",
		"",
	])("are not those of other programs: %j", (name) => expect(parseName(name)).toBeNull());

	it("hold no slash and no colon", () => {
		expect(encodeHost("a/b:c/")).toBe("a\\057b\\072c\\057");
	});
});
