/** What a maildir queue waits for before it says K, and how many messages share an fsync of new/. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DirectorySync } from "../../src/queue/maildir/directory-sync.js";
import { nodeFileSystem } from "../../src/queue/maildir/file-system.js";
import { type MaildirQueue, maildirQueue } from "../../src/queue/maildir.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise, statuses } from "../support/queue-contract.js";
import { systemError, type WatchedFileSystem } from "../support/queue-file-system.js";
import { TestMaildir, watchedMaildir } from "../support/queue-maildir.js";
import { Signal } from "../support/queue-signal.js";

const BODY = bytesOf("Subject: x\n\nx\n");

let maildir: TestMaildir;
let fileSystem: WatchedFileSystem;
let queue: MaildirQueue;
beforeEach(async () => {
	({ maildir, fileSystem, queue } = await watchedMaildir());
});
afterEach(() => maildir.remove());

function send(...recipients: string[]) {
	return deliver(queue, [BODY], { sender: "s@x", recipients });
}

/** A whole delivery into another maildir: a wait that is long enough for anything that does not wait for the disk. */
async function deliverElsewhere(): Promise<void> {
	const other = await TestMaildir.create();
	await deliver(maildirQueue({ path: other.path }), [noise(300_000)], { sender: "s@x", recipients: ["r@x"] });
	await other.remove();
}

describe("a K", () => {
	it.each([
		["the file in tmp/", "/tmp/"],
		["the directory new/", "/new/"],
	])("is not said before the fsync of %s has ended", async (_, part) => {
		const begun = new Signal();
		const gate = new Signal();
		fileSystem.watch({
			before: async ({ name, path }) => {
				if (name !== "fsync" || !path.includes(part)) return;
				begun.give();
				await gate.given;
			},
		});
		let settled = false;
		const responses = send("r@x").finally(() => {
			settled = true;
		});
		await begun.given;
		await deliverElsewhere();
		expect(settled).toBe(false);
		expect(await maildir.names("new")).toHaveLength(part === "/new/" ? 1 : 0);
		gate.give();
		expect(statuses(await responses)).toBe("K");
	});

	it("comes after write, fsync, close and rename of the file and an fsync of new/, in this order", async () => {
		const log: string[] = [];
		fileSystem.watch({
			after: ({ name, path, to }) => {
				const at = path.replace(maildir.path, "").replace(/tmp.*/, "tmp/x");
				log.push(to === "" ? `${name} ${at}` : `${name} ${at} to new`);
			},
		});
		expect(statuses(await send("r@x"))).toBe("K");
		log.push("K");
		expect(log).toEqual([
			"open /tmp/x",
			"writev /tmp/x",
			"fsync /tmp/x",
			"close /tmp/x",
			"rename /tmp/x to new",
			"open /new/",
			"fsync /new/",
			"close /new/",
			"K",
		]);
	});

	it("is said by each of 50 messages in flight after an fsync of new/ that began after its rename", async () => {
		let time = 0;
		const renamed = new Map<string, number>(); // by path in new/
		const syncs: { begun: number; ended: number }[] = [];
		fileSystem.watch({
			before: ({ name, path }) => {
				if (name === "fsync" && path.includes("/new/")) syncs.push({ begun: ++time, ended: Infinity });
			},
			after: ({ name, path, to }) => {
				if (name === "rename") renamed.set(to.slice(to.lastIndexOf("/") + 1), ++time);
				const sync = syncs.at(-1);
				if (name === "fsync" && path.includes("/new/") && sync !== undefined) sync.ended = ++time;
			},
		});
		const recipients = Array.from({ length: 50 }, (_, number) => `r${number}@x`);
		const told = new Map<string, number>();
		await Promise.all(
			recipients.map(async (recipient) => {
				expect(statuses(await send(recipient))).toBe("K");
				told.set(recipient, ++time);
			}),
		);
		const names = await maildir.names("new");
		const stored = await maildir.stored();
		expect(stored).toHaveLength(50);
		for (const [index, { recipient }] of stored.entries()) {
			const from = renamed.get(names[index] as string) as number;
			const to = told.get(recipient) as number;
			expect(syncs.some(({ begun, ended }) => from < begun && ended < to)).toBe(true);
		}
		expect(syncs.length).toBeLessThan(50);
	});
});

describe("an fsync of new/ that fails", () => {
	it("defers its messages and those that came while it ran, removes them, and is not tried again", async () => {
		const begun = new Signal();
		const gate = new Signal();
		let syncs = 0;
		let renames = 0;
		const allRenamed = new Signal();
		fileSystem.watch({
			before: async ({ name, path }) => {
				if (name !== "fsync" || !path.includes("/new/")) return;
				syncs++;
				begun.give();
				await gate.given;
				throw systemError("EIO");
			},
			after: ({ name }) => {
				if (name === "rename" && ++renames === 4) allRenamed.give();
			},
		});
		const first = send("r1@x");
		await begun.given;
		const all = Promise.allSettled([first, send("r2@x"), send("r3@x", "r4@x")]);
		await allRenamed.given;
		await deliverElsewhere();
		expect(await maildir.names("new")).toHaveLength(4);
		gate.give();
		for (const result of await all) {
			expect(result).toMatchObject({ status: "rejected", reason: { message: "disk error (#4.3.0)" } });
		}
		expect(syncs).toBe(1);
		expect(await maildir.names("new")).toEqual([]);
		expect(await maildir.names("tmp")).toEqual([]);
		fileSystem.watch({});
		expect(statuses(await send("r5@x"))).toBe("K");
	});
});

describe("an fsync of a file that fails", () => {
	it("is not tried again", async () => {
		let syncs = 0;
		fileSystem.watch({
			before: ({ name }) => {
				if (name !== "fsync") return;
				syncs++;
				throw systemError("EIO");
			},
		});
		await expect(send("r@x")).rejects.toThrow("disk error (#4.3.0)");
		expect(syncs).toBe(1);
	});
});

describe("DirectorySync", () => {
	it("runs one fsync at a time, and one more for all who came meanwhile", async () => {
		const gates: Signal[] = [];
		const begun: Signal[] = [new Signal(), new Signal()];
		const sync = new DirectorySync(
			{
				...nodeFileSystem,
				fsync: (descriptor) => {
					const gate = new Signal();
					begun[gates.push(gate) - 1]?.give();
					return gate.given.then(() => nodeFileSystem.fsync(descriptor));
				},
			},
			maildir.path,
		);
		const log: string[] = [];
		const wait = (name: string) => sync.sync().then(() => log.push(name));
		const first = wait("first");
		await begun[0]?.given;
		const rest = Promise.all([wait("second"), wait("third")]);
		gates[0]?.give();
		await first;
		expect(log).toEqual(["first"]);
		await begun[1]?.given;
		gates[1]?.give();
		await rest;
		expect(log).toEqual(["first", "second", "third"]);
		expect(gates).toHaveLength(2);
	});
});
