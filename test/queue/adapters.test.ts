import { describe, expect, it } from "vitest";
import { QueueError } from "../../src/errors.js";
import { accepted, type QmtpResponse } from "../../src/protocol/response.js";
import { deliveryWritable, writableDelivery } from "../../src/queue/adapters.js";
import { memoryQueue } from "../../src/queue/memory.js";
import type { Delivery } from "../../src/queue/queue.js";
import { bytesOf } from "../support/bytes.js";
import { cut, noise, queueContract } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { Signal } from "../support/queue-signal.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };

// A queue behind both adapters keeps the contract.
queueContract("memoryQueue behind deliveryWritable behind writableDelivery", async () => {
	const queue = memoryQueue();
	return {
		queue: {
			open: async (message) => {
				const delivery = await queue.open(message);
				let envelope = ENVELOPE;
				let responses: readonly QmtpResponse[] = [];
				// The stream wants its envelope when it is closed, which is before the delivery tells its own.
				const held = deliveryWritable({ ...bound(delivery), commit: async () => [] }, () => envelope);
				return writableDelivery(held, async (told) => {
					envelope = { ...told, recipients: [...told.recipients] };
					responses = await delivery.commit(envelope);
					return responses;
				});
			},
		},
		stored: async () =>
			queue.messages.flatMap(({ envelope: { sender, recipients }, body }) =>
				recipients.map((recipient) => ({ sender, recipient, body })),
			),
		leftOvers: async () => [],
		dispose: async () => {},
	};
});

describe("deliveryWritable", () => {
	it("puts a stream into a queue", async () => {
		const queue = memoryQueue();
		const told: (readonly QmtpResponse[])[] = [];
		const body = noise(100_000);
		const delivery = await queue.open(messageInfo());
		const writable = deliveryWritable(
			delivery,
			() => ENVELOPE,
			(responses) => told.push(responses),
		);
		await streamOf(cut(body, 999)).pipeTo(writable);
		expect(told).toHaveLength(1);
		expect(told[0]?.map(({ status }) => status)).toEqual(["K"]);
		expect(queue.messages).toMatchObject([{ envelope: ENVELOPE, body }]);
	});

	it("asks for the envelope when the body has ended", async () => {
		const log: string[] = [];
		const delivery = recorder(log);
		const envelope = async () => {
			log.push("envelope");
			return ENVELOPE;
		};
		await streamOf([bytesOf("a"), bytesOf("b")]).pipeTo(deliveryWritable(delivery, envelope));
		expect(log).toEqual(["write a", "write b", "envelope", "commit"]);
	});

	it("waits where the delivery says so", async () => {
		const log: string[] = [];
		const begun = new Signal();
		const gate = new Signal();
		const delivery = recorder(log, {
			write: () => {
				begun.give();
				return gate.given;
			},
		});
		const writer = deliveryWritable(delivery, () => ENVELOPE).getWriter();
		const writes = Promise.all([writer.write(bytesOf("a")), writer.write(bytesOf("b"))]);
		await begun.given;
		await new Promise(setImmediate);
		expect(log).toEqual(["write a"]);
		gate.give();
		await writes;
		expect(log).toEqual(["write a", "write b"]);
	});

	it("aborts the delivery when the stream is aborted", async () => {
		const log: string[] = [];
		const source = streamOf([bytesOf("a")], new Error("the source broke"));
		await expect(source.pipeTo(deliveryWritable(recorder(log), () => ENVELOPE))).rejects.toThrow("broke");
		expect(log).toEqual(["write a", "abort the source broke"]);
	});

	it("makes an error of a reason that is none", async () => {
		const log: string[] = [];
		await deliveryWritable(recorder(log), () => ENVELOPE).abort("gone");
		expect(log).toEqual(["abort the stream was aborted"]);
	});

	it("aborts the delivery when a write fails, and fails itself", async () => {
		const log: string[] = [];
		const full = new QueueError("ERR_QMTP_QUEUE_FULL", "full (#4.3.1)");
		const delivery = recorder(log, {
			write: () => {
				throw full;
			},
		});
		const piped = streamOf([bytesOf("a"), bytesOf("b")]).pipeTo(deliveryWritable(delivery, () => ENVELOPE));
		await expect(piped).rejects.toBe(full);
		expect(log).toEqual(["write a", "abort full (#4.3.1)"]);
	});

	it("aborts the delivery when there is no envelope", async () => {
		const log: string[] = [];
		const envelope = () => {
			throw new Error("no envelope");
		};
		const piped = streamOf([bytesOf("a")]).pipeTo(deliveryWritable(recorder(log), envelope));
		await expect(piped).rejects.toThrow("no envelope");
		expect(log).toEqual(["write a", "abort no envelope"]);
	});

	it("fails without an abort when the commit does", async () => {
		const log: string[] = [];
		const delivery = recorder(log, { commit: () => Promise.reject(new Error("no disk")) });
		const piped = streamOf([bytesOf("a")]).pipeTo(deliveryWritable(delivery, () => ENVELOPE));
		await expect(piped).rejects.toThrow("no disk");
		expect(log).toEqual(["write a", "commit"]);
	});
});

describe("writableDelivery", () => {
	it("closes the stream, and then asks for the responses", async () => {
		const log: string[] = [];
		const delivery = writableDelivery(sink(log), async (envelope) => {
			log.push(`commit ${envelope.recipients}`);
			return [accepted("ok")];
		});
		await delivery.write(bytesOf("a"));
		expect(await delivery.commit(ENVELOPE)).toEqual([accepted("ok")]);
		expect(log).toEqual(["write a", "close", "commit you@example.com"]);
	});

	it("returns a promise where the stream has no room", async () => {
		const log: string[] = [];
		const delivery = writableDelivery(sink(log, 2), () => []);
		expect(delivery.write(bytesOf("a"))).toBeUndefined();
		const wait = delivery.write(bytesOf("b"));
		expect(wait).toBeInstanceOf(Promise);
		await wait;
		expect(log).toEqual(["write a", "write b"]);
	});

	it("aborts the stream, also twice and after a failure", async () => {
		const log: string[] = [];
		const delivery = writableDelivery(sink(log), () => []);
		await delivery.abort(new Error("once"));
		await delivery.abort(new Error("twice"));
		expect(log).toEqual(["abort once"]);
		const broken = writableDelivery(brokenSink(), () => []);
		await expect(broken.write(bytesOf("a"))).rejects.toThrow("broken");
		await broken.abort(new Error("broken"));
	});

	it.each([1, 10])("does not commit what the stream did not take, with room for %i chunks", async (room) => {
		let committed = false;
		const delivery = writableDelivery(brokenSink(room), () => {
			committed = true;
			return [accepted()];
		});
		const wait = delivery.write(bytesOf("a"));
		if (wait !== undefined) await expect(wait).rejects.toThrow("broken");
		await expect(delivery.commit(ENVELOPE)).rejects.toThrow();
		expect(committed).toBe(false);
	});
});

function recorder(log: string[], overrides: Partial<Delivery> = {}): Delivery {
	return {
		write(bytes) {
			log.push(`write ${Buffer.from(bytes)}`);
			return overrides.write?.(bytes);
		},
		async commit(envelope) {
			log.push("commit");
			return (await overrides.commit?.(envelope)) ?? [];
		},
		async abort(reason) {
			log.push(`abort ${reason.message}`);
		},
	};
}

function bound(delivery: Delivery): Delivery {
	return {
		write: (bytes) => delivery.write(bytes),
		commit: (envelope) => delivery.commit(envelope),
		abort: (reason) => delivery.abort(reason),
	};
}

function streamOf(chunks: readonly Uint8Array[], error?: Error): ReadableStream<Uint8Array> {
	const rest = [...chunks];
	return new ReadableStream(
		{
			pull(controller) {
				const chunk = rest.shift();
				if (chunk !== undefined) controller.enqueue(chunk);
				else if (error !== undefined) controller.error(error);
				else controller.close();
			},
		},
		{ highWaterMark: 0 },
	);
}

function sink(log: string[], highWaterMark = 1): WritableStream<Uint8Array> {
	return new WritableStream(
		{
			write: (chunk) => void log.push(`write ${Buffer.from(chunk)}`),
			close: () => void log.push("close"),
			abort: (reason) => void log.push(`abort ${reason.message}`),
		},
		{ highWaterMark },
	);
}

function brokenSink(highWaterMark = 1): WritableStream<Uint8Array> {
	return new WritableStream(
		{
			write: () => {
				throw new Error("broken");
			},
		},
		{ highWaterMark },
	);
}
