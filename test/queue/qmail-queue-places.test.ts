/** How many children there are at once, and that nothing is left of thousands. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { QmailQueue } from "../../src/queue/qmail-queue.js";
import type { Delivery } from "../../src/queue/queue.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { children, descriptors, QmailHome, READ_ALL } from "../support/queue-qmail.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };
const BODY = [bytesOf("x\n")];
const LEFT = new Error("the client left");

let home: QmailHome;
beforeEach(() => {
	home = new QmailHome();
});
afterEach(() => home.remove());

describe("the places", () => {
	it("are never more than asked for, and all are used", async () => {
		const queue = home.queue(READ_ALL, { concurrency: 4 });
		const before = children().length;
		const open = () => Promise.resolve(queue.open(messageInfo()));
		const first = await Promise.all([open(), open(), open(), open()]);
		let turns = 0;
		const later = [open(), open()].map((opening) => opening.finally(() => turns++));
		await deliverAndAbort(first.pop() as Delivery);
		await Promise.race(later);
		expect(turns).toBe(1);
		expect(children().length - before).toBe(4);
		for (const delivery of first) await deliverAndAbort(delivery);
		for (const opening of later) expect(statuses(await (await opening).commit(ENVELOPE))).toBe("K");
		expect(children().length).toBe(before);
	});

	it("are given first come first served, whatever becomes of those before", async () => {
		const queue = home.queue(`${READ_ALL}; test "$FATE" = crash && kill -9 $$; exit 0`, {
			concurrency: 1,
			environment: ({ id }) => {
				if (id === "throw") throw new Error("no variables today");
				return { FATE: id };
			},
		});
		const ended: string[] = [];
		const fates = ["commit", "abort", "missing", "crash", "throw", "commit", "missing", "abort", "commit"];
		const run = async (fate: string) => {
			const access = fate === "missing" ? { environment: { QMAILQUEUE: "/no/such/program" } } : {};
			const delivery: Delivery = await queue.open(messageInfo({ id: fate, access }));
			expect(children()).toHaveLength(1);
			if (fate === "abort") await delivery.abort(LEFT);
			else await delivery.commit(ENVELOPE);
		};
		await Promise.all(
			fates.map((fate) =>
				run(fate).then(
					() => ended.push(fate),
					(error: Error) => ended.push(`${fate}: ${error.message}`),
				),
			),
		);
		expect(ended).toEqual([
			"commit",
			"abort",
			"missing: unable to exec qq (#4.3.0)",
			"crash: qq crashed (#4.3.0)",
			"throw: qq temporary problem (#4.3.0)",
			"commit",
			"missing: unable to exec qq (#4.3.0)",
			"abort",
			"commit",
		]);
	});

	it("are taken until the child has ended", async () => {
		const gate = home.gate("gate");
		const queue = home.queue(`${READ_ALL}; echo >read; read -r line <gate`, { concurrency: 1 });
		const first = deliver(queue, BODY, ENVELOPE);
		await home.line("read");
		const events: string[] = [];
		const second = Promise.resolve(queue.open(messageInfo())).then((delivery) => {
			events.push("second opened");
			return delivery;
		});
		const done = first.then(() => events.push("first committed"));
		expect(children()).toHaveLength(1);
		expect(events).toEqual([]);
		await gate.open();
		await done;
		await (await second).abort(LEFT);
		expect(events.sort()).toEqual(["first committed", "second opened"]);
	});

	it("cost nothing to wait for while there are some: open returns the delivery at once", async () => {
		const delivery = home.queue(READ_ALL).open(messageInfo()) as Delivery;
		expect(delivery.write).toBeTypeOf("function");
		await delivery.abort(LEFT);
	});
});

describe("ten thousand messages", () => {
	it("leave no child, no descriptor, no timer and no warning", { timeout: 300_000 }, async () => {
		const warnings: Error[] = [];
		const warned = (warning: Error) => warnings.push(warning);
		process.on("warning", warned);
		const queue = home.queue(READ_ALL, { concurrency: 50 });
		await many(queue, 100); // whatever is made once
		const before = { descriptors: descriptors(), resources: await resources() };
		const counts = await many(queue, 10_000);
		process.off("warning", warned);
		expect(counts).toEqual({ committed: 8500, aborted: 1000, failed: 500 });
		expect(children()).toEqual([]);
		expect(descriptors()).toBeLessThanOrEqual(before.descriptors);
		expect(await resources()).toEqual(before.resources);
		expect(process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length).toBeLessThan(50);
		expect(warnings).toEqual([]);
	});

	/** Some are committed, each tenth is aborted, and each twentieth finds no program. */
	async function many(queue: QmailQueue, count: number): Promise<Record<string, number>> {
		const counts: Record<string, number> = {};
		const one = async (number: number): Promise<string> => {
			const environment = number % 20 === 1 ? { QMAILQUEUE: "/no/such/program" } : {};
			const delivery = await Promise.resolve(queue.open(messageInfo({ access: { environment } }))).catch(
				() => null,
			);
			if (delivery === null) return "failed";
			await delivery.write(bytesOf("x\n"));
			if (number % 10 === 0) {
				await delivery.abort(LEFT);
				return "aborted";
			}
			return statuses(await delivery.commit(ENVELOPE)) === "K" ? "committed" : "refused";
		};
		let next = 0;
		const worker = async () => {
			while (next < count) {
				const outcome = await one(next++);
				counts[outcome] = (counts[outcome] ?? 0) + 1;
			}
		};
		await Promise.all(Array.from({ length: 60 }, worker));
		return counts;
	}

	/** What keeps this process alive, of the kinds that a child has. */
	async function resources(): Promise<string[]> {
		// Node has closed the last child's handle a turn after its exit.
		await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
		const kinds = ["ProcessWrap", "PipeWrap", "WriteWrap", "ShutdownWrap"];
		return process.getActiveResourcesInfo().filter((kind) => kinds.includes(kind));
	}
});

/** Some of a message, and no more. */
async function deliverAndAbort(delivery: Delivery): Promise<void> {
	await delivery.write(bytesOf("x\n"));
	await delivery.abort(LEFT);
}
