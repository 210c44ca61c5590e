import { expect, test } from "vitest";
import { deferred } from "../../src/protocol/response.js";
import { RetrySchedule } from "../../src/relay/retry.js";
import { hopOnPort, START, startHop, startRelay } from "../support/relay-mail.js";

const DAY = 86_400_000;
const RETRY = { lifetime: 7 * DAY, step: 20, firstRest: 60_000, longestRest: 3_600_000 };

test("the next attempt comes at (sqrt(age) + 20)² seconds", () => {
	const schedule = new RetrySchedule(RETRY, Math.random);
	expect(schedule.next(START, START)).toBe(START + 400_000);
	expect(schedule.next(START, START + 400_000)).toBe(START + 1_600_000);
	expect(schedule.next(START, START + 1_000)).toBe(START + 441_000);
	expect(schedule.next(START, START - 5_000)).toBe(START + 400_000); // a clock that went back
});

test("rests grow from a minute to an hour, chance apart", () => {
	const rests = (random: number) =>
		[1, 2, 3, 6, 7, 8, 100].map((failures) => new RetrySchedule(RETRY, () => random).rest(failures) / 60_000);
	expect(rests(0.5)).toEqual([1, 2, 4, 32, 60, 60, 60]);
	expect(rests(0)).toEqual([0.75, 1.5, 3, 24, 45, 45, 45]);
	expect(Math.max(...rests(0.999))).toBeLessThan(75);
});

test("a message that gets Z is tried on qmail's schedule for seven days, and then bounces", async () => {
	const attempts: number[] = [];
	const hop = await startHop({
		hooks: {
			recipient: (address) => {
				if (address === "sender@example.org") return undefined;
				attempts.push(test.clock.now() - START);
				return deferred("mailbox full (#4.2.2)");
			},
		},
	});
	const test = await startRelay({ to: hop.url });
	const id = await test.put({});
	for (let times = 1; test.all("bounced").length === 0; times++) {
		await test.changes.until(() => test.all("deferred").length >= times || test.all("bounced").length > 0);
		test.clock.moveTo(test.all("deferred").at(-1)?.nextAttempt ?? 0);
	}
	expect(attempts).toEqual(Array.from({ length: 40 }, (_, index) => 400_000 * index ** 2));
	expect(test.all("bounced")).toMatchObject([
		{
			id,
			to: "sender@example.org",
			recipients: [{ status: "D", description: "mailbox full (#4.2.2)", tooOld: true }],
		},
	]);
	await hop.until(1);
	expect(hop.queue.messages).toMatchObject([{ sender: "", recipients: ["sender@example.org"] }]);
	await test.until("delivered", 1);
	expect((await test.spool.stats()).messages).toBe(0);
});

test("what a recipient got is kept: only those with Z are tried again", async () => {
	const tried: string[] = [];
	let full = true;
	const hop = await startHop({
		hooks: {
			recipient: (address) => {
				tried.push(address);
				return full && address === "two@example.com" ? deferred("later (#4.2.0)") : undefined;
			},
		},
	});
	const test = await startRelay({ to: hop.url });
	await test.put({ recipients: ["one@example.com", "two@example.com", "three@example.com"] });
	await test.until("deferred", 1);
	full = false;
	test.clock.moveTo(START + 400_000);
	await test.until("delivered", 2);
	expect(tried).toEqual(["one@example.com", "two@example.com", "three@example.com", "two@example.com"]);
	expect(test.relay.stats()).toMatchObject({ delivered: 3, deferred: 1, bounced: 0 });
	expect((await test.spool.stats()).messages).toBe(0);
});

test("a next hop that is down for two days gets every message once when it is back", async () => {
	const hop = await hopOnPort();
	const test = await startRelay({ to: hop.url });
	const ids: string[] = [];
	const put = async () => {
		ids.push(await test.put({ body: `Subject: number ${ids.length}\n\n` }));
	};
	for (let count = 0; count < 20; count++) await put();
	for (let rests = 1; test.clock.now() < START + 2 * DAY; rests++) {
		await test.until("rest", rests);
		if (rests % 3 === 0) await put();
		test.clock.moveTo(test.all("rest").at(-1)?.until ?? 0);
	}
	const rests = test.all("rest").length;
	await test.until("rest", rests + 1); // the probe that was under way
	const tries = test.all("deferred").filter(({ recipients }) => recipients[0]?.attempted).length;
	// Those that were under way together at the beginning, and then one probe after each rest.
	expect(tries).toBeLessThanOrEqual(20 + rests);
	expect(rests).toBeGreaterThan(40);
	expect(rests).toBeLessThan(65);

	await hop.start();
	const back = test.clock.now();
	test.clock.moveTo(test.all("rest").at(-1)?.until ?? 0);
	expect(test.clock.now() - back).toBeLessThanOrEqual(3_600_000);
	await test.until("back", 1);
	while (test.all("delivered").length < ids.length) {
		const { messages, due } = await test.spool.stats();
		if (messages > 0 && due === 0 && test.relay.stats().messages === 0) {
			test.clock.moveTo(test.clock.now() + 600_000); // those that were probes wait for their time
		}
		await new Promise((resolve) => setImmediate(resolve));
	}
	// A message of two days is tried again after five hours.
	expect(test.clock.now() - back).toBeLessThan(6 * 3_600_000);
	const subjects = hop.queue.messages.map(({ body }) =>
		Number(/number (\d+)/.exec(Buffer.from(body).toString())?.[1]),
	);
	expect(subjects.sort((a, b) => a - b)).toEqual(ids.map((_, index) => index));
	expect((await test.spool.stats()).messages).toBe(0);
});

test("while the next hop is down, what is too old is given up at once, and nothing else is taken", async () => {
	const hop = await hopOnPort();
	const test = await startRelay({ to: hop.url, retry: { lifetime: DAY } });
	// Bounces that nobody is told of, so that none is added to them.
	const old = { sender: "", recipients: ["postmaster@relay.example.org"] };
	const ids = [await test.put(old)];
	await test.until("rest", 1);
	for (let count = 0; count < 5; count++) ids.push(await test.put(old));
	await test.until("deferred", 2); // the one that was tried, and the one that was looked at
	test.clock.moveTo(START + DAY);
	for (let count = 0; count < 5; count++) await test.put({});
	await test.until("dropped", 6);
	await test.changes.until(() => test.all("deferred").length === 3); // one that is young ends it
	expect(test.all("rest")).toHaveLength(2);
	expect(
		test
			.all("dropped")
			.map(({ id }) => id)
			.sort(),
	).toEqual(ids.sort());
	expect(test.all("dropped").filter(({ recipients }) => recipients[0]?.attempted)).toHaveLength(1);
	for (const { recipients } of test.all("dropped")) {
		expect(recipients[0]).toMatchObject({
			tooOld: true,
			description: "no connection to the next hop (#4.4.1)",
		});
	}
	expect((await test.spool.stats()).messages).toBe(5);
});
