/** The limit that workers share: the worker's side and the primary's, with the messages between them held back. */
import { beforeEach, describe, expect, test } from "vitest";
import type { PlaceAnswer, PlaceRequest } from "../../src/cli/serve/workers/messages.js";
import { WorkerPlaces } from "../../src/cli/serve/workers/places.js";
import { SharedLimit } from "../../src/cli/serve/workers/shared-limit.js";
import { ConnectionLimit, type NoPlace, type Place } from "../../src/server/connection-limit.js";

const NEVER = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A worker and its primary, in one process. */
class Pair {
	readonly limit: SharedLimit;
	readonly places: WorkerPlaces;
	/** What is on its way. */
	readonly toPrimary: PlaceRequest[] = [];
	readonly toWorker: PlaceAnswer[] = [];

	constructor(limit: ConnectionLimit) {
		this.limit = new SharedLimit((message) => this.toPrimary.push(message));
		this.places = new WorkerPlaces(limit, (message) => this.toWorker.push(message));
	}

	/** Hands over all that is on its way, and what comes of it. */
	async deliver(): Promise<void> {
		do {
			for (const message of this.toPrimary.splice(0)) this.places.receive(message);
			await turn();
			for (const message of this.toWorker.splice(0)) this.limit.receive(message);
			await turn();
		} while (this.toPrimary.length + this.toWorker.length > 0);
	}

	async enter(address: string): Promise<Place | NoPlace> {
		const entered = this.limit.enter(address, NEVER);
		await this.deliver();
		return entered;
	}
}

describe("a limit of two connections, one for each address, and one that waits", () => {
	let limit: ConnectionLimit;
	let one: Pair;
	let two: Pair;
	beforeEach(() => {
		limit = new ConnectionLimit({ connections: 2, connectionsPerAddress: 1, waitingConnections: 1 });
		one = new Pair(limit);
		two = new Pair(limit);
	});

	test("is one for both workers", async () => {
		const place = (await one.enter("192.0.2.1")) as Place;
		expect(await two.enter("192.0.2.1")).toBe("client-full");
		await two.enter("192.0.2.2");
		const third = one.limit.enter("192.0.2.3", NEVER);
		await one.deliver();
		expect(limit).toMatchObject({ open: 2, waiting: 1 });
		expect(await two.enter("192.0.2.4")).toBe("full");
		place.leave();
		await one.deliver();
		expect(await third).toHaveProperty("leave");
		expect(limit).toMatchObject({ open: 2, waiting: 0 });
	});

	test("whose it is may be said later, and may be refused", async () => {
		const place = (await one.enter("")) as Place;
		await two.enter("192.0.2.1");
		const claimed = place.claim("192.0.2.1");
		await one.deliver();
		expect(await claimed).toBe(false);
		place.leave();
		await one.deliver();
		expect(limit.open).toBe(1);
		const other = (await one.enter("")) as Place;
		const allowed = other.claim("192.0.2.2");
		await one.deliver();
		expect(await allowed).toBe(true);
	});

	test("a wait that is given up takes no place", async () => {
		await one.enter("192.0.2.1");
		await one.enter("192.0.2.2");
		const stop = new AbortController();
		const waiting = two.limit.enter("192.0.2.3", stop.signal);
		await two.deliver();
		expect(limit.waiting).toBe(1);
		stop.abort();
		expect(await waiting).toBe("full");
		await two.deliver();
		expect(limit).toMatchObject({ open: 2, waiting: 0 });
	});

	test("a place that is given while the worker gives up goes back", async () => {
		const stop = new AbortController();
		const entering = one.limit.enter("192.0.2.1", stop.signal);
		for (const message of one.toPrimary.splice(0)) one.places.receive(message);
		await turn();
		expect(limit.open).toBe(1);
		stop.abort(); // its answer is on the way
		expect(await entering).toBe("full");
		await one.deliver();
		expect(limit.open).toBe(0);
	});

	test("all that a worker has and waits for goes back when it dies", async () => {
		await one.enter("192.0.2.1");
		await one.enter("192.0.2.2");
		const waiting = two.limit.enter("192.0.2.3", NEVER);
		two.limit.enter("192.0.2.4", NEVER);
		await two.deliver();
		one.places.release();
		await turn();
		await two.deliver();
		expect(await waiting).toHaveProperty("leave");
		expect(limit).toMatchObject({ open: 1, waiting: 0 });
		two.places.release();
		expect(limit.open).toBe(0);
	});

	test("a worker that waits and dies in the very turn in which a place is given does not keep it", async () => {
		const place = (await one.enter("192.0.2.1")) as Place;
		await one.enter("192.0.2.2");
		two.limit.enter("192.0.2.3", NEVER);
		await two.deliver();
		place.leave();
		for (const message of one.toPrimary.splice(0)) one.places.receive(message);
		two.places.release();
		await turn();
		expect(limit).toMatchObject({ open: 1, waiting: 0 });
	});

	test("without a primary there are no places", async () => {
		const place = (await one.enter("")) as Place;
		const claiming = place.claim("192.0.2.1");
		const entering = one.limit.enter("192.0.2.2", NEVER);
		one.limit.disconnect();
		expect(await claiming).toBe(false);
		expect(await entering).toBe("full");
		expect(one.limit.enter("192.0.2.3", NEVER)).toBe("full");
		expect(place.claim("192.0.2.1")).toBe(false);
	});
});
