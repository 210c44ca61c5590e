/** Which queue a message waits in. */
import { describe, expect, it } from "vitest";
import { Delays } from "../../src/queue/rabbitmq/delays.js";
import { topologyNames } from "../../src/queue/rabbitmq/topology.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const delays = new Delays(topologyNames("q").retries);

describe("a message that is due", () => {
	it.each([
		[-1, null],
		[0, null],
		[1, "q.retry.1m"],
		[MINUTE, "q.retry.1m"],
		[5 * MINUTE - 1, "q.retry.1m"],
		[5 * MINUTE, "q.retry.5m"],
		[30 * MINUTE - 1, "q.retry.5m"],
		[30 * MINUTE, "q.retry.30m"],
		[2 * HOUR, "q.retry.2h"],
		[6 * HOUR - 1, "q.retry.2h"],
		[6 * HOUR, "q.retry.6h"],
		[7 * 24 * HOUR, "q.retry.6h"],
	])("in %i ms waits in the longest wait that is not too long: %s", (ms, queue) => {
		expect(delays.queueFor(ms)).toBe(queue);
	});

	it("in less than a second, when it comes back, is due", () => {
		expect([delays.onwards(1000), delays.onwards(1001)]).toEqual([null, "q.retry.1m"]);
	});
});

it("a wait is put together of hops that come to an end, never too early and less than a minute too late", () => {
	for (const wait of [1001, MINUTE + 1, 17 * MINUTE, 6 * HOUR + 5, 100 * HOUR - 1]) {
		let left = wait;
		let hops = 0;
		for (let queue = delays.onwards(left); queue !== null; queue = delays.onwards(left)) {
			left -= WAITS[queue.slice("q.retry.".length)] as number;
			hops++;
		}
		expect(left).toBeLessThanOrEqual(1000);
		expect(left).toBeGreaterThan(-MINUTE);
		expect(hops).toBeLessThan(35);
	}
});

it("the queues may be given in any order", () => {
	const two = new Delays([
		{ name: "long", ttl: 500 },
		{ name: "short", ttl: 5 },
	]);
	expect([two.shortest, two.queueFor(4), two.queueFor(499), two.queueFor(500)]).toEqual([
		"short",
		"short",
		"short",
		"long",
	]);
});

const WAITS: Readonly<Record<string, number>> = {
	"1m": MINUTE,
	"5m": 5 * MINUTE,
	"30m": 30 * MINUTE,
	"2h": 2 * HOUR,
	"6h": 6 * HOUR,
};
