/** Maildir queues on file systems that fail. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { QueueError } from "../../src/errors.js";
import type { QmtpResponse } from "../../src/protocol/response.js";
import { type MaildirFileSystem, nodeFileSystem } from "../../src/queue/maildir/file-system.js";
import { type MaildirQueue, maildirQueue } from "../../src/queue/maildir.js";
import { bytesOf } from "../support/bytes.js";
import { cut, deliver, noise, statuses } from "../support/queue-contract.js";
import { type Call, systemError, type WatchedFileSystem } from "../support/queue-file-system.js";
import { type TestMaildir, watchedMaildir } from "../support/queue-maildir.js";
import { messageInfo } from "../support/queue-message-info.js";

const RECIPIENTS = ["r1@x", "r2@x", "r3@x"];

let maildir: TestMaildir;
let fileSystem: WatchedFileSystem;
let queue: MaildirQueue;
beforeEach(async () => {
	({ maildir, fileSystem, queue } = await watchedMaildir());
});
afterEach(() => maildir.remove());

/** Delivers as a server does: what is thrown becomes a Z for each recipient. */
async function deliverAsServer(
	body: Uint8Array,
	recipients: readonly string[],
): Promise<readonly QmtpResponse[]> {
	const delivery = await queue.open(messageInfo());
	try {
		for (const chunk of cut(body, 65_536)) await delivery.write(chunk);
	} catch (error) {
		await delivery.abort(error as Error);
		return refusals(error, recipients);
	}
	try {
		return await delivery.commit({ sender: "s@x", recipients });
	} catch (error) {
		return refusals(error, recipients);
	}
}

function refusals(error: unknown, recipients: readonly string[]): QmtpResponse[] {
	expect(error).toBeInstanceOf(QueueError);
	const { message, permanent } = error as QueueError;
	return recipients.map(() => ({ status: permanent ? "D" : "Z", description: message }));
}

/** Each recipient with a K has its file, whole, and nobody else has one. */
async function expectOnlyWhatWasSaid(
	body: Uint8Array,
	recipients: readonly string[],
	responses: readonly QmtpResponse[],
): Promise<void> {
	expect(responses).toHaveLength(recipients.length);
	const stored = await maildir.stored();
	const told = recipients.filter((_, index) => responses[index]?.status === "K");
	expect(stored.map(({ recipient }) => recipient).sort()).toEqual(told);
	for (const copy of stored) expect(Buffer.compare(copy.body, body)).toBe(0);
	expect([...fileSystem.openPaths.values()]).toEqual([]);
}

describe.each([
	{ size: 1000, recipients: RECIPIENTS.slice(0, 1) },
	{ size: 1000, recipients: RECIPIENTS },
	{ size: 600_000, recipients: RECIPIENTS.slice(0, 1) },
	{ size: 600_000, recipients: RECIPIENTS },
])("a message of $size bytes for $recipients", ({ size, recipients }) => {
	const body = noise(size);

	it.each([
		["before", "ENOSPC", "insufficient disk space (#4.3.1)"],
		["before", "EMFILE", "out of file descriptors (#4.3.0)"],
		["before", "EIO", "disk error (#4.3.0)"],
		["after", "EIO", "disk error (#4.3.0)"],
	] as const)(
		"gets a K only where it is stored, whichever call fails (%s its effect, with %s)",
		async (when, code, reason) => {
			for (let number = 1; ; number++) {
				let failed: Call | null = null;
				fileSystem.watch({
					[when]: (call: Call) => {
						// What is undone after an open or an unlink that "fails" is not what this is about.
						if (call.number !== number || call.name === "unlink") return;
						if (when === "after" && call.name === "open") return;
						failed = call;
						throw systemError(code);
					},
				});
				const responses = await deliverAsServer(body, recipients);
				const calls = fileSystem.calls;
				await expectOnlyWhatWasSaid(body, recipients, responses);
				expect(await maildir.names("tmp")).toEqual([]);
				for (const { status, description } of responses) {
					if (status !== "K") expect({ status, description }).toEqual({ status: "Z", description: reason });
				}
				await clear();
				if (failed === null && number > calls) break;
			}
		},
	);

	it("gets Z when every write after some point fails, and leaves nothing", async () => {
		for (let number = 1; ; number++) {
			let failed = false;
			fileSystem.watch({
				before: (call) => {
					if (call.number < number || call.name !== "writev") return;
					failed = true;
					throw systemError("ENOSPC");
				},
			});
			const responses = await deliverAsServer(body, recipients);
			await expectOnlyWhatWasSaid(body, recipients, responses);
			expect(await maildir.names("tmp")).toEqual([]);
			await clear();
			if (!failed) break;
		}
	});

	it("is stored whole when the system writes and reads less than it was asked for", async () => {
		let state = 1;
		const some = (bytes: number) => {
			state = (state * 16807) % 2147483647;
			return Math.max(1, Math.floor(bytes * (state / 2147483647)));
		};
		const slow: MaildirFileSystem = {
			...nodeFileSystem,
			writev: (descriptor, views) => {
				const first = views.find(({ length }) => length > 0) as Uint8Array;
				return state % 3 === 0
					? nodeFileSystem.writev(descriptor, [...views.slice(0, 1), first].slice(0, 1))
					: nodeFileSystem.writev(descriptor, [first.subarray(0, some(first.length))]);
			},
			read: (descriptor, block, length, position) =>
				nodeFileSystem.read(descriptor, block, some(length), position),
		};
		const slowly = maildirQueue({ path: maildir.path, fileSystem: slow });
		await deliver(slowly, cut(body, 65_536), { sender: "s@x", recipients });
		const stored = await maildir.stored();
		expect(stored.map(({ recipient }) => recipient).sort()).toEqual(recipients);
		for (const copy of stored) expect(Buffer.compare(copy.body, body)).toBe(0);
	});

	async function clear(): Promise<void> {
		await maildir.empty();
		fileSystem.watch({});
	}
});

describe("a fault for one of several recipients", () => {
	it.each(["open", "writev", "fsync", "close", "rename"] as const)(
		"of %s leaves the others their K",
		async (name) => {
			const body = noise(1000);
			const paths = new Set<string>(); // in the order in which they were opened
			fileSystem.watch({
				before: (call) => {
					if (!call.path.includes("/tmp/")) return;
					paths.add(call.path);
					if (call.name === name && call.path === [...paths][1]) throw systemError("EIO");
				},
			});
			const responses = await deliverAsServer(body, RECIPIENTS);
			expect(statuses(responses)).toBe("KZK");
			await expectOnlyWhatWasSaid(body, RECIPIENTS, responses);
			expect(await maildir.names("tmp")).toEqual([]);
		},
	);

	it("is no fault of a recipient that was refused", async () => {
		fileSystem.watch({
			before: ({ name }) => {
				if (name === "rename") throw systemError("EIO");
			},
		});
		const responses = await deliver(queue, [bytesOf("x\n")], {
			sender: "s@x",
			recipients: ["bad\n@x", "r@x"],
		});
		expect(statuses(responses)).toBe("DZ");
	});
});

describe("a fault for all recipients", () => {
	it.each([
		["EACCES", "maildir is not writable (#4.3.0)"],
		["EROFS", "maildir is on a read-only file system (#4.3.0)"],
		["ENFILE", "out of file descriptors (#4.3.0)"],
		["EDQUOT", "insufficient disk space (#4.3.1)"],
		["EBADMSG", "cannot write to the maildir (#4.3.0)"],
	])("rejects with the system's %s as its cause, and no path in its text", async (code, message) => {
		const cause = systemError(code);
		fileSystem.watch({
			before: ({ name, path }) => {
				if (name === "open" && path.includes("/tmp/")) throw cause;
			},
		});
		const envelope = { sender: "s@x", recipients: RECIPIENTS };
		const sent = deliver(queue, [bytesOf("x\n")], envelope);
		await expect(sent).rejects.toMatchObject({ message, permanent: false, cause });
	});

	it("has a code of its own when the disk is full", async () => {
		fileSystem.watch({
			before: ({ name }) => {
				if (name === "writev") throw systemError("ENOSPC");
			},
		});
		const envelope = { sender: "s@x", recipients: RECIPIENTS };
		const code = "ERR_QMTP_QUEUE_FULL";
		await expect(deliver(queue, [bytesOf("x\n")], envelope)).rejects.toMatchObject({ code });
		const delivery = await queue.open(messageInfo());
		await delivery.write(noise(300_000));
		await expect(delivery.commit(envelope)).rejects.toMatchObject({ code });
		expect(await maildir.names("tmp")).toEqual([]);
	});
});

describe("making the folders", () => {
	it("fails the first message for each call that fails, and not the second", async () => {
		for (let number = 1; ; number++) {
			await maildir.remove();
			let failed = false;
			fileSystem.watch({
				before: (call) => {
					if (call.number !== number) return;
					failed = true;
					throw systemError("EIO");
				},
			});
			queue = maildirQueue({ path: `${maildir.path}/far/down`, fileSystem });
			const opened = Promise.resolve(queue.open(messageInfo()));
			const error = await opened.then(
				() => null,
				(reason: unknown) => reason,
			);
			// Without its left-overs cleared, a maildir works as well.
			if (error !== null)
				expect(error).toMatchObject({ code: "ERR_QMTP_QUEUE", message: "disk error (#4.3.0)" });
			expect([...fileSystem.openPaths.values()]).toEqual([]);
			fileSystem.watch({});
			const responses = await deliver(queue, [bytesOf("x\n")], { sender: "s@x", recipients: ["r@x"] });
			expect(statuses(responses)).toBe("K");
			if (!failed) break;
		}
	});

	it("syncs each folder that it made a folder in, before the first message is taken", async () => {
		const path = `${maildir.path}/far/down`;
		const log: string[] = [];
		fileSystem.watch({
			after: ({ name, path: at }) => {
				if (name === "mkdir" || name === "fsync") log.push(`${name} ${at.replace(maildir.path, "")}`);
			},
		});
		await maildirQueue({ path, fileSystem }).open(messageInfo());
		expect(log).toEqual([
			"mkdir /far",
			"fsync ",
			"mkdir /far/down",
			"fsync /far",
			"mkdir /far/down/tmp",
			"mkdir /far/down/new",
			"mkdir /far/down/cur",
			"fsync /far/down",
		]);
	});
});

describe("a disk that is really full", () => {
	it("gets Z, keeps nothing of the message, and takes smaller ones", async (context) => {
		const path = `${maildir.path}-full`;
		mkdirSync(path);
		const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path], { encoding: "utf8" });
		context.skip(mount.status !== 0, "no tmpfs can be mounted here");
		try {
			queue = maildirQueue({ path });
			// The body's file takes 400 kB, and each copy.
			const responses = await deliverAsServer(noise(400_000), RECIPIENTS);
			const refused = responses.filter(({ status }) => status !== "K");
			expect(refused.length).toBeGreaterThan(1);
			for (const { status, description } of refused) {
				expect({ status, description }).toEqual({
					status: "Z",
					description: "insufficient disk space (#4.3.1)",
				});
			}
			expect(readdirSync(`${path}/tmp`)).toEqual([]);
			expect(readdirSync(`${path}/new`)).toHaveLength(3 - refused.length);
			expect(statuses(await deliverAsServer(noise(3_000_000), RECIPIENTS))).toBe("ZZZ");
			expect(readdirSync(`${path}/tmp`)).toEqual([]);
			expect(statuses(await deliverAsServer(noise(1000), RECIPIENTS))).toBe("KKK");
		} finally {
			spawnSync("umount", [path]);
		}
	});
});
