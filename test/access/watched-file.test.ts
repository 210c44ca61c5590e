/** Files that are read again when they have changed: when they are, and what happens when they cannot be used. */
import { execFileSync } from "node:child_process";
import { renameSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { RulesFile } from "../../src/access/rules-file.js";
import { WatchedFile, type WatchedFileOptions } from "../../src/access/watched-file.js";
import { UsageError } from "../../src/errors.js";
import { cdbOf } from "./cdb-file.js";

vi.mock("node:fs/promises", async (original) => {
	const real = await original<typeof fs>();
	return { ...real, open: vi.fn(real.open), stat: vi.fn(real.stat) };
});
const opened = vi.mocked(fs.open);
const stated = vi.mocked(fs.stat);

let folder: string;
let path: string;
let faults: Error[];
let parsed: number;

beforeEach(async () => {
	folder = await fs.mkdtemp(join(tmpdir(), "qmtp-watched-"));
	path = join(folder, "file");
	faults = [];
	parsed = 0;
	opened.mockClear();
	stated.mockClear();
	onTestFinished(async () => {
		vi.restoreAllMocks();
		expect(faults).toEqual([]);
		await fs.rm(folder, { recursive: true });
	});
});

const onFault = (error: Error) => void faults.push(error);
const takeFaults = () => faults.splice(0).map(({ message }) => message.replace(folder, "."));

/** Takes all texts but those that begin with "bad". */
function watched(options: Partial<WatchedFileOptions> = {}): WatchedFile<string> {
	const parse = (bytes: Uint8Array) => {
		parsed++;
		const text = Buffer.from(bytes).toString();
		if (text.startsWith("bad")) throw new UsageError("ERR_QMTP_RULES", `no good: ${text}`);
		return text;
	};
	return new WatchedFile(path, parse, { onFault, ...options });
}

/** From now on what was written until now is old. */
function later(): void {
	const now = Date.now();
	vi.spyOn(Date, "now").mockReturnValue(now + 10_000);
}

describe("a file that does not change", () => {
	test("is stated at each refresh, and read once", async () => {
		await fs.writeFile(path, "one");
		later();
		const file = watched();
		expect(file.value).toBeNull();
		for (let time = 1; time <= 5; time++) {
			await file.refresh();
			expect(file.value).toBe("one");
			expect(stated).toHaveBeenCalledTimes(time);
		}
		expect(opened).toHaveBeenCalledTimes(1);
		expect(parsed).toBe(1);
	});

	test("is read once more if it was young, but not parsed again", async () => {
		await fs.writeFile(path, "one");
		const file = watched();
		await file.refresh();
		await file.refresh();
		expect(opened).toHaveBeenCalledTimes(2);
		later();
		await file.refresh();
		expect(opened, "the last time it was read it still was young").toHaveBeenCalledTimes(3);
		await file.refresh();
		expect(opened).toHaveBeenCalledTimes(3);
		expect(parsed).toBe(1);
	});

	test("with a time of modification in the future is not read for ever", async () => {
		await fs.writeFile(path, "one");
		await fs.utimes(path, 4e9, 4e9);
		later();
		const file = watched();
		for (let time = 0; time < 3; time++) await file.refresh();
		expect(opened).toHaveBeenCalledTimes(1);
	});
});

describe("a change is seen", () => {
	test("at the next refresh, however soon it comes and however alike it looks", async () => {
		const file = watched();
		for (let time = 0; time < 200; time++) {
			const text = `${time}`.padStart(3, "0");
			await fs.writeFile(path, text);
			await file.refresh();
			expect(file.value).toBe(text);
		}
	});

	test("at once when the clock of the file system did not move between the two, if the first was young", async () => {
		await fs.writeFile(path, "one");
		const frozen = await fs.stat(path, { bigint: true });
		const { open } = await vi.importActual<typeof fs>("node:fs/promises");
		stated.mockResolvedValue(frozen as never);
		opened.mockImplementation(async (...args) =>
			Object.assign(await open(...args), { stat: async () => frozen }),
		);
		onTestFinished(async () => {
			const real = await vi.importActual<typeof fs>("node:fs/promises");
			stated.mockReset().mockImplementation(real.stat);
			opened.mockReset().mockImplementation(real.open);
		});
		const file = watched();
		for (const text of ["one", "two", "bad", "abc"]) {
			await fs.writeFile(path, text);
			await file.refresh();
			expect(file.value).toBe(text === "bad" ? "two" : text);
		}
		expect(takeFaults()).toHaveLength(1);
		later();
		await file.refresh();
		await fs.writeFile(path, "xyz");
		await file.refresh();
		expect(file.value, "nobody can see that").toBe("abc");
	});

	test("when the time of modification was set back", async () => {
		await fs.writeFile(path, "one");
		await fs.utimes(path, 1000, 1000);
		const file = watched();
		await file.refresh();
		await fs.writeFile(path, "two");
		await fs.utimes(path, 1000, 1000);
		await file.refresh();
		expect(file.value).toBe("two");
	});

	test("when another file takes its place, or a link leads to another one", async () => {
		const [one, two, link] = ["one", "two", "link"].map((name) => join(folder, name)) as [
			string,
			string,
			string,
		];
		await fs.writeFile(one, "1");
		await fs.writeFile(two, "2");
		await fs.symlink(one, path);
		later();
		const file = watched();
		await file.refresh();
		await fs.symlink(two, link);
		await fs.rename(link, path);
		await file.refresh();
		expect(file.value).toBe("2");
		await fs.rename(one, path);
		await file.refresh();
		expect(file.value).toBe("1");
	});

	test("when it becomes empty, which is a version like others", async () => {
		await fs.writeFile(path, "one");
		const file = watched();
		await file.refresh();
		await fs.writeFile(path, "");
		await file.refresh();
		expect(file.value).toBe("");
	});
});

describe("refreshes at the same time", () => {
	test("share their work", async () => {
		await fs.writeFile(path, "one");
		later();
		const file = watched();
		await Promise.all(Array.from({ length: 1000 }, () => file.refresh()));
		expect(stated, "one run, and one for all that were asked for during it").toHaveBeenCalledTimes(2);
		expect(opened).toHaveBeenCalledTimes(1);
		expect(parsed).toBe(1);
	});

	test("see a change that was made when the one under way had read the file", async () => {
		await fs.writeFile(path, "one");
		await fs.writeFile(`${path}.new`, "two");
		const values: (string | null)[] = [];
		let second: Promise<void> | undefined;
		const file = new WatchedFile(
			path,
			(bytes) => {
				if (second === undefined) {
					renameSync(`${path}.new`, path);
					second = file.refresh();
				}
				return Buffer.from(bytes).toString();
			},
			{ onFault },
		);
		await file.refresh();
		values.push(file.value);
		await second;
		values.push(file.value);
		expect(values).toEqual(["one", "two"]);
	});

	test("all reject if there is nothing, and the next one succeeds", async () => {
		const file = watched();
		const results = await Promise.allSettled([file.refresh(), file.refresh(), file.refresh()]);
		expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
		await fs.writeFile(path, "one");
		await file.refresh();
		expect(file.value).toBe("one");
	});
});

describe("the first version", () => {
	test("rejects if it is missing, and names the file and the reason", async () => {
		const refresh = watched().refresh();
		await expect(refresh).rejects.toThrow(UsageError);
		await expect(refresh).rejects.toMatchObject({
			code: "ERR_QMTP_CONTROL",
			message: `${path}: cannot be read (ENOENT)`,
			cause: expect.objectContaining({ code: "ENOENT", syscall: "stat" }),
		});
	});

	test("may be missing if that was said, and is taken in when it comes", async () => {
		const file = watched({ mayBeMissing: true });
		await file.refresh();
		await file.refresh();
		expect(file.value).toBeNull();
		await fs.writeFile(path, "one");
		await file.refresh();
		expect(file.value).toBe("one");
	});

	test("may vanish between looking and opening if it may be missing", async () => {
		await fs.writeFile(path, "one");
		const file = watched({ mayBeMissing: true });
		opened.mockImplementationOnce(async () => {
			await fs.rm(path);
			throw Object.assign(new Error("gone"), { code: "ENOENT", syscall: "open" });
		});
		await file.refresh();
		expect(file.value).toBeNull();
	});

	test("rejects if it is no good, keeps the parser's code, and is not parsed again until it changes", async () => {
		await fs.writeFile(path, "bad");
		later();
		const file = watched({ mayBeMissing: true });
		for (let time = 0; time < 3; time++) {
			await expect(file.refresh()).rejects.toMatchObject({
				code: "ERR_QMTP_RULES",
				message: `${path}: no good: bad`,
				cause: expect.objectContaining({ code: "ERR_QMTP_RULES", message: "no good: bad" }),
			});
		}
		expect(parsed).toBe(1);
		await fs.writeFile(path, "good");
		await file.refresh();
		expect(file.value).toBe("good");
	});

	test("rejects with what else the parser threw as the cause", async () => {
		await fs.writeFile(path, "x");
		const cause = new RangeError("out of range");
		const file = new WatchedFile(
			path,
			() => {
				throw cause;
			},
			{ onFault },
		);
		const message = `${path}: out of range`;
		await expect(file.refresh()).rejects.toMatchObject({ code: "ERR_QMTP_CONTROL", message, cause });
	});
});

describe("a later version that cannot be used", () => {
	test("leaves the one before in force, and is told once for each version", async () => {
		await fs.writeFile(path, "one");
		const file = watched();
		await file.refresh();
		for (const text of ["bad 1", "bad 2"]) {
			await fs.writeFile(path, text);
			for (let time = 0; time < 3; time++) await file.refresh();
			expect(file.value).toBe("one");
			expect(takeFaults()).toEqual([`./file: no good: ${text}; what was read before stays in force`]);
		}
		later();
		for (let time = 0; time < 3; time++) await file.refresh();
		expect(parsed).toBe(3);
		await fs.writeFile(path, "good");
		await file.refresh();
		expect(file.value).toBe("good");
	});

	test("is told again if it was good between", async () => {
		const file = watched();
		await fs.writeFile(path, "one");
		await file.refresh();
		for (let time = 0; time < 2; time++) {
			await fs.rename(path, `${path}.old`);
			await file.refresh();
			await file.refresh();
			expect(takeFaults()).toEqual(["./file: cannot be read (ENOENT); what was read before stays in force"]);
			await fs.rename(`${path}.old`, path);
			await file.refresh();
			expect(file.value).toBe("one");
		}
	});

	test("is tried again if it was the system that failed, and told once", async () => {
		const file = watched();
		await fs.writeFile(path, "one");
		await file.refresh();
		await fs.writeFile(path, "two");
		const cause = Object.assign(new Error("too many"), { code: "EMFILE", syscall: "open" });
		for (let time = 0; time < 3; time++) {
			opened.mockRejectedValueOnce(cause);
			await file.refresh();
			expect(file.value).toBe("one");
		}
		expect(faults[0]).toMatchObject({ code: "ERR_QMTP_CONTROL", cause });
		expect(takeFaults()).toHaveLength(1);
		await file.refresh();
		expect(file.value).toBe("two");
	});
});

describe("what is no file to read", () => {
	const make: [string, string, () => unknown][] = [
		["a directory", "is no regular file", () => fs.mkdir(path)],
		["a fifo, which nobody waits for", "is no regular file", () => execFileSync("mkfifo", [path])],
		["a device", "is no regular file", () => fs.symlink("/dev/zero", path)],
		["a link that leads to itself", "cannot be read (ELOOP)", () => fs.symlink(path, path)],
	];

	test.each(make)("%s is an error at first, and a fault later", async (_, reason, create) => {
		await create();
		const file = watched({ mayBeMissing: true });
		const message = `${path}: ${reason}`;
		await expect(file.refresh()).rejects.toMatchObject({ code: "ERR_QMTP_CONTROL", message });
		expect(opened).not.toHaveBeenCalled();
		await fs.rm(path, { recursive: true });
		await fs.writeFile(path, "one");
		await file.refresh();
		await fs.rm(path);
		await create();
		await file.refresh();
		await file.refresh();
		expect(takeFaults()).toEqual([`./file: ${reason}; what was read before stays in force`]);
		expect(file.value).toBe("one");
	});

	test("a fifo that takes the file's place after it was looked at does not hang either", async () => {
		await fs.writeFile(path, "one");
		const { stat } = await vi.importActual<typeof fs>("node:fs/promises");
		stated.mockImplementationOnce(async (...args) => {
			const stats = await stat(...args);
			await fs.rm(path);
			execFileSync("mkfifo", [path]);
			return stats;
		});
		await expect(watched().refresh()).rejects.toThrow(`${path}: is no regular file`);
	});

	test("one that is too large is refused before it is read", async () => {
		await fs.writeFile(path, "12345");
		await watched({ maxBytes: 5 }).refresh();
		const small = watched({ maxBytes: 4 });
		await expect(small.refresh()).rejects.toMatchObject({
			code: "ERR_QMTP_CONTROL",
			message: `${path}: has 5 bytes, more than the 4 allowed`,
		});
		await fs.truncate(path, 256 * 1024 * 1024 + 1);
		await expect(watched().refresh()).rejects.toThrow("has 268435457 bytes, more than the 268435456 allowed");
		expect(parsed).toBe(1);
	});

	test("one that changes while it is read is read again, and given up if it does not stop", async () => {
		const { open } = await vi.importActual<typeof fs>("node:fs/promises");
		let text = "";
		let changes = 0;
		opened.mockImplementation(async (...args) => {
			const handle = await open(...args);
			const read = handle.read.bind(handle) as (...args: unknown[]) => Promise<never>;
			handle.read = (async (...args: unknown[]) => {
				if (changes-- > 0) {
					text += "more";
					await fs.appendFile(path, "more");
				}
				return read(...args);
			}) as never;
			return handle;
		});
		const file = watched({ maxBytes: 100 });
		await fs.writeFile(path, "");
		changes = 2;
		await file.refresh();
		expect(file.value).toBe(text);
		changes = 1000;
		await fs.appendFile(path, "x");
		await file.refresh();
		expect(takeFaults()).toEqual(["./file: changes while it is read; what was read before stays in force"]);
		changes = 0;
		await file.refresh();
		expect(file.value).toContain(`${text.slice(0, 8)}x`);
		opened.mockReset().mockImplementation(open);
	});
});

describe("a file of rules", () => {
	test("is a cdb if its name says so, else a text", async () => {
		const text = new RulesFile(path, { onFault });
		const cdb = new RulesFile(`${path}.cdb`, { onFault });
		expect(() => cdb.value).toThrow(expect.objectContaining({ code: "ERR_QMTP_CONTROL" }));
		await fs.writeFile(path, "1.2.3.4:deny\n");
		await fs.writeFile(`${path}.cdb`, cdbOf([["1.2.3.4", "D\0"]]));
		for (const file of [text, cdb]) {
			await file.refresh();
			expect(file.value.find({ remoteAddress: "1.2.3.4" })?.allow).toBe(false);
			expect(file.value.find({ remoteAddress: "1.2.3.5" })).toBeNull();
		}
		await fs.copyFile(path, `${path}.cdb`);
		await cdb.refresh();
		expect(faults[0]).toMatchObject({ code: "ERR_QMTP_CDB" });
		expect(takeFaults()).toEqual([
			"./file.cdb: damaged cdb: the header is cut short (at byte 13); what was read before stays in force",
		]);
		expect(cdb.value.find({ remoteAddress: "1.2.3.4" })?.allow).toBe(false);
	});

	test("that has a bad line, or is missing, is an error at first", async () => {
		await expect(new RulesFile(path, { onFault }).refresh()).rejects.toMatchObject({
			code: "ERR_QMTP_CONTROL",
		});
		await fs.writeFile(path, ":allow\n:Deny\n");
		await expect(new RulesFile(path, { onFault }).refresh()).rejects.toMatchObject({
			code: "ERR_QMTP_RULES",
			message: `${path}: line 2 is no rule: ":Deny"`,
		});
	});
});
