import { describe, expect, it } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import { memoryQueue } from "../../src/queue/memory.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise, queueContract, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";

queueContract("memoryQueue", async () => {
	const queue = memoryQueue();
	return {
		queue,
		stored: async () =>
			queue.messages.flatMap(({ envelope: { sender, recipients }, body }) =>
				recipients.map((recipient) => ({ sender, recipient, body })),
			),
		leftOvers: async () => [],
		dispose: async () => {},
	};
});

const ENVELOPE = { sender: "s", recipients: ["r"] }; // two bytes

describe("memoryQueue", () => {
	it("keeps what it knows of a message", async () => {
		const queue = memoryQueue();
		const info = messageInfo({ length: 3 });
		const recipients = ["a", "b"];
		await deliver(queue, [bytesOf("abc")], { sender: "s", recipients }, info);
		recipients.push("c"); // the envelope stays the caller's
		const envelope = { sender: "s", recipients: ["a", "b"] };
		expect(queue.messages).toEqual([{ id: info.id, envelope, ...envelope, body: bytesOf("abc"), info }]);
		expect(queue.messages[0]?.info).toBe(info);
	});

	it.each([1, 2])("copies the bytes, in a body of %i writes", async (writes) => {
		const queue = memoryQueue();
		const chunk = Buffer.from("a chunk of the network");
		const delivery = await queue.open(messageInfo());
		for (let count = 0; count < writes; count++) await delivery.write(chunk.subarray(2, 7));
		await delivery.commit(ENVELOPE);
		chunk.fill(0);
		const body = queue.messages[0]?.body as Uint8Array;
		expect(Buffer.from(body).toString()).toBe("chunk".repeat(writes));
		expect(body.buffer.byteLength).toBe(5 * writes);
		expect(Buffer.isBuffer(body)).toBe(false);
	});

	it("holds exactly maxBytes, addresses included", async () => {
		const queue = memoryQueue({ maxBytes: 100 });
		expect(statuses(await deliver(queue, [noise(48)], ENVELOPE))).toBe("K");
		expect(statuses(await deliver(queue, [noise(48)], ENVELOPE))).toBe("K");
		const delivery = await queue.open(messageInfo());
		expect(() => delivery.write(bytesOf("x"))).toThrow(FULL);
		await delivery.abort(new Error("full"));
		expect(queue.messages).toHaveLength(2);
	});

	it("refuses a message by its declared length", () => {
		const queue = memoryQueue({ maxBytes: 100 });
		expect(() => queue.open(messageInfo({ length: 101 }))).toThrow(FULL);
		expect(() => queue.open(messageInfo({ length: 101 }))).toThrow(QueueError);
		queue.open(messageInfo({ length: 100 }));
		queue.open(messageInfo({ length: 101, exact: false })); // it may shrink
	});

	it("counts the messages under way", async () => {
		const queue = memoryQueue({ maxBytes: 100 });
		const first = await queue.open(messageInfo());
		const second = await queue.open(messageInfo());
		await first.write(noise(60));
		expect(() => second.write(noise(41))).toThrow(FULL);
		await first.abort(new Error("the client left"));
		await second.write(noise(41));
		await second.commit(ENVELOPE);
		expect(queue.messages).toHaveLength(1);
	});

	it("stores nothing when the addresses do not fit", async () => {
		const queue = memoryQueue({ maxBytes: 100 });
		const delivery = await queue.open(messageInfo());
		await delivery.write(noise(99));
		await expect(delivery.commit(ENVELOPE)).rejects.toThrow(FULL);
		expect(queue.messages).toEqual([]);
		await deliver(queue, [noise(98)], ENVELOPE);
	});

	it("has room again when messages are taken out", async () => {
		const queue = memoryQueue({ maxBytes: 100 });
		for (let count = 0; count < 10; count++) {
			await deliver(queue, [noise(48)], ENVELOPE);
			await deliver(queue, [noise(48)], ENVELOPE);
			expect(() => queue.open(messageInfo({ length: 1 }))).toThrow(FULL);
			if (count % 2 === 0) queue.messages.length = 0;
			else queue.messages.splice(0, 2);
		}
	});

	it("refuses use after the end", async () => {
		const queue = memoryQueue();
		const delivery = await queue.open(messageInfo());
		await delivery.commit(ENVELOPE);
		expect(() => delivery.write(bytesOf("x"))).toThrow(ENDED);
		await expect(delivery.commit(ENVELOPE)).rejects.toThrow(ENDED);
		const aborted = await queue.open(messageInfo());
		await aborted.abort(new Error("the client left"));
		expect(() => aborted.write(bytesOf("x"))).toThrow(ENDED);
		await expect(aborted.commit(ENVELOPE)).rejects.toThrow(ENDED);
		expect(queue.messages).toHaveLength(1);
	});

	it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("refuses maxBytes %d", (maxBytes) => {
		expect(() => memoryQueue({ maxBytes })).toThrow(UsageError);
	});
});

const FULL = expect.objectContaining({
	code: "ERR_QMTP_QUEUE_FULL",
	permanent: false,
	message: expect.stringContaining("(#4.3.1)"),
});
const ENDED = expect.objectContaining({ code: "ERR_QMTP_ENDED" });
