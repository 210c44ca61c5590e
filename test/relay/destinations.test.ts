import { expect, test } from "vitest";
import { deferred } from "../../src/protocol/response.js";
import { Destinations, type NoPlace, type Place } from "../../src/relay/destinations.js";
import { RetrySchedule } from "../../src/relay/retry.js";
import { turns } from "../support/server-signal.js";

const FAILURE = deferred("no connection (#4.4.1)");

function destinationsFor(limits: { concurrency: number; perDestination: number; waiting: number }) {
	const clock = { now: 1_000_000 };
	const retry = { lifetime: 1, step: 20, firstRest: 60_000, longestRest: 3_600_000 };
	const changes: (readonly [string, number | null])[] = [];
	const schedule = new RetrySchedule(retry, () => 0.5);
	const destinations = new Destinations(
		limits,
		schedule,
		() => clock.now,
		(name, until) => {
			changes.push([name, until]);
		},
	);
	return { clock, changes, destinations };
}

/** A place that is there at once. */
function place(entered: Place | NoPlace | Promise<Place | NoPlace>): Place {
	if (entered instanceof Promise || typeof entered === "string") throw new Error(`no place: ${entered}`);
	return entered;
}

/** What a promise has come to by now. */
async function now<T>(promise: T | Promise<T>): Promise<T | "waiting"> {
	let found: T | "waiting" = "waiting";
	Promise.resolve(promise).then((value) => {
		found = value;
	});
	await turns(1);
	return found;
}

test("each destination has its places, and all together have theirs", async () => {
	const { destinations } = destinationsFor({ concurrency: 3, perDestination: 2, waiting: 2 });
	const a1 = place(destinations.enter("a"));
	place(destinations.enter("a"));
	const a3 = destinations.enter("a");
	const a4 = destinations.enter("a");
	expect(destinations.enter("a")).toBe("busy");
	const b1 = place(destinations.enter("b"));
	const b2 = destinations.enter("b");
	expect([destinations.active, destinations.waiting]).toEqual([3, 3]);
	expect([await now(a3), await now(b2)]).toEqual(["waiting", "waiting"]);
	a1.leave(null); // its own come first
	expect(typeof (await now(a3))).toBe("object");
	expect([await now(a4), await now(b2)]).toEqual(["waiting", "waiting"]);
	b1.leave(null);
	expect(typeof (await now(b2))).toBe("object");
	expect(await now(a4)).toBe("waiting");
	expect([destinations.active, destinations.waiting]).toEqual([3, 1]);
});

test("places that become free go to the destinations in turn", async () => {
	const { destinations } = destinationsFor({ concurrency: 2, perDestination: 2, waiting: 9 });
	const first = [place(destinations.enter("a")), place(destinations.enter("a"))];
	const order: string[] = [];
	for (const name of ["b", "b", "c", "c"]) {
		Promise.resolve(destinations.enter(name)).then((entered) => {
			order.push(name);
			setImmediate(() => (entered as Place).leave(null));
		});
	}
	first[0]?.leave(null);
	await turns(10);
	first[1]?.leave(null);
	await turns(10);
	expect(order.sort()).toEqual(["b", "b", "c", "c"]);
	expect([destinations.active, destinations.waiting]).toEqual([0, 0]);
});

test("a destination that cannot be reached rests, ever longer, and one delivery finds out whether it is back", async () => {
	const { clock, changes, destinations } = destinationsFor({ concurrency: 9, perDestination: 3, waiting: 1 });
	const together = [1, 2, 3].map(() => place(destinations.enter("a")));
	const waiting = destinations.enter("a");
	for (const one of together) one.leave(FAILURE); // that is one failure
	expect(await now(waiting)).toBe("rest");
	expect(changes).toEqual([["a", clock.now + 60_000]]);
	expect([destinations.enter("a"), destinations.condition("a"), destinations.down]).toEqual([
		"rest",
		"resting",
		1,
	]);
	expect(destinations.failure("a")).toBe(FAILURE);
	place(destinations.enter("b")).leave(null); // others do not rest

	clock.now += 60_000;
	expect(destinations.condition("a")).toBe("probe");
	const probe = place(destinations.enter("a"));
	const next = destinations.enter("a");
	expect(destinations.enter("a")).toBe("busy");
	probe.leave(FAILURE);
	expect(await now(next)).toBe("rest");
	expect(changes.at(-1)).toEqual(["a", clock.now + 120_000]);

	clock.now += 120_000;
	const second = place(destinations.enter("a"));
	const after = destinations.enter("a");
	second.leave(undefined); // that told nothing: the next one is to find out
	const third = place((await now(after)) as Place);
	third.leave(null);
	expect(changes.at(-1)).toEqual(["a", null]);
	expect([destinations.condition("a"), destinations.down]).toEqual(["up", 0]);
	[1, 2, 3].map(() => place(destinations.enter("a")));
	expect(destinations.restUntil("a")).toBe(0);
});

test("closing sends away those who wait, and lets nobody in", async () => {
	const { destinations } = destinationsFor({ concurrency: 1, perDestination: 1, waiting: 9 });
	const first = place(destinations.enter("a"));
	const waiting = [destinations.enter("a"), destinations.enter("b")];
	destinations.close();
	expect(await Promise.all(waiting)).toEqual(["closing", "closing"]);
	first.leave(null);
	expect([destinations.enter("a"), destinations.active]).toEqual(["closing", 0]);
});
