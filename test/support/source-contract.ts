/**
 * The contract of `Source`, as tests. `sourceContract()` is called with a function that makes an empty source and the
 * queue that fills it.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import { encodeAddress } from "../../src/protocol/envelope.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import type { Queue } from "../../src/queue/queue.js";
import type { Job, Source, TakeOptions } from "../../src/queue/source.js";
import { bytesOf } from "./bytes.js";
import { deliver, noise } from "./queue-contract.js";
import { messageInfo } from "./queue-message-info.js";
import { readAll } from "./queue-spool.js";

const K = accepted();
const Z = deferred();
const D = rejected();

/** A source, and what a test must do to it. */
export interface SourceUnderTest {
	/** It looks for mail every few ms. */
	readonly source: Source & { close(): Promise<void> };
	/** Where mail is put that the source hands out. */
	readonly queue: Queue;
	/** How many messages are there. */
	count(): Promise<number>;
	/** Closes and removes everything. */
	dispose(): Promise<void>;
}

/** Runs the contract. @param create - Makes a source whose clock this is. */
export function sourceContract(name: string, create: (now: () => number) => Promise<SourceUnderTest>): void {
	describe(`${name} keeps the contract of a source`, () => {
		let test: SourceUnderTest;
		let source: SourceUnderTest["source"];
		let now: number;
		beforeEach(async () => {
			now = Date.now();
			test = await create(() => now);
			source = test.source;
		});
		afterEach(() => test.dispose());

		/** Puts so many messages in, one after the other, each for a recipient of its own. */
		async function store(count: number, first = 0): Promise<void> {
			for (let number = first; number < first + count; number++) {
				const envelope = { sender: "s@example.org", recipients: [recipient(number)] };
				// Ids of one length, since a source may put messages of one millisecond in their order.
				await deliver(
					test.queue,
					[bytesOf(`${number}\n`)],
					envelope,
					messageInfo({ id: String(1000 + number) }),
				);
			}
		}

		describe("a job", () => {
			it.each([0, 1, 5000, 262_144, 262_145, 1_500_000])(
				"has the message, of %i bytes, as often as it is read",
				async (size) => {
					const body = noise(size);
					const envelope = { sender: "s@example.org", recipients: ["a@example.com"] };
					await deliver(test.queue, [body], envelope);
					const job = await one(source);
					expect(job).toMatchObject({ size, attempts: 0, envelope });
					expect(job.id).toMatch(/^\d+$/);
					expect(Math.abs(job.queuedAt - now)).toBeLessThan(60_000);
					for (let reads = 0; reads < 2; reads++) expect((await readAll(job.body)).equals(body)).toBe(true);
					for await (const chunk of job.body) {
						expect(body.subarray(0, chunk.length)).toEqual(new Uint8Array(chunk));
						break; // and the next read begins at the start all the same
					}
					expect((await readAll(job.body)).equals(body)).toBe(true);
					await job.settle([K]);
					expect(await test.count()).toBe(0);
				},
			);

			it.each([5000, 300_000])("gives its chunks away, of %i bytes, and keeps the message", async (size) => {
				const body = noise(size);
				await deliver(test.queue, [body], { sender: "", recipients: ["a@example.com"] });
				const job = await one(source);
				for await (const chunk of job.body) chunk.fill(0);
				expect((await readAll(job.body)).equals(body)).toBe(true);
				for await (const chunk of job.body) chunk.fill(0);
				await job.settle([Z], now);
				expect((await readAll((await one(source)).body)).equals(body)).toBe(true);
			});

			it("has no body any more when it is settled for good", async () => {
				await deliver(test.queue, [noise(300_000)], { sender: "", recipients: ["a@example.com"] });
				const job = await one(source);
				await job.settle([D]);
				await expect(readAll(job.body)).rejects.toThrow(QueueError);
			});

			it.each(["utf-8", "latin1"] as const)("keeps %s addresses, byte for byte", async (addressEncoding) => {
				const envelope =
					addressEncoding === "latin1"
						? { sender: "\xff\x80@example.org", recipients: ["j\xfcrgen@example.com"] }
						: { sender: "ユーザー@example.org", recipients: ["jürgen@example.com"] };
				await deliver(test.queue, [bytesOf("x\n")], envelope, messageInfo({ addressEncoding }));
				const job = await one(source);
				const given = [job.envelope.sender, ...job.envelope.recipients];
				const wanted = [envelope.sender, ...envelope.recipients];
				expect(given.map((address) => hex(address, job.addressEncoding))).toEqual(
					wanted.map((address) => hex(address, addressEncoding)),
				);
			});

			it("is of the message that came first", async () => {
				await store(5);
				expect(await recipientsOf(source, 5)).toEqual([0, 1, 2, 3, 4].map(recipient));
			});

			it("has an id of its own, which stays", async () => {
				await store(3);
				const jobs = [await one(source), await one(source), await one(source)];
				expect(new Set(jobs.map(({ id }) => id)).size).toBe(3);
				await jobs[1]?.settle([Z], now);
				expect((await one(source)).id).toBe(jobs[1]?.id);
			});
		});

		describe("settle", () => {
			it.each([K, D])("is done with a $status", async (response) => {
				await store(2);
				await (await one(source)).settle([response]);
				expect(await test.count()).toBe(1);
				expect(await recipientsOf(source, 1)).toEqual([recipient(1)]);
			});

			it("has a Z tried again at the given time, and not before", async () => {
				await store(1);
				const first = await one(source);
				await first.settle([Z], new Date(now + 60_000));
				const waiting = taken(source).next();
				now += 59_999;
				await store(1, 1); // what comes meanwhile is first
				const second = (await waiting).value as Job;
				expect(second.envelope.recipients).toEqual([recipient(1)]);
				await second.settle([K]);
				now += 1;
				const again = await one(source);
				expect(again).toMatchObject({ id: first.id, attempts: 1, queuedAt: first.queuedAt });
				await again.settle([Z], now);
				expect(await one(source)).toMatchObject({ id: first.id, attempts: 2 });
			});

			it("tries again in five minutes unless it is told when", async () => {
				await store(1);
				await (await one(source)).settle([Z]);
				await store(1, 1);
				now += 299_999;
				expect(await recipientsOf(source, 1)).toEqual([recipient(1)]);
				now += 1;
				expect(await recipientsOf(source, 1)).toEqual([recipient(0)]);
			});

			it("is refused with a wrong number of responses, with what is no time, and after it has settled", async () => {
				await store(1);
				const job = await one(source);
				await expect(job.settle([])).rejects.toMatchObject({ code: "ERR_QMTP_RESPONSES" });
				await expect(job.settle([K, K])).rejects.toThrow(UsageError);
				await expect(job.settle([Z], Number.NaN)).rejects.toMatchObject({ code: "ERR_QMTP_OPTION" });
				await job.settle([K]);
				await expect(job.settle([K])).rejects.toMatchObject({ code: "ERR_QMTP_ENDED" });
			});
		});

		describe("take", () => {
			it("hands out what comes while it waits", async () => {
				const taking = taken(source, { concurrency: 2 });
				for (let number = 0; number < 3; number++) {
					const waiting = taking.next();
					await store(1, number);
					const job = (await waiting).value as Job;
					expect(job.envelope.recipients).toEqual([recipient(number)]);
					await job.settle([K]);
				}
			});

			it("has no more jobs out than it was told, and one more for each that is settled", async () => {
				await store(5);
				const taking = taken(source, { concurrency: 2 });
				const jobs = [await nextOf(taking), await nextOf(taking)];
				const third = taking.next();
				let isThere = false;
				third.then(() => {
					isThere = true;
				});
				await store(1, 5);
				expect(isThere).toBe(false);
				await jobs[0]?.settle([K]);
				await third;
				const fourth = taking.next();
				await jobs[1]?.settle([Z], now + 60_000);
				await fourth;
				expect(await test.count()).toBe(5);
			});

			it("gives nobody what somebody has", async () => {
				await store(40);
				const loops = Array.from({ length: 4 }, () => recipientsOf(source, 10));
				const expected = Array.from({ length: 40 }, (_, number) => recipient(number));
				expect((await Promise.all(loops)).flat().sort()).toEqual(expected.sort());
			});

			it("ends when its signal is aborted, and what is out stays out and can be settled", async () => {
				await store(2);
				const stop = new AbortController();
				const taking = taken(source, { concurrency: 5, signal: stop.signal });
				const job = await nextOf(taking);
				stop.abort();
				expect((await taking.next()).done).toBe(true);
				const other = await one(source);
				expect(other).toMatchObject({ envelope: { recipients: [recipient(1)] }, attempts: 0 });
				await job.settle([K]);
				await other.settle([K]);
				expect(await test.count()).toBe(0);
			});

			it("ends while it waits: with its signal, and when the source is closed", async () => {
				expect((await taken(source, { signal: AbortSignal.abort() }).next()).done).toBe(true);
				const stop = new AbortController();
				const waits = [taken(source, { signal: stop.signal }).next(), taken(source).next()];
				await store(1);
				await Promise.any(waits); // one of them has it, the other waits
				stop.abort();
				await source.close();
				const ends = await Promise.all(waits);
				expect(ends.filter(({ done }) => done === true)).toHaveLength(1);
				await expect(taken(source).next()).rejects.toThrow(QueueError);
			});

			it("hands the rest to the next loop when one has ended", async () => {
				await store(3);
				for await (const job of source.take({ concurrency: 3 })) {
					await job.settle([K]);
					break;
				}
				expect(await recipientsOf(source, 2)).toEqual([recipient(1), recipient(2)]);
			});

			it.each([0, -1, 1.5, Number.NaN])("refuses a concurrency of %d", async (concurrency) => {
				const taking = taken(source, { concurrency });
				await expect(taking.next()).rejects.toMatchObject({ code: "ERR_QMTP_OPTION" });
			});
		});
	});
}

/** A loop over a source. */
export function taken(
	source: Source,
	options: TakeOptions = {},
): AsyncIterableIterator<Job> & { return(): Promise<unknown> } {
	return source.take(options) as ReturnType<typeof taken>;
}

/** The next job of a loop, which must have one. */
export async function nextOf(taking: AsyncIterator<Job>): Promise<Job> {
	const { value, done } = await taking.next();
	if (done === true) throw new Error("there is no job");
	return value;
}

/** One job, which stays out when the loop has ended. */
export async function one(source: Source): Promise<Job> {
	const taking = taken(source, { concurrency: 1 });
	const job = await nextOf(taking);
	await taking.return();
	return job;
}

/** The first recipients of so many jobs, which stay out. */
export async function recipientsOf(source: Source, count: number): Promise<string[]> {
	const recipients: string[] = [];
	for (; recipients.length < count; ) recipients.push((await one(source)).envelope.recipients[0] as string);
	return recipients;
}

function recipient(number: number): string {
	return `r${String(number).padStart(3, "0")}@example.com`;
}

function hex(address: string, encoding: "utf-8" | "latin1"): string {
	return Buffer.from(encodeAddress(address, encoding)).toString("hex");
}
