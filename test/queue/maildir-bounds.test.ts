/** What a maildir queue holds: bytes in memory, descriptors, and files in tmp/. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { MaildirQueue } from "../../src/queue/maildir.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise, statuses, writeUntilWait } from "../support/queue-contract.js";
import { systemError, type WatchedFileSystem } from "../support/queue-file-system.js";
import { type TestMaildir, watchedMaildir } from "../support/queue-maildir.js";
import { messageInfo } from "../support/queue-message-info.js";
import { Signal } from "../support/queue-signal.js";

let maildir: TestMaildir;
let fileSystem: WatchedFileSystem;
let queue: MaildirQueue;
beforeEach(async () => {
	({ maildir, fileSystem, queue } = await watchedMaildir());
});
afterEach(() => maildir.remove());

/** The most descriptors that are open at a time while `run` runs. */
async function mostOpen(run: () => Promise<unknown>): Promise<number> {
	let most = 0;
	fileSystem.watch({
		before: () => {
			most = Math.max(most, fileSystem.openPaths.size);
		},
	});
	await run();
	return most;
}

describe("descriptors", () => {
	it("are few, however many messages arrive together", async () => {
		const numbers = Array.from({ length: 300 }, (_, number) => number);
		const send = (number: number) =>
			deliver(queue, [bytesOf("x\n")], { sender: "s@x", recipients: [`r${number}@x`] });
		expect(await mostOpen(() => Promise.all(numbers.map(send)))).toBeLessThanOrEqual(65);
		expect(await maildir.names("new")).toHaveLength(300);
	});

	it("are few, however many recipients a large message has", async () => {
		const recipients = Array.from({ length: 20 }, (_, number) => `r${number}@x`);
		const send = () => deliver(queue, [noise(300_000)], { sender: "s@x", recipients });
		expect(await mostOpen(send)).toBeLessThanOrEqual(4); // the body's file, two copies, new/
		expect((await maildir.stored()).map(({ recipient }) => recipient)).toEqual(recipients);
	});
});

describe("a large body", () => {
	it("is held in memory only in part: a write waits while two batches are on their way", async () => {
		const gate = new Signal();
		fileSystem.watch({
			before: async ({ name }) => {
				if (name === "writev") await gate.given;
			},
		});
		const delivery = await queue.open(messageInfo());
		const { wait, writes } = writeUntilWait(delivery, () => new Uint8Array(65_536), 1000);
		const written = writes * 65_536;
		expect(wait).toBeInstanceOf(Promise);
		expect(written).toBeLessThan(1024 * 1024);
		gate.give();
		await wait;
		expect(statuses(await delivery.commit({ sender: "s@x", recipients: ["r@x"] }))).toBe("K");
		const [copy] = await maildir.stored();
		expect(copy?.body.length).toBe(written);
	});

	it("in tiny pieces waits by their number, since each may pin a chunk", async () => {
		const gate = new Signal();
		fileSystem.watch({
			before: async ({ name }) => {
				if (name === "writev") await gate.given;
			},
		});
		const delivery = await queue.open(messageInfo());
		await delivery.write(noise(300_000));
		const { wait, writes } = writeUntilWait(delivery, () => bytesOf("x"), 10_000);
		expect(wait).toBeInstanceOf(Promise);
		expect(writes).toBeLessThanOrEqual(1024);
		const aborted = delivery.abort(new Error("the client left"));
		gate.give();
		await Promise.all([aborted, wait]);
		expect(await maildir.names("tmp")).toEqual([]);
	});

	it("is not written on when it is aborted", async () => {
		const gate = new Signal();
		let writes = 0;
		fileSystem.watch({
			before: async ({ name }) => {
				if (name !== "writev") return;
				writes++;
				await gate.given;
			},
		});
		const delivery = await queue.open(messageInfo());
		const { wait } = writeUntilWait(delivery, () => new Uint8Array(300_000), 1000);
		const aborted = delivery.abort(new Error("the client left"));
		gate.give();
		await Promise.all([aborted, wait]);
		expect(writes).toBe(1);
	});

	it("is stored although it is aborted when its commit is under way", async () => {
		const begun = new Signal();
		const gate = new Signal();
		fileSystem.watch({
			before: async ({ name }) => {
				if (name !== "read") return;
				begun.give();
				await gate.given;
			},
		});
		const body = noise(300_000);
		const delivery = await queue.open(messageInfo());
		await delivery.write(body);
		const responses = delivery.commit({ sender: "s@x", recipients: ["r@x"] });
		await begun.given;
		await delivery.abort(new Error("the client left"));
		gate.give();
		expect(statuses(await responses)).toBe("K");
		expect(Buffer.compare((await maildir.stored())[0]?.body as Uint8Array, body)).toBe(0);
	});

	it("tells the writer of a fault, and every write after it", async () => {
		fileSystem.watch({
			before: ({ name }) => {
				if (name === "writev") throw systemError("ENOSPC");
			},
		});
		const delivery = await queue.open(messageInfo());
		const writing = async () => {
			for (;;) await delivery.write(new Uint8Array(700_000));
		};
		await expect(writing()).rejects.toMatchObject({ code: "ERR_QMTP_QUEUE_FULL", permanent: false });
		expect(() => delivery.write(bytesOf("x"))).toThrow("(#4.3.1)");
		await delivery.abort(new Error("full"));
		expect(await maildir.names("tmp")).toEqual([]);
		expect([...fileSystem.openPaths.values()]).toEqual([]);
	});

	it("is stored although its file in tmp/ cannot be removed", async () => {
		fileSystem.watch({
			before: ({ name }) => {
				if (name === "unlink") throw systemError("EIO");
			},
		});
		const responses = await deliver(queue, [noise(300_000)], { sender: "s@x", recipients: ["r@x"] });
		expect(statuses(responses)).toBe("K");
		expect(await maildir.names("new")).toHaveLength(1);
		expect(await maildir.names("tmp")).toHaveLength(1);
	});
});
