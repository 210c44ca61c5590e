/** qmail's control files: what one says, and what becomes of a directory of them when files change. */
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { ControlDirectory, controlLine, controlLines, controlNumber } from "../../src/access/control.js";
import { UsageError } from "../../src/errors.js";
import { cdbOf } from "./cdb-file.js";

const bytes = (text: string) => Buffer.from(text, "latin1");

describe("a control file", () => {
	test.each([
		["", ""],
		["\n", ""],
		["mail.example.com\n", "mail.example.com"],
		["mail.example.com", "mail.example.com"],
		["one \t \nsecond\n", "one"],
		[" one\r\n", " one\r"],
		["\nsecond", ""],
		["# no comment", "# no comment"],
		["\xe9\xff\0", "\xe9\xff\0"],
	])("%j is the line %j", (text, line) => {
		expect(controlLine(bytes(text))).toBe(line);
	});

	test.each([
		["8000000\n", 8_000_000],
		["007 bytes", 7],
		["12x34", 12],
		["", 0],
		["\n5", 0],
		["x5", 0],
		[" 5", 0],
		["-5", 0],
		["9007199254740991", Number.MAX_SAFE_INTEGER],
		["9007199254740993", Number.MAX_SAFE_INTEGER],
		["9".repeat(1000), Number.MAX_SAFE_INTEGER],
	])("%j is the number %d", (text, number) => {
		expect(controlNumber(bytes(text))).toBe(number);
	});

	test.each([
		["", []],
		["\n\n \t\n", []],
		["a\nb", ["a", "b"]],
		["a \t\n\n#b\n c\n #d\r\n\xe9\n", ["a", " c", " #d\r", "\xe9"]],
	])("%j is the list %j", (text, lines) => {
		expect(controlLines(bytes(text))).toEqual(lines);
	});
});

describe("a control directory", () => {
	let path: string;
	let faults: Error[];
	let control: ControlDirectory;
	const write = (name: string, content: string | Uint8Array) => writeFile(join(path, name), content);

	beforeEach(async () => {
		path = await mkdtemp(join(tmpdir(), "qmtp-control-"));
		faults = [];
		control = new ControlDirectory(path, { onFault: (error) => faults.push(error) });
		onTestFinished(() => {
			expect(faults).toEqual([]);
			return rm(path, { recursive: true });
		});
	});

	const takeFaults = () => faults.splice(0).map(({ message }) => message.replace(path, "."));

	test("says null for each file that is missing", async () => {
		await control.refresh();
		expect([control.me, control.databytes, control.recipientHosts]).toEqual([null, null, null]);
	});

	test("says what is in its files, and what is in them later", async () => {
		await write("me", "mail.example.com\n");
		await write("databytes", "100\n");
		await write("rcpthosts", "# ours\nexample.com\n");
		await control.refresh();
		expect([control.me, control.databytes]).toEqual(["mail.example.com", 100]);
		const hosts = control.recipientHosts;
		expect([hosts?.has("a@example.com"), hosts?.has("a@example.org")]).toEqual([true, false]);
		await control.refresh();
		expect(control.recipientHosts, "the same as long as nothing changes").toBe(hosts);
		await write("databytes", "0");
		await write("rcpthosts", "example.org");
		await control.refresh();
		expect(control.databytes).toBe(0);
		expect(control.recipientHosts?.has("a@example.org")).toBe(true);
		expect(control.recipientHosts?.has("a@example.com")).toBe(false);
	});

	test("takes mail for morercpthosts.cdb too, but not without rcpthosts", async () => {
		await write("morercpthosts.cdb", cdbOf([["example.net", ""]]));
		await control.refresh();
		expect(control.recipientHosts).toBeNull();
		await write("rcpthosts", "");
		await control.refresh();
		expect(control.recipientHosts?.has("a@example.net")).toBe(true);
		expect(control.recipientHosts?.has("a@example.com")).toBe(false);
		await write("morercpthosts.cdb", cdbOf([["example.com", ""]]));
		await control.refresh();
		expect(control.recipientHosts?.has("a@example.com")).toBe(true);
	});

	test("does not look at a broken morercpthosts.cdb while there is no rcpthosts", async () => {
		await write("morercpthosts.cdb", "no cdb");
		await control.refresh();
		await write("rcpthosts", "example.com");
		await expect(control.refresh()).rejects.toMatchObject({ code: "ERR_QMTP_CDB" });
		expect(control.recipientHosts, "what mail was taken for before").toBeNull();
	});

	test("takes in the other files when one was never good, and rejects until it is", async () => {
		await write("rcpthosts", "example.com");
		await write("morercpthosts.cdb", cdbOf([]).subarray(1));
		await write("me", "mail");
		for (let time = 0; time < 2; time++) {
			const refresh = control.refresh();
			await expect(refresh).rejects.toThrow(UsageError);
			await expect(refresh).rejects.toThrow(`${join(path, "morercpthosts.cdb")}: damaged cdb: `);
		}
		expect([control.me, control.recipientHosts]).toEqual(["mail", null]);
		await write("morercpthosts.cdb", cdbOf([]));
		await control.refresh();
		expect(control.recipientHosts?.has("a@example.com")).toBe(true);
	});

	test("keeps what a file said that has vanished or broken, and says so once", async () => {
		await write("me", "mail");
		await write("rcpthosts", "example.com");
		await write("morercpthosts.cdb", cdbOf([["example.net", ""]]));
		await control.refresh();
		const hosts = control.recipientHosts;
		for (const name of ["me", "rcpthosts"]) await rename(join(path, name), join(path, `${name}.old`));
		await write("morercpthosts.cdb", "broken");
		await control.refresh();
		await control.refresh();
		expect(takeFaults().sort()).toEqual([
			"./me: cannot be read (ENOENT); what was read before stays in force",
			"./morercpthosts.cdb: damaged cdb: the header is cut short (at byte 6); what was read before stays in force",
			"./rcpthosts: cannot be read (ENOENT); what was read before stays in force",
		]);
		expect([control.me, control.recipientHosts]).toEqual(["mail", hosts]);
		await write("me", "other");
		await control.refresh();
		expect(control.me).toBe("other");
		await rm(join(path, "me"));
		await control.refresh();
		expect(takeFaults(), "it is another fault when it vanishes again").toHaveLength(1);
	});

	test("that is not there is an error, but once it was there only a fault of each file", async () => {
		const later = new ControlDirectory(join(path, "later"), { onFault: (error) => faults.push(error) });
		await expect(later.refresh()).rejects.toMatchObject({
			code: "ERR_QMTP_CONTROL",
			message: `${join(path, "later")}: no such directory (ENOENT)`,
			cause: expect.objectContaining({ code: "ENOENT" }),
		});
		await write("file", "");
		await expect(new ControlDirectory(join(path, "file"), { onFault() {} }).refresh()).rejects.toThrow(
			"ENOTDIR",
		);
		await mkdir(join(path, "later"));
		await write("later/me", "mail");
		await later.refresh();
		await rm(join(path, "later"), { recursive: true });
		await later.refresh();
		expect(later.me).toBe("mail");
		expect(takeFaults()).toEqual([
			"./later/me: cannot be read (ENOENT); what was read before stays in force",
		]);
	});
});
