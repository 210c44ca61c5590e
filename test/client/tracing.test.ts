/** The tracing channel `qmtp:client:send`: what it tells of each call, and that calls are the same with and without it. */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel, tracingChannel } from "node:diagnostics_channel";
import { describe, expect, onTestFinished, test } from "vitest";
import type { SendTrace } from "../../src/client/tracing.js";
import { mail, recipients, statuses } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { accept, acceptingServer, ScriptedServer } from "../support/client-server.js";

noUnhandledRejections();

const EVENTS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;

interface Told {
	readonly name: (typeof EVENTS)[number];
	readonly trace: SendTrace;
	/** What was there at that moment; the object goes on to change. */
	readonly copy: SendTrace;
}

/** Listens until the test is over. */
function listen(): Told[] {
	const told: Told[] = [];
	const listeners = Object.fromEntries(
		EVENTS.map((name) => [name, (trace: object) => told.push({ name, ...both(trace as SendTrace) })]),
	) as never;
	const traced = tracingChannel("qmtp:client:send");
	traced.subscribe(listeners);
	onTestFinished(() => void traced.unsubscribe(listeners));
	return told;
}

function both(trace: SendTrace): { trace: SendTrace; copy: SendTrace } {
	return { trace, copy: { ...trace } };
}

test("a call is told from its start to its result, by one object", async () => {
	const told = listen();
	const server = await acceptingServer();
	const client = server.client();
	const sending = client.send(mail({ recipients: recipients(2) }));
	expect(told.map(({ name }) => name)).toEqual(["start", "end"]); // in the very call
	const result = await sending;
	expect(statuses(result)).toBe("KK");
	expect(told.map(({ name }) => name)).toEqual(["start", "end", "asyncStart", "asyncEnd"]);
	const envelope = { sender: "sender@example.org", recipients: recipients(2) };
	const begun = { host: "127.0.0.1", port: server.port, mail: envelope };
	expect(told.map(({ copy }) => copy)).toEqual([begun, begun, { ...begun, result }, { ...begun, result }]);
	expect(new Set(told.map(({ trace }) => trace)).size).toBe(1);
	expect(told[3]?.trace.result).toBe(result);
});

test("calls that are pipelined are told apart, and a D is a result", async () => {
	const told = listen();
	const server = await ScriptedServer.start((connection) =>
		connection.answerAll((package_, index) => (index === 1 ? "3:Dno," : accept(package_))),
	);
	const client = server.client();
	const results = await Promise.all([client.send(mail()), client.send(mail()), client.send(mail())]);
	expect(results.map(statuses)).toEqual(["K", "D", "K"]);
	const ends = told.filter(({ name }) => name === "asyncEnd");
	expect(ends.map(({ trace }) => trace.result)).toEqual(results);
	expect(told.some(({ name }) => name === "error")).toBe(false);
});

describe("a call that rejects", () => {
	test("for misuse is told with its error, and rejects with it", async () => {
		const told = listen();
		const server = await acceptingServer();
		const error = await server
			.client()
			.send(mail({ recipients: [] }))
			.catch((thrown: unknown) => thrown);
		expect(error).toMatchObject({ code: "ERR_QMTP_RECIPIENTS" });
		expect(told.map(({ name }) => name)).toEqual(["start", "end", "error", "asyncStart", "asyncEnd"]);
		expect(told[2]?.copy.error).toBe(error);
		expect(told[2]?.copy).not.toHaveProperty("result");
	});

	test("since there is no connection is told with its error", async () => {
		const told = listen();
		const server = await acceptingServer();
		await server.stop();
		await expect(server.client().send(mail())).rejects.toMatchObject({ code: "ERR_QMTP_CONNECT" });
		expect(told.at(-1)?.copy.error).toMatchObject({ code: "ERR_QMTP_CONNECT" });
	});

	test("without any options rejects as it does when nobody listens", async () => {
		const server = await acceptingServer();
		const client = server.client();
		await expect(client.send(undefined as never)).rejects.toThrow(TypeError);
		const told = listen();
		await expect(client.send(undefined as never)).rejects.toThrow(TypeError);
		expect(told).toEqual([]);
	});
});

test("a call under way is waited for by close(), although it is traced", async () => {
	listen();
	const server = await acceptingServer();
	const client = server.client();
	const sending = client.send(mail());
	await client.close();
	expect(statuses(await sending)).toBe("K");
});

test("a store that is bound to the start is there in what the call runs, such as its source", async () => {
	const spans = new AsyncLocalStorage<string>();
	const start = channel("tracing:qmtp:client:send:start");
	start.bindStore(spans, (trace) => `to ${(trace as SendTrace).mail.recipients[0]}`);
	onTestFinished(() => void start.unbindStore(spans));
	const server = await acceptingServer();
	const seen: unknown[] = [];
	async function* source() {
		seen.push(spans.getStore());
		yield Buffer.from("hello\n");
	}
	await server.client().send(mail({ message: source() }));
	expect(seen).toEqual(["to rcpt@example.com"]);
	expect(spans.getStore()).toBeUndefined();
});

test("with no subscriber left nothing is told", async () => {
	const told: unknown[] = [];
	const traced = tracingChannel("qmtp:client:send");
	const listeners = { start: (trace: object) => told.push(trace) } as never;
	traced.subscribe(listeners);
	traced.unsubscribe(listeners);
	const server = await acceptingServer();
	expect(statuses(await server.client().send(mail()))).toBe("K");
	expect(told).toEqual([]);
});
