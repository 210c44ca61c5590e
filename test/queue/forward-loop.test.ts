/** Mail that goes in circles: the queue that forwards counts Received fields while they pass. */
import { describe, expect, test } from "vitest";
import { QueueError } from "../../src/errors.js";
import type { MessageInfo } from "../../src/protocol/message-info.js";
import { LoopGuard } from "../../src/queue/forward/loop-guard.js";
import { bytesOf } from "../support/bytes.js";
import { forwardTo, startFront, startHop } from "../support/forward-hop.js";
import { deliver, noise, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { mail, TestClient } from "../support/server-client.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };
const LOOPS = "too many hops, this message is looping (#5.4.6)";

function header(fields: number, end = "\n"): string {
	return `${`Received: from a${end}  by b${end}`.repeat(fields)}Subject: x${end}${end}`;
}

describe.each([
	["small", 10],
	["large", 400_000],
])("a %s message", (_, size) => {
	const send =
		(fields: number, options: Partial<MessageInfo> = {}) =>
		async () => {
			const hop = await startHop();
			const head = bytesOf(header(fields));
			const info = messageInfo({ length: head.length + size, ...options });
			const responses = await deliver(forwardTo(hop.port), [head, noise(size)], ENVELOPE, info);
			return { hop, responses };
		};

	test("with 100 Received fields passes", async () => {
		expect(statuses((await send(100)()).responses)).toBe("K");
	});

	test("with 101 is looping: write() throws, for good, and the next hop stores nothing", async () => {
		const hop = await startHop();
		const head = bytesOf(header(101));
		const delivery = await forwardTo(hop.port).open(messageInfo({ length: head.length + size }));
		let thrown: unknown;
		try {
			await delivery.write(head);
		} catch (error) {
			thrown = error;
		}
		expect(thrown).toBeInstanceOf(QueueError);
		expect(thrown).toMatchObject({ message: LOOPS, permanent: true });
		await delivery.abort(thrown as Error);
		await hop.rest();
		expect(hop.queue.messages).toEqual([]);
	});

	test("is a D for its sender, and the field that the server adds does not count", async () => {
		const hop = await startHop();
		const front = await startFront(forwardTo(hop.port), { received: true });
		const client = await TestClient.connect(front.port);
		for (const encoding of ["\n", "\r"]) {
			const end = encoding === "\n" ? "\n" : "\r\n";
			for (const fields of [100, 101]) {
				client.send(mail({ message: `${encoding}${header(fields, end)}${"x".repeat(size)}` }));
			}
		}
		const looping = `D${LOOPS}`;
		const passed = expect.stringMatching(/^K/);
		expect(await client.receives(4)).toEqual([passed, looping, passed, looping]);
		expect(hop.queue.messages).toHaveLength(2);
		expect(front.faults.map(({ message }) => message)).toEqual([LOOPS, LOOPS]);
	});
});

test("maxReceived is the most that passes", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { maxReceived: 2 });
	expect(statuses(await deliver(queue, [bytesOf(header(2))], ENVELOPE))).toBe("K");
	await expect(deliver(queue, [bytesOf(header(3))], ENVELOPE)).rejects.toThrow(LOOPS);
});

test("fields behind the header do not count", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { maxReceived: 1 });
	expect(statuses(await deliver(queue, [bytesOf(header(1) + header(5))], ENVELOPE))).toBe("K");
});

describe("the guard sees the same whatever the cuts", () => {
	const own = "Received: from us\n";
	const text = `${own}RECEIVED: a\r\n b\nX-Received: no\nreceived:c\nReceivedX: no\r\n\r\nReceived: body\n`;

	function loops(most: number, cuts: readonly number[]): boolean {
		const guard = new LoopGuard(most, own.length);
		let from = 0;
		try {
			for (const to of [...cuts, text.length]) {
				guard.watch(bytesOf(text.slice(from, to)));
				from = to;
			}
		} catch {
			return true;
		}
		return false;
	}

	test("at every one and two places, and byte by byte", () => {
		const wrong: number[][] = [];
		const check = (cuts: number[]) => {
			if (loops(2, cuts) || !loops(1, cuts)) wrong.push(cuts);
		};
		check([]);
		for (let first = 0; first <= text.length; first++) {
			check([first]);
			for (let second = first; second <= text.length; second++) check([first, second]);
		}
		check(Array.from({ length: text.length }, (_, at) => at));
		expect(wrong).toEqual([]);
	});
});
