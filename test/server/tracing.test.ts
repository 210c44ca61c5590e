/** What diagnostics channels tell of a server, and in which context its hooks and queue run. */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel, tracingChannel } from "node:diagnostics_channel";
import { expect, onTestFinished, test } from "vitest";
import type { ServerConnectionMessage, ServerPackageTrace } from "../../src/server/package-trace.js";
import { Bench, type BenchOptions, PEER } from "../support/server-bench.js";
import { mail, RECIPIENT, SENDER } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";

const packages = tracingChannel<unknown, ServerPackageTrace>("qmtp:server:package");

/** A server whose packages are traced. */
function traced(options: BenchOptions = {}): {
	bench: Bench;
	events: string[];
	traces: ServerPackageTrace[];
} {
	const events: string[] = [];
	const traces: ServerPackageTrace[] = [];
	const on = (name: string) => (trace: unknown) => {
		const known = traces.indexOf(trace as ServerPackageTrace);
		const number = known < 0 ? traces.push(trace as ServerPackageTrace) - 1 : known;
		events.push(`${name} ${number}`);
	};
	const subscribers = {
		start: on("start"),
		end: on("end"),
		asyncStart: on("asyncStart"),
		asyncEnd: on("asyncEnd"),
		error: on("error"),
	};
	packages.subscribe(subscribers);
	onTestFinished(() => {
		packages.unsubscribe(subscribers);
	});
	return { bench: new Bench(options), events, traces };
}

test("a package starts with its message, and ends with its responses", async () => {
	const { bench, events, traces } = traced();
	expect(await bench.exchange(mail())).toEqual(["Kok"]);
	expect(events).toEqual(["start 0", "end 0", "asyncStart 0", "asyncEnd 0"]);
	expect(traces).toEqual([
		{
			peer: PEER,
			message: bench.queue.deliveries[0]?.info,
			sender: SENDER,
			recipients: [RECIPIENT],
			responses: [{ status: "K", description: "ok" }],
			bodyBytes: 6,
		},
	]);
});

test("what a hook throws is an error of its package, and its answer follows", async () => {
	const failure = new Error("no database");
	const { bench, events, traces } = traced({
		hooks: {
			recipient: () => {
				throw failure;
			},
		},
	});
	expect(await bench.exchange(mail())).toHaveLength(1);
	bench.takeFault();
	expect(events).toEqual(["start 0", "end 0", "error 0", "asyncStart 0", "asyncEnd 0"]);
	expect(traces[0]).toMatchObject({ error: failure, responses: [{ status: "Z" }] });
});

test("a package that never becomes complete ends with an error, and without responses", async () => {
	const { bench, events, traces } = traced();
	expect(await bench.exchange(mail().slice(0, 12))).toEqual([]);
	expect(events).toEqual(["start 0", "end 0", "error 0", "asyncStart 0", "asyncEnd 0"]);
	expect(traces[0]?.error).toMatchObject({ code: "ERR_QMTP_CONNECTION_CLOSED" });
	expect(traces[0]).not.toHaveProperty("responses");
});

test("hooks and the queue run in the context that a subscriber made, each package in its own", async () => {
	const context = new AsyncLocalStorage<string>();
	packages.start.bindStore(context, ({ message }) => message.id);
	onTestFinished(() => {
		packages.start.unbindStore(context);
	});
	const seen: string[][] = [];
	const note = (id: string) => seen.push([id, context.getStore() as string]);
	const bench = new Bench({
		hooks: {
			message: async ({ id }) => {
				await turns(1);
				note(id);
				return undefined;
			},
			recipient: (_, { id }) => {
				note(id);
				return undefined;
			},
		},
		queue: {
			open: ({ id }, usual) => {
				note(id);
				return usual();
			},
			commit: async (_, delivery) => {
				note(delivery.info.id);
				delivery.release();
				return [{ status: "K", description: "ok" }];
			},
		},
	});
	expect(await bench.exchange(mail() + mail())).toEqual(["Kok", "Kok"]);
	expect(seen).toHaveLength(8);
	expect(seen.filter(([id, store]) => id !== store)).toEqual([]);
	expect(new Set(seen.map(([id]) => id)).size).toBe(2);
	expect(context.getStore()).toBeUndefined();
});

test("a connection is told on its own channel", async () => {
	const peers: unknown[] = [];
	const onMessage = (message: unknown) => peers.push((message as ServerConnectionMessage).peer);
	channel("qmtp:server:connection").subscribe(onMessage);
	onTestFinished(() => {
		channel("qmtp:server:connection").unsubscribe(onMessage);
	});
	await new Bench().exchange(mail());
	expect(peers).toEqual([PEER]);
});
