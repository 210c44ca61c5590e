/** Jobs of a source that opens late: they behave as those of the generator that comes then. */
import { describe, expect, test } from "vitest";
import { LateJobs, noJobs } from "../../src/queue/late-jobs.js";
import type { Job } from "../../src/queue/source.js";

const job = (id: string) => ({ id }) as Job;

/** A generator of two jobs, and what was done with it. */
function twoJobs(): { log: string[]; generator(): AsyncGenerator<Job, undefined> } {
	const log: string[] = [];
	async function* generator(): AsyncGenerator<Job, undefined> {
		log.push("begun");
		try {
			yield job("1");
			yield job("2");
		} finally {
			log.push("ended");
		}
	}
	return { log, generator };
}

describe("late jobs", () => {
	test("are those of the generator, and it is not begun before somebody asks", async () => {
		const { log, generator } = twoJobs();
		const jobs = new LateJobs(async () => generator());
		await new Promise(setImmediate);
		expect(log).toEqual([]);
		const ids: string[] = [];
		for await (const { id } of jobs) ids.push(id);
		expect(ids).toEqual(["1", "2"]);
		expect(log).toEqual(["begun", "ended"]);
		expect(await jobs.next()).toEqual({ done: true, value: undefined });
	});

	test("come in the order in which they were asked for, also while the source opens", async () => {
		const { generator } = twoJobs();
		const jobs = new LateJobs(async () => generator());
		const results = await Promise.all([jobs.next(), jobs.next(), jobs.next()]);
		expect(results.map(({ value }) => value?.id)).toEqual(["1", "2", undefined]);
	});

	test("end with the loop over them, and so does the generator", async () => {
		const { log, generator } = twoJobs();
		for await (const _ of new LateJobs(async () => generator())) break;
		expect(log).toEqual(["begun", "ended"]);
	});

	test("that nobody has asked for open nothing when they end", async () => {
		let opened = false;
		const jobs = new LateJobs(async () => {
			opened = true;
			return noJobs();
		});
		expect(await jobs.return()).toEqual({ done: true, value: undefined });
		expect(await jobs.next()).toEqual({ done: true, value: undefined });
		expect(opened).toBe(false);
	});

	test("that are ended while the source opens end the generator, too", async () => {
		const { log, generator } = twoJobs();
		let open = () => {};
		const opening = new Promise<void>((resolve) => {
			open = resolve;
		});
		const jobs = new LateJobs(async () => {
			await opening;
			return generator();
		});
		const first = jobs.next();
		const end = jobs.return();
		open();
		expect((await first).value?.id).toBe("1");
		await end;
		expect(log).toEqual(["begun", "ended"]);
		expect((await jobs.next()).done).toBe(true);
	});

	test("into which an error is thrown end the generator, and reject with it", async () => {
		const { log, generator } = twoJobs();
		const jobs = new LateJobs(async () => generator());
		await jobs.next();
		await expect(jobs.throw(new Error("enough"))).rejects.toThrow("enough");
		expect(log).toEqual(["begun", "ended"]);
		expect((await jobs.next()).done).toBe(true);
	});

	test("of a source that cannot be opened say so once, and are at their end", async () => {
		const jobs = new LateJobs(async () => {
			throw new Error("closed");
		});
		await expect(jobs.next()).rejects.toThrow("closed");
		expect(await jobs.next()).toEqual({ done: true, value: undefined });
		expect(await jobs.return()).toEqual({ done: true, value: undefined });
	});
});
