import { spawnSync } from "node:child_process";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { maildirQueue } from "../../src/queue/maildir.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise, statuses } from "../support/queue-contract.js";
import { systemError, WatchedFileSystem } from "../support/queue-file-system.js";
import { TestMaildir } from "../support/queue-maildir.js";
import { messageInfo } from "../support/queue-message-info.js";

const HOST = hostname();
const HOUR = 3600;
const NOW = Math.floor(Date.now() / 1000);

let maildir: TestMaildir;
beforeEach(async () => {
	maildir = await TestMaildir.create();
	await mkdir(join(maildir.path, "tmp"), { recursive: true });
});
afterEach(async () => {
	vi.useRealTimers();
	await maildir.remove();
});

/** Puts a file into tmp/ that was read and written so many seconds ago. */
async function leave(name: string, mtimeAge = 0, atimeAge = mtimeAge): Promise<string> {
	const path = join(maildir.path, "tmp", name);
	await writeFile(path, "left over");
	await utimes(path, NOW - atimeAge, NOW - mtimeAge);
	return name;
}

function nameOf(pid: number, seconds = NOW, host = HOST): string {
	return `${seconds}.M123000P${pid}Q1000000000000007.${host}`;
}

function deadPid(): number {
	return spawnSync(process.execPath, ["-e", ""]).pid;
}

/** What is in tmp/ after the first open. */
async function keptBy(options = {}): Promise<string[]> {
	const queue = maildirQueue({ path: maildir.path, ...options });
	await (await queue.open(messageInfo())).abort(new Error("only to clear tmp/"));
	await queue.close();
	return maildir.names("tmp");
}

describe("the first message clears tmp/", () => {
	it("of files of a process of this host that has ended", async () => {
		await leave(nameOf(deadPid()));
		expect(await keptBy()).toEqual([]);
	});

	it("of files of this process number from before it began, but not of later ones", async () => {
		await leave(nameOf(process.pid, NOW - Math.ceil(process.uptime()) - 10));
		const live = await leave(nameOf(process.pid));
		expect(await keptBy()).toEqual([live]);
	});

	it("not of files of a process that lives", async () => {
		const names = [await leave(nameOf(process.ppid)), await leave(nameOf(1, NOW - HOUR), HOUR)];
		expect(await keptBy()).toEqual(names.sort());
	});

	it("not of young files of other hosts and other programs", async () => {
		const pid = deadPid();
		const names = [
			await leave(nameOf(pid, NOW - 35 * HOUR, "other.example.org"), 35 * HOUR),
			await leave(nameOf(pid, NOW, `${HOST}.example.org`)),
			await leave(`${NOW}.${pid}.${HOST}`), // qmail-local's
			await leave("something"),
		];
		expect(await keptBy()).toEqual(names.sort());
	});

	it("of anything that nobody has touched for 36 hours", async () => {
		const age = 36 * HOUR + 60;
		await leave(nameOf(deadPid(), NOW - age, "other.example.org"), age);
		await leave(nameOf(process.ppid, NOW - age), age);
		await leave(`${NOW - age}.123.${HOST}`, age);
		await leave("something", age);
		const read = await leave("read lately", age, HOUR);
		const written = await leave("written lately", HOUR, age);
		expect(await keptBy()).toEqual([read, written].sort());
	});

	it("not of what is no message", async () => {
		const hidden = await leave(".nfs0000", 40 * HOUR);
		await mkdir(join(maildir.path, "tmp", "folder"));
		await utimes(join(maildir.path, "tmp", "folder"), 0, 0);
		expect(await keptBy()).toEqual([hidden, "folder"]);
	});

	it("knows its own host by the name that it was given", async () => {
		const pid = deadPid();
		await leave(nameOf(pid, NOW, "a\\057b\\072c"));
		const other = await leave(nameOf(pid));
		expect(await keptBy({ hostname: "a/b:c" })).toEqual([other]);
	});
});

describe("clearing tmp/", () => {
	it("touches no message under way, whichever queue clears", async () => {
		const queue = maildirQueue({ path: maildir.path });
		const delivery = await queue.open(messageInfo());
		for (let count = 0; count < 20; count++) await delivery.write(noise(300_000));
		expect(await keptBy()).toHaveLength(1);
		expect(statuses(await delivery.commit({ sender: "s@x", recipients: ["r@x"] }))).toBe("K");
	});

	it("fails no message when it fails", async () => {
		const left = await leave(nameOf(deadPid()));
		for (const failing of ["readdir", "unlink"]) {
			const fileSystem = new WatchedFileSystem();
			fileSystem.watch({
				before: ({ name }) => {
					if (name === failing) throw systemError("EACCES");
				},
			});
			expect(await keptBy({ fileSystem })).toEqual([left]);
		}
	});

	it("is done once an hour while messages come", async () => {
		const fileSystem = new WatchedFileSystem();
		let cleanings = 0;
		fileSystem.watch({
			before: ({ name }) => {
				if (name === "readdir") cleanings++;
			},
		});
		const queue = maildirQueue({ path: maildir.path, fileSystem });
		const send = () => deliver(queue, [bytesOf("x\n")], { sender: "s@x", recipients: ["r@x"] });
		for (let count = 0; count < 5; count++) await send();
		expect(cleanings).toBe(1);
		vi.setSystemTime(Date.now() + HOUR * 1000);
		for (let count = 0; count < 5; count++) await send();
		await leave(nameOf(deadPid()));
		expect(cleanings).toBe(2);
		vi.setSystemTime(Date.now() + HOUR * 1000);
		await send();
		await queue.close();
		expect(cleanings).toBe(3);
		expect(await maildir.names("tmp")).toEqual([]);
	});
});
