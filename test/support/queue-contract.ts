/**
 * The contract of `Queue`, as tests. `queueContract()` is called in the test file of each queue, with a function that
 * makes an empty one and tells what is in it.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Envelope } from "../../src/protocol/envelope.js";
import type { MessageInfo } from "../../src/protocol/message-info.js";
import type { QmtpResponse } from "../../src/protocol/response.js";
import type { Delivery, Queue } from "../../src/queue/queue.js";
import { bytesOf } from "./bytes.js";
import { messageInfo } from "./queue-message-info.js";

/** One message, as stored for one recipient. */
export interface StoredCopy {
	readonly sender: string;
	readonly recipient: string;
	readonly body: Uint8Array;
}

/** A queue, and what a test must see of it. */
export interface QueueUnderTest {
	readonly queue: Queue;
	/** All that was stored, in order: messages as committed, copies of one message in the order of its recipients. */
	stored(): Promise<StoredCopy[]>;
	/** The names of what deliveries have made for themselves and not removed. */
	leftOvers(): Promise<string[]>;
	/** Removes everything. The queue has been closed. */
	dispose(): Promise<void>;
}

/**
 * Runs the contract.
 *
 * @param options - `keeps: false` is for a queue that stores nothing, `ids: "own"` for one whose K tells a number of its
 * own instead of the message's id.
 */
export function queueContract(
	name: string,
	create: () => Promise<QueueUnderTest>,
	options: { readonly keeps: boolean; readonly ids?: "own" | "message" } = { keeps: true },
): void {
	describe(`${name} keeps the contract of a queue`, () => {
		let test: QueueUnderTest;
		let queue: Queue;
		beforeEach(async () => {
			test = await create();
			queue = test.queue;
		});
		afterEach(async () => {
			await queue.close?.();
			await test.dispose();
		});

		async function expectStored(expected: readonly StoredCopy[]): Promise<void> {
			expect(show(await test.stored())).toEqual(options.keeps ? show(expected) : []);
			expect(await test.leftOvers()).toEqual([]);
		}

		describe("a commit", () => {
			it.each(bodies())("stores $name as it came", async ({ chunks }) => {
				const responses = await deliver(queue, chunks, ENVELOPE);
				expect(statuses(responses)).toBe("K");
				await expectStored([copy("you@example.com", chunks)]);
			});

			it("gives one response for each recipient, with one id for the message", async () => {
				const recipients = ["b@example.com", "a@example.com", "c@example.com"];
				const info = messageInfo();
				const before = Math.floor(Date.now() / 1000);
				const responses = await deliver(queue, [bytesOf("x\n")], { ...ENVELOPE, recipients }, info);
				expect(statuses(responses)).toBe("KKK");
				const ids = responses.map(({ description }) => /\d+$/.exec(description)?.[0]);
				expect(new Set(ids).size).toBe(1);
				for (const { description } of responses) {
					const [, seconds, id] = /^ok (\d+) qp (\d+)$/.exec(description) ?? [];
					if (options.ids === "own") expect(Number(id)).toBeGreaterThan(0);
					else expect(id).toBe(info.id);
					expect(Number(seconds)).toBeGreaterThanOrEqual(before);
					expect(Number(seconds)).toBeLessThanOrEqual(Date.now() / 1000);
				}
				await expectStored(recipients.map((recipient) => copy(recipient, [bytesOf("x\n")])));
			});

			it("stores equal recipients each for itself", async () => {
				const recipients = ["a@example.com", "a@example.com"];
				const responses = await deliver(queue, [bytesOf("x\n")], { ...ENVELOPE, recipients });
				expect(statuses(responses)).toBe("KK");
				await expectStored(recipients.map((recipient) => copy(recipient, [bytesOf("x\n")])));
			});

			it("stores a large body for each recipient", async () => {
				const chunks = cut(noise(400_000), 65_536);
				const recipients = ["a@example.com", "b@example.com", "c@example.com"];
				const responses = await deliver(queue, chunks, { ...ENVELOPE, recipients });
				expect(statuses(responses)).toBe("KKK");
				await expectStored(recipients.map((recipient) => copy(recipient, chunks)));
			});

			it("takes an empty sender, an empty recipient, and addresses beyond ASCII", async () => {
				const recipients = ["", "jürgen@example.com", "no-at-sign", "ユーザー@example.com"];
				const responses = await deliver(queue, [bytesOf("x\n")], { sender: "", recipients });
				expect(statuses(responses)).toBe("KKKK");
				await expectStored(recipients.map((recipient) => ({ sender: "", recipient, body: bytesOf("x\n") })));
			});

			it("keeps Latin-1 addresses", async () => {
				const envelope = { sender: "\xff\x80@example.org", recipients: ["j\xfcrgen@example.com"] };
				const info = messageInfo({ addressEncoding: "latin1" });
				expect(statuses(await deliver(queue, [bytesOf("x\n")], envelope, info))).toBe("K");
				if (options.keeps) expect(await test.stored()).toHaveLength(1);
			});

			it("stores many messages that arrive together, each with its own body", async () => {
				const numbers = Array.from({ length: 40 }, (_, number) => number);
				const messages = numbers.map((number) => ({
					chunks: cut(noise(number % 8 === 0 ? 300_000 + number : number * 37, number), 10_007),
					envelope: { sender: `s${number}@example.org`, recipients: [`r${number}@example.com`] },
				}));
				const all = await Promise.all(
					messages.map(({ chunks, envelope }) => deliver(queue, chunks, envelope)),
				);
				expect(all.map(statuses).join("")).toBe("K".repeat(40));
				const expected = messages.map(({ chunks, envelope }) => ({
					sender: envelope.sender,
					recipient: envelope.recipients[0] as string,
					body: Buffer.concat(chunks),
				}));
				expect(show(await test.stored()).sort()).toEqual(options.keeps ? show(expected).sort() : []);
				expect(await test.leftOvers()).toEqual([]);
			});
		});

		describe("an abort", () => {
			const chunks = [
				bytesOf("Subject: x\n\n"),
				bytesOf("first\n"),
				noise(262_144),
				noise(1_500_000),
				bytesOf("last\n"),
			];
			for (let count = 0; count <= chunks.length; count++) {
				it(`leaves nothing after ${count} writes`, async () => {
					const delivery = await open(queue);
					for (const chunk of chunks.slice(0, count)) await delivery.write(chunk);
					await delivery.abort(new Error("the client left"));
					await expectStored([]);
				});
			}

			it("may come more than once, and while another is under way", async () => {
				const delivery = await open(queue);
				await delivery.write(noise(300_000));
				await Promise.all([delivery.abort(new Error("once")), delivery.abort(new Error("twice"))]);
				await delivery.abort(new Error("thrice"));
				await expectStored([]);
			});

			it("waits for a write that is under way", async () => {
				const delivery = await open(queue);
				const { wait } = writeUntilWait(delivery, () => noise(300_000), 100);
				await Promise.all([delivery.abort(new Error("the client left")), wait]);
				await expectStored([]);
			});

			it("does not touch the other deliveries", async () => {
				const lost = await open(queue);
				const kept = await open(queue);
				await lost.write(noise(300_000, 1));
				await kept.write(noise(300_000, 2));
				await lost.abort(new Error("the client left"));
				await kept.write(bytesOf("end\n"));
				expect(statuses(await kept.commit(ENVELOPE))).toBe("K");
				await expectStored([copy("you@example.com", [noise(300_000, 2), bytesOf("end\n")])]);
			});
		});
	});
}

/** Puts one message into a queue. */
export async function deliver(
	queue: Queue,
	chunks: readonly Uint8Array[],
	envelope: Envelope,
	info: MessageInfo = messageInfo(),
): Promise<readonly QmtpResponse[]> {
	const delivery = await queue.open(info);
	for (const chunk of chunks) {
		const wait = delivery.write(chunk);
		if (wait !== undefined) await wait;
	}
	return await delivery.commit(envelope);
}

/** Writes without waiting until a write wants that, or `most` times. The pieces are the delivery's to keep. */
export function writeUntilWait(
	delivery: Delivery,
	piece: () => Uint8Array,
	most: number,
): { wait: void | Promise<void>; writes: number } {
	for (let writes = 1; ; writes++) {
		const wait = delivery.write(piece());
		if (wait !== undefined || writes === most) return { wait, writes };
	}
}

/** The statuses of responses, as one word. */
export function statuses(responses: readonly QmtpResponse[]): string {
	return responses.map(({ status }) => status).join("");
}

/** Bytes in which a lost, doubled or moved piece shows. */
export function noise(size: number, seed = 0): Uint8Array {
	const bytes = new Uint8Array(size);
	let state = (seed * 2654435761 + 1) >>> 0;
	for (let index = 0; index < size; index++) {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		bytes[index] = state >>> 24;
	}
	return bytes;
}

/** Cuts bytes into chunks of `size`, views of them. */
export function cut(bytes: Uint8Array, size: number): Uint8Array[] {
	const chunks: Uint8Array[] = [];
	for (let start = 0; start < bytes.length; start += size) chunks.push(bytes.subarray(start, start + size));
	return chunks;
}

function bodies(): { name: string; chunks: Uint8Array[] }[] {
	const edge = 256 * 1024;
	return [
		{ name: "a body of all byte values", chunks: [Uint8Array.from({ length: 256 }, (_, byte) => byte)] },
		{ name: "an empty body, never written to", chunks: [] },
		{ name: "an empty body, of empty writes", chunks: [new Uint8Array(0), new Uint8Array(0)] },
		{ name: "a body of one byte", chunks: [bytesOf("x")] },
		{
			name: "CR, NUL and no LF at the end",
			chunks: [bytesOf("a\r\nb\rc\0d\n\r\n.\n"), bytesOf("From x\n\0")],
		},
		{ name: "a body in writes of one byte", chunks: cut(noise(5000), 1) },
		{ name: "a body of 256 KiB less one", chunks: cut(noise(edge - 1), 65_536) },
		{ name: "a body of 256 KiB", chunks: cut(noise(edge), 65_536) },
		{ name: "a body of 256 KiB and one", chunks: cut(noise(edge + 1), 65_536) },
		{ name: "a body of 3 MiB in odd pieces", chunks: cut(noise(3 * 1024 * 1024), 10_007) },
		{ name: "a body of 3 MiB in small pieces", chunks: cut(noise(3 * 1024 * 1024), 101) },
		{ name: "a body of 5 MiB in one piece", chunks: [noise(5 * 1024 * 1024)] },
	];
}

async function open(queue: Queue): Promise<Delivery> {
	return await queue.open(messageInfo());
}

function copy(recipient: string, chunks: readonly Uint8Array[]): StoredCopy {
	return { sender: ENVELOPE.sender, recipient, body: Buffer.concat(chunks) };
}

// Bodies as Latin-1, since a difference of two strings is found and shown faster than one of two arrays.
function show(copies: readonly StoredCopy[]): string[] {
	return copies.map(
		({ sender, recipient, body }) => `${sender} -> ${recipient}: ${Buffer.from(body).toString("latin1")}`,
	);
}

const ENVELOPE: Envelope = { sender: "me@example.org", recipients: ["you@example.com"] };
