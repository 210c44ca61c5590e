/** What the connections do when the broker does what it should not: each test has a broker of its own that does. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { REASONS } from "../../src/queue/rabbitmq/fault.js";
import { type RabbitmqQueue, type RabbitmqQueueOptions, rabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { encoded, FakeBroker, type FakePeer, METHODS, type Said } from "../support/rabbitmq-fake.js";

const ENVELOPE = { sender: "s@example.org", recipients: ["a@example.com"] };
const ends: (() => Promise<void>)[] = [];
const faults: string[] = [];

afterEach(async () => {
	for (const end of ends.splice(0).reverse()) await end();
	faults.length = 0;
	vi.restoreAllMocks();
});

async function started(on?: (peer: FakePeer, said: Said) => boolean): Promise<FakeBroker> {
	const broker = await FakeBroker.start(on);
	ends.push(() => broker.stop());
	return broker;
}

function queueOver({ url }: FakeBroker, options: Partial<RabbitmqQueueOptions> = {}): RabbitmqQueue {
	const onFault = ({ message }: Error) => faults.push(message);
	const queue = rabbitmqQueue({ url, pauses: [10, 50], onFault, ...options });
	ends.push(() => queue.close());
	return queue;
}

function send(queue: RabbitmqQueue): ReturnType<typeof deliver> {
	return deliver(queue, [bytesOf("x\n")], ENVELOPE);
}

describe("what comes together with the broker's last word of the opening", () => {
	const close = { replyCode: 541, replyText: "INTERNAL_ERROR", classId: 0, methodId: 0 };
	test.each([
		["garbage", Buffer.from("GARBAGEGARBAGEGARBAGE"), /127\.0\.0\.1:\d+\/: .*frame/i],
		["a close", encoded(0, "ConnectionClose", close), /127\.0\.0\.1:\d+\/: .*INTERNAL_ERROR/],
		[
			"a frame for no channel",
			encoded(9, "BasicAck", { deliveryTag: 1, multiple: false }),
			/127\.0\.0\.1:\d+\/: Frame on unknown channel/,
		],
	])("%s: an attempt that failed, and no end of the process", async (_, more, reason) => {
		let opened = 0;
		const broker = await started((peer, { id }) => {
			if (id !== METHODS.ConnectionOpen || ++opened > 2) return false;
			peer.socket.write(Buffer.concat([encoded(0, "ConnectionOpenOk", { knownHosts: "" }), more]));
			return true;
		});
		const queue = queueOver(broker);
		await expect(queue.prepare()).rejects.toMatchObject({
			code: "ERR_QMTP_QUEUE",
			cause: expect.objectContaining({ message: expect.stringMatching(reason) }),
		});
		await vi.waitFor(async () => expect(statuses(await send(queue))).toBe("K"), 5000); // the second failed, too
		expect(faults).toEqual([expect.stringMatching(reason)]);
	});
});

describe("a broker that errs", () => {
	test("a confirm of what was never published ends the connection, and is no K", async () => {
		for (const [tag, multiple] of [
			[7, false],
			[4_000_000_000, true],
			[0, true],
		] as const) {
			let asked = 0;
			const broker = await started((peer, { id, channel }) => {
				if (id !== METHODS.BasicPublish || ++asked > 1) return false;
				peer.say(channel, "BasicAck", { deliveryTag: tag, multiple });
				return true;
			});
			const queue = queueOver(broker);
			await queue.prepare();
			await expect(send(queue)).rejects.toMatchObject({ message: REASONS.lost });
			expect(faults.pop()).toMatch(
				/127\.0\.0\.1:\d+\/: connection lost: the broker confirmed what was not pub/,
			);
			await vi.waitFor(async () => expect(statuses(await send(queue))).toBe("K"), 5000);
			expect(broker.peers).toHaveLength(2);
		}
	});

	test("when it does not answer a close because of its own fault, the socket is given up", async () => {
		const broker = await started(
			(peer, { id }) => id === METHODS.ConnectionClose && peer === broker.peers[0],
		);
		const queue = queueOver(broker);
		await queue.prepare();
		broker.peers[0]?.say(99, "BasicAck", { deliveryTag: 1, multiple: false });
		await vi.waitFor(
			() => expect(faults.join()).toMatch(/connection lost: Frame on unknown channel/),
			10_000,
		);
		await vi.waitFor(async () => expect(statuses(await send(queue))).toBe("K"), 5000);
	}, 20_000);

	test("a channel that is closing, and about which it does not answer, is not used again", async () => {
		let isClosing = false;
		const broker = await started(({ published }, { id }) => {
			if (id !== METHODS.ChannelClose || published.size === 0) return false;
			isClosing = true;
			return true;
		});
		const queue = queueOver(broker);
		await queue.prepare();
		expect(statuses(await send(queue))).toBe("K");
		const [peer] = broker.peers as [FakePeer];
		const [channel] = peer.published.keys();
		peer.socket.write(Buffer.from([3, 0, channel as number, 0, 0, 0, 1, 120, 0xce])); // a body of no message
		await vi.waitFor(() => expect(isClosing).toBe(true));
		await expect(send(queue)).rejects.toMatchObject({ message: REASONS.notSent });
		await vi.waitFor(async () => expect(statuses(await send(queue))).toBe("K"), 5000);
	});

	test("frames are no larger than what was agreed on", async () => {
		const broker = await started();
		const queue = queueOver(broker);
		await queue.prepare();
		const head = Buffer.from([1, 0, 0, 0, 2, 0, 1]); // of a frame with one byte too many
		broker.peers[0]?.socket.write(Buffer.concat([head, Buffer.alloc(1000)]));
		await vi.waitFor(() => expect(faults.join()).toMatch(/connection lost: .*frame/i), 5000);
	});

	test("one that lets in and drops is called ever less often", async () => {
		vi.spyOn(Math, "random").mockReturnValue(0.999_999);
		const timers = vi.spyOn(globalThis, "setTimeout");
		const broker = await started((peer, { id, channel }) => {
			if (id !== METHODS.ChannelClose) return false;
			peer.say(channel, "ChannelCloseOk");
			peer.socket.end(); // as soon as all is declared
			return true;
		});
		const queue = queueOver(broker, { pauses: [13, 104] });
		await queue.prepare();
		const pauses = () =>
			timers.mock.calls.map(([, ms]) => Math.round(ms ?? 0)).filter((ms) => PAUSES.includes(ms));
		await vi.waitFor(() => expect(pauses().slice(0, 5)).toEqual([...PAUSES, 104]), 5000);
	});
});

test("close may be called twice while something is under way", async () => {
	let release = () => {};
	let asked = false;
	const broker = await started((peer, said) => {
		if (said.id !== METHODS.BasicPublish) return false;
		release = () => peer.answer(said);
		asked = true;
		return true;
	});
	const queue = queueOver(broker);
	await queue.prepare();
	const sent = send(queue);
	await vi.waitFor(() => expect(asked).toBe(true));
	const closed = [queue.close(), queue.close()];
	release();
	expect(statuses(await sent)).toBe("K");
	await Promise.all(closed);
});

test("the first message waits for the first connection no longer than for a confirm", async () => {
	const broker = await started((_, { id }) => id === METHODS.ConnectionOpen);
	const queue = queueOver(broker, { confirmTimeout: 50 });
	await expect(send(queue)).rejects.toMatchObject({ message: REASONS.notConnected });
	expect(() => queue.open(messageInfo())).toThrow(expect.objectContaining({ message: REASONS.notConnected }));
});

const PAUSES: readonly number[] = [13, 26, 52, 104];
