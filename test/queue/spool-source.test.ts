/** The source of a spool: what it hands out, when, and what is left after a job was settled. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import type { Job, TakeOptions } from "../../src/queue/source.js";
import type { SpoolQueue } from "../../src/queue/spool.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, noise } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { readAll, TestSpool } from "../support/queue-spool.js";

const K = accepted();
const Z = deferred();
const D = rejected();

let spool: TestSpool;
let queue: SpoolQueue;
let now: number;
beforeEach(async () => {
	spool = await TestSpool.create();
	now = 1_800_000_000_000;
	queue = spool.queue({ now: () => now });
});
afterEach(() => spool.remove());

describe("a job", () => {
	it.each([0, 5000, 262_144, 262_145, 1_500_000])(
		"has the message, of %i bytes, as often as it is read",
		async (size) => {
			const body = noise(size);
			const info = messageInfo();
			await deliver(
				queue,
				[body],
				{ sender: "s@example.org", recipients: ["a@example.com", "b@example.com"] },
				info,
			);
			now += 1000;
			const job = await one(queue);
			expect(job).toMatchObject({
				id: info.id,
				size,
				attempts: 0,
				queuedAt: now - 1000,
				addressEncoding: "utf-8",
			});
			expect(job.envelope).toEqual({
				sender: "s@example.org",
				recipients: ["a@example.com", "b@example.com"],
			});
			for (let reads = 0; reads < 2; reads++) expect((await readAll(job.body)).equals(body)).toBe(true);
			await job.settle([K, K]);
			expect(await spool.bodies()).toEqual([]);
			expect(await queue.stats()).toEqual({ messages: 0, due: 0, bytes: 0 });
		},
	);

	it("says how its addresses are encoded, so that no byte of them is lost", async () => {
		const envelope = { sender: "\xff\x80@example.org", recipients: ["j\xfcrgen@example.com", ""] };
		await deliver(queue, [bytesOf("x\n")], envelope, messageInfo({ addressEncoding: "latin1" }));
		const { envelope: given, addressEncoding } = await one(queue);
		expect({ envelope: given, addressEncoding }).toEqual({ envelope, addressEncoding: "latin1" });
	});

	it("is not handed out a second time to who has it when the clock leaps over its lease", async () => {
		const [id] = await store(1);
		const stop = new AbortController();
		const jobs = queue.take({ concurrency: 5, signal: stop.signal });
		const { value: job } = (await jobs.next()) as IteratorYieldResult<Job>;
		now += 3_600_000;
		const second = "2000";
		const envelope = { sender: "", recipients: ["a@example.com"] };
		await deliver(queue, [bytesOf("x\n")], envelope, messageInfo({ id: second }));
		const { value: next } = (await jobs.next()) as IteratorYieldResult<Job>;
		expect([job.id, next.id]).toEqual([id, second]);
		await job.settle([K]);
		await next.settle([K]);
		stop.abort();
		expect((await jobs.next()).done).toBe(true);
		expect(await queue.stats()).toMatchObject({ messages: 0 });
	});

	it("is of the message that has been due for longest", async () => {
		const ids = await store(3);
		expect(await idsOf(queue, 3)).toEqual(ids);
	});
});

describe("settle", () => {
	it("is done with K and D, and has the others tried again at the given time", async () => {
		const recipients = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(
			(name) => `${name}@example.com`,
		);
		await deliver(queue, [bytesOf("x\n")], { sender: "", recipients });
		const first = await one(queue);
		await first.settle([K, Z, D, Z, K, K, K, K, Z, Z], now + 60_000);
		expect(await queue.stats()).toMatchObject({ messages: 1, due: 0 });
		now += 60_000;
		const second = await one(queue);
		expect(second.envelope.recipients).toEqual([
			"b@example.com",
			"d@example.com",
			"i@example.com",
			"j@example.com",
		]);
		expect(second).toMatchObject({ id: first.id, attempts: 1, queuedAt: first.queuedAt });
		await second.settle([Z, K, D, Z], new Date(now + 1));
		now += 1;
		const third = await one(queue);
		expect(third.envelope.recipients).toEqual(["b@example.com", "j@example.com"]);
		expect(third.attempts).toBe(2);
		await third.settle([D, K]);
		expect(await queue.stats()).toMatchObject({ messages: 0 });
	});

	it("tries again in five minutes unless it is told when", async () => {
		const [id] = await store(1);
		await (await one(queue)).settle([Z]);
		expect(await queue.find(id as string)).toMatchObject({
			nextAttempt: now + 300_000,
			taken: false,
			attempts: 1,
		});
	});

	it("keeps equal recipients apart", async () => {
		await deliver(queue, [bytesOf("x\n")], { sender: "", recipients: ["a", "a", "a"] });
		await (await one(queue)).settle([K, Z, K], now);
		expect((await one(queue)).envelope.recipients).toEqual(["a"]);
	});

	it("is refused with a wrong number of responses, with what is no time, and after it has settled", async () => {
		await store(1);
		const job = await one(queue);
		await expect(job.settle([])).rejects.toMatchObject({ code: "ERR_QMTP_RESPONSES" });
		await expect(job.settle([K, K])).rejects.toThrow(UsageError);
		await expect(job.settle([Z], Number.NaN)).rejects.toMatchObject({ code: "ERR_QMTP_OPTION" });
		await job.settle([K]);
		await expect(job.settle([K])).rejects.toMatchObject({ code: "ERR_QMTP_ENDED" });
	});

	it("has stored a bounce before the D counts, if that is what the relay does", async () => {
		await deliver(queue, [bytesOf("x\n")], { sender: "s@example.org", recipients: ["a@example.com"] });
		const job = await one(queue);
		const [stored] = await deliver(queue, [bytesOf("bounce\n")], {
			sender: "",
			recipients: [job.envelope.sender],
		});
		// Whoever dies here has both.
		expect((await spool.stored()).map(({ recipient }) => recipient)).toEqual([
			"a@example.com",
			"s@example.org",
		]);
		await job.settle([stored?.status === "K" ? D : Z]);
		expect((await spool.stored()).map(({ recipient }) => recipient)).toEqual(["s@example.org"]);
	});
});

describe("take", () => {
	it("hands out what comes while it waits", async () => {
		const taking = taken(queue, { concurrency: 2 });
		const waiting = taking.next();
		const [id] = await store(1);
		expect((await waiting).value.id).toBe(id);
		await taking.return();
	});

	it("hands out what another queue over the same spool stores while it waits", async () => {
		const waiting = taken(queue).next();
		await queue.stats(); // both are open
		const [id] = await store(1, spool.queue({ now: () => now }));
		expect((await waiting).value.id).toBe(id);
	});

	it("waits for the time of the next attempt", async () => {
		await store(1);
		await (await one(queue)).settle([Z], now + 50);
		const waiting = taken(queue).next();
		let isThere = false;
		waiting.then(() => {
			isThere = true;
		});
		for (let changes = 0; changes < 5; changes++) await queue.retry("1"); // each has it look again
		expect(isThere).toBe(false);
		now += 50;
		expect((await waiting).value.attempts).toBe(1);
	});

	it("settles nothing after close, which would open the database again", async () => {
		await store(1);
		const job = await one(queue);
		await queue.close();
		await expect(job.settle([K])).rejects.toMatchObject({ code: "ERR_QMTP_QUEUE" });
		expect(await spool.queue().stats()).toMatchObject({ messages: 1 });
	});

	it("has no more jobs out than it was told, and one more for each that is settled", async () => {
		await store(5);
		const taking = taken(queue, { concurrency: 2 });
		const jobs = [await nextOf(taking), await nextOf(taking)];
		const third = taking.next();
		let isThere = false;
		third.then(() => {
			isThere = true;
		});
		await queue.retry("1"); // a transaction
		expect(isThere).toBe(false);
		expect(await queue.stats()).toMatchObject({ due: 3 });
		await jobs[0]?.settle([K]);
		await third;
		expect(await queue.stats()).toMatchObject({ messages: 4, due: 2 });
	});

	it("looks again when something was stored or settled, and not only now and then", async () => {
		const slow = spool.queue({ now: () => now, poll: 1_000_000 });
		const taking = taken(slow, { concurrency: 1 });
		const waiting = taking.next();
		await store(20, slow);
		await (await waiting).value.settle([K]);
		for (let count = 1; count < 20; count++) {
			const next = taking.next();
			await (await next).value.settle([K]);
		}
		const job = taking.next();
		await deliver(slow, [bytesOf("x\n")], { sender: "", recipients: ["a@example.com"] });
		const last = (await job).value;
		const afterIt = taking.next(); // waits since one is out
		await store(1, slow);
		await last.settle([K]);
		expect((await afterIt).value.id).toBe("1000");
	});

	it("gives nobody what somebody has", async () => {
		const ids = await store(40);
		const other = spool.queue({ now: () => now });
		const got = await Promise.all([queue, other, queue, other].map((source) => idsOf(source, 10)));
		expect(got.flat().sort()).toEqual([...ids].sort());
	});

	it("ends when its signal is aborted, and gives back what nobody looked at", async () => {
		await store(5);
		const stop = new AbortController();
		const taking = taken(queue, { concurrency: 5, signal: stop.signal });
		const job = await nextOf(taking);
		expect(await queue.stats()).toMatchObject({ due: 0 });
		stop.abort();
		expect((await taking.next()).done).toBe(true);
		expect(await queue.stats()).toMatchObject({ messages: 5, due: 4 });
		await job.settle([K]);
		const rest = [];
		for (let count = 0; count < 4; count++) rest.push(await one(queue));
		expect(rest.map(({ attempts }) => attempts)).toEqual([0, 0, 0, 0]);
	});

	it("ends while it waits: with its signal, and with the queue", async () => {
		const stop = new AbortController();
		const waits = [taken(queue, { signal: stop.signal }).next(), taken(queue).next()];
		await queue.stats();
		stop.abort();
		expect((await waits[0])?.done).toBe(true);
		await queue.close();
		expect((await waits[1])?.done).toBe(true);
		await expect(taken(queue).next()).rejects.toThrow(QueueError);
		expect((await taken(spool.queue(), { signal: AbortSignal.abort() }).next()).done).toBe(true);
	});

	it("gives back what nobody looked at when the loop over it ends", async () => {
		await store(3);
		for await (const job of queue.take({ concurrency: 3 })) {
			await job.settle([K]);
			break;
		}
		expect(await queue.stats()).toMatchObject({ messages: 2, due: 2 });
	});

	it.each([0, -1, 1.5, Number.NaN])("refuses a concurrency of %d", async (concurrency) => {
		await expect(taken(queue, { concurrency }).next()).rejects.toMatchObject({ code: "ERR_QMTP_OPTION" });
	});
});

describe("a lease", () => {
	it("that has run out lets somebody else have the message, and what the first says still counts", async () => {
		const recipients = ["a@example.com", "b@example.com"];
		await deliver(queue, [bytesOf("x\n")], { sender: "", recipients });
		const first = await one(queue);
		now += 60_001; // and the timer that renews has not come to it
		const other = spool.queue({ now: () => now });
		const second = await one(other);
		expect(second.attempts).toBe(1);
		await first.settle([K, Z], now); // only the K counts: the message is the other's
		expect(await queue.stats()).toMatchObject({ messages: 1, due: 0 });
		await second.settle([Z, Z], now);
		expect((await one(queue)).envelope.recipients).toEqual(["b@example.com"]);
	});

	it("that has run out is no harm if the message is done with meanwhile", async () => {
		await store(1);
		const first = await one(queue);
		now += 60_001;
		await (await one(spool.queue({ now: () => now }))).settle([K]);
		await first.settle([Z]);
		expect(await queue.stats()).toMatchObject({ messages: 0, due: 0 });
	});

	it("is renewed for as long as a job is out", async () => {
		const short = spool.queue({ lease: 600 });
		const [id] = await store(1, short);
		const job = await one(short);
		const times = new Set<number>();
		while (times.size < 4) {
			const { nextAttempt, taken } = (await short.find(id as string)) ?? {};
			expect(taken).toBe(true);
			times.add(nextAttempt as number);
			await new Promise(setImmediate);
		}
		await job.settle([K]);
	});
});

describe("a damaged message", () => {
	it.each(["messages", "states"] as const)(
		"in %s holds up nobody, is told of, and can be removed",
		async (table) => {
			const [damaged, sound] = (await store(2)) as [string, string];
			await queue.close();
			await spool.damage(damaged, table);
			const again = spool.queue({ now: () => now });
			const job = await one(again);
			expect(job.id).toBe(sound);
			await job.settle([K]);
			expect(await again.find(damaged)).toMatchObject({
				recipients: [],
				damage: expect.stringMatching(/damaged/),
			});
			const listed: string[] = [];
			for await (const { id } of again.list()) listed.push(id);
			expect(listed).toEqual([damaged]);
			await expect(again.retry(damaged)).rejects.toMatchObject({ code: "ERR_QMTP_QUEUE" });
			expect(await again.remove(damaged)).toBe("done");
			expect(await again.remove(damaged)).toBe("gone");
			now += 2 * 60 * 60 * 1000; // when it would have been looked at again
			await store(1, again);
			await (await one(again)).settle([K]);
			expect(await again.stats()).toMatchObject({ messages: 0, due: 0 });
		},
	);
});

/** Puts so many messages in, one after the other. @returns Their ids. */
async function store(count: number, into = queue): Promise<string[]> {
	const ids: string[] = [];
	for (let number = 0; number < count; number++) {
		const info = messageInfo({ id: String(1000 + number) });
		await deliver(into, [bytesOf(`${number}\n`)], { sender: "", recipients: ["a@example.com"] }, info);
		ids.push(info.id);
	}
	return ids;
}

function taken(
	source: SpoolQueue,
	options: TakeOptions = {},
): AsyncIterableIterator<Job> & { return(): Promise<unknown> } {
	return source.take(options) as ReturnType<typeof taken>;
}

async function nextOf(taking: AsyncIterator<Job>): Promise<Job> {
	const { value, done } = await taking.next();
	if (done === true) throw new Error("there is no job");
	return value;
}

/** One job, which stays out when the loop has ended. */
async function one(source: SpoolQueue): Promise<Job> {
	const taking = taken(source, { concurrency: 1 });
	const job = await nextOf(taking);
	await taking.return();
	return job;
}

/** The ids of so many jobs, which stay out. */
async function idsOf(source: SpoolQueue, count: number): Promise<string[]> {
	const ids: string[] = [];
	for (; ids.length < count; ) ids.push((await one(source)).id);
	return ids;
}
