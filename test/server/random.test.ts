/**
 * Random sessions: packages of all kinds, cut anywhere, with hooks and queues that take any time, ended in any way at
 * any moment. What must always hold: each message is committed or aborted, answers are those of the packages in their
 * order, and nobody who gets answers at all misses the answer of a message that was committed.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { accepted, rejected } from "../../src/protocol/response.js";
import { bytesOf } from "../support/bytes.js";
import { cut } from "../support/every-split.js";
import { Bench } from "../support/server-bench.js";
import { mail, type TestClient } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";

/** A package, and the flaws that it has. */
interface Plan {
	readonly message: string;
	readonly sender: "good" | "bad" | "nul";
	readonly recipients: readonly ("good" | "bad" | "nul")[];
	readonly commit: "good" | "throws" | "few";
}

const flaw = fc.constantFrom(
	"good" as const,
	"good" as const,
	"good" as const,
	"bad" as const,
	"nul" as const,
);

const plan: fc.Arbitrary<Plan> = fc.record({
	message: fc
		.tuple(fc.constantFrom("\n", "\r"), fc.array(fc.constantFrom("a", "\r", "\n", "\r\n"), { maxLength: 14 }))
		.map(([first, rest]) => first + rest.join("")),
	sender: flaw,
	recipients: fc.array(flaw, { maxLength: 4 }),
	commit: fc.constantFrom("good", "good", "good", "throws", "few"),
});

const session = fc.record({
	packages: fc.array(plan, { minLength: 1, maxLength: 12 }),
	tail: fc.constantFrom("", "", "1", "9:\nab", "x"),
	cuts: fc.array(fc.nat(2000), { maxLength: 20 }),
	delays: fc.array(fc.constantFrom(-1, -1, 0, 1, 3), { minLength: 1, maxLength: 17 }),
	pipelined: fc.constantFrom(1, 2, 1000),
	ending: fc.constantFrom("half-close", "server closes", "client breaks", "server is destroyed"),
	after: fc.nat(25),
});

type Run = typeof session extends fc.Arbitrary<infer T> ? T : never;

const LIMIT = 10;

describe("a random session", () => {
	test("loses no answer and leaves no message behind", async () => {
		await fc.assert(fc.asyncProperty(session, run), { numRuns: 400 });
	});
});

async function run(input: Run): Promise<void> {
	let step = 0;
	/** Some answers come at once, some in a microtask, some after turns of the event loop. */
	const soon = <T>(value: () => T): T | Promise<T> => {
		const delay = input.delays[step++ % input.delays.length] as number;
		if (delay === -1) return value();
		return delay === 0 ? Promise.resolve().then(value) : turns(delay).then(value);
	};
	let faults = 0;
	const bench = new Bench({
		limits: { messageBytes: LIMIT, pipelined: input.pipelined },
		hooks: {
			message: () => soon(() => undefined),
			sender: (address) => soon(() => (address.startsWith("bad") ? rejected("sender") : undefined)),
			recipient: (address) => soon(() => (address.startsWith("bad") ? rejected("recipient") : undefined)),
		},
		queue: {
			open: (_, usual) => soon(usual),
			write: () => soon(() => undefined),
			commit: async ({ sender, recipients }) => {
				const index = Number(sender.split(" ")[1]);
				await soon(() => undefined);
				const how = input.packages[index]?.commit;
				if (how !== "good") faults++;
				if (how === "throws") throw new Error("commit");
				return (how === "few" ? recipients.slice(1) : recipients).map(() => accepted(`${index}`));
			},
			abort: () => soon(() => undefined),
		},
	});
	const client = bench.talk();
	const text = input.packages.map(wire).join("") + input.tail;
	const chunks = cut(
		bytesOf(text),
		input.cuts.filter((point) => point < text.length),
	);
	const sending = (async () => {
		for (const chunk of chunks) {
			if (client.closed || client.ended) break;
			client.duplex.write(chunk);
			await turns(1);
		}
		client.end();
	})();
	await end(input, bench, client);
	await sending;
	await bench.disconnected();
	await turns(30); // what destroy() left behind

	expect(bench.server.connections).toBe(0);
	for (const { envelope, aborts } of bench.queue.deliveries) {
		expect(aborts.length, "committed or aborted, never both, never neither").toBe(envelope === null ? 1 : 0);
	}
	expect(bench.takeFaults()).toHaveLength(faults);
	const model = input.packages.map(responses);
	const told = client.responses;
	expect(told, "a prefix of what the packages are owed").toEqual(model.flat().slice(0, told.length));
	if (input.ending === "half-close") expect(told).toEqual(model.flat());
	if (input.ending === "half-close" || input.ending === "server closes") {
		expect(client.error).toBeNull();
		const { packages } = bench.disconnects[0] ?? { packages: 0 };
		expect(told, "whole packages").toEqual(model.slice(0, packages).flat());
		const answered = input.packages.slice(0, packages).filter(isCommitted).length;
		expect(answered, "each that was committed").toBe(bench.queue.commits.length);
	}
}

async function end({ ending, after }: Run, bench: Bench, client: TestClient): Promise<void> {
	if (ending === "half-close") return;
	await turns(after);
	if (ending === "server closes") await bench.server.close();
	else if (ending === "server is destroyed") bench.server.destroy();
	else client.duplex.destroy(new Error("broken"));
}

const address = (kind: "good" | "bad" | "nul", index: number) => (kind === "nul" ? "\0" : `${kind} ${index}`);

function wire({ message, sender, recipients }: Plan, index: number): string {
	return mail({
		message,
		sender: address(sender, index),
		recipients: recipients.map((kind) => address(kind, index)),
	});
}

/** What each recipient of the package is to be told. */
function responses(plan: Plan, index: number): string[] {
	let first = plan.commit === "few";
	const missing = plan.recipients.filter((kind) => kind === "good").length - 1;
	let given = 0;
	return plan.recipients.map((kind) => {
		if (kind === "nul") return "Dsorry, I can't handle that recipient (#5.1.3)";
		if (kind === "bad") return "Drecipient";
		if (isTooLarge(plan)) return "Dsorry, that message size exceeds my databytes limit (#5.3.4)";
		if (plan.sender === "nul") return "Dunacceptable sender (#5.1.7)";
		if (plan.sender === "bad") return "Dsender";
		if (plan.commit === "throws") return "Ztemporary failure (#4.3.0)";
		first = plan.commit === "few" && given++ === missing;
		return first ? "Zthe queue did not say what became of the message (#4.3.0)" : `K${index}`;
	});
}

function isTooLarge({ message }: Plan): boolean {
	const body = message.startsWith("\r") ? message.slice(1).replaceAll("\r\n", "\n") : message.slice(1);
	return body.length > LIMIT;
}

function isCommitted(plan: Plan): boolean {
	return plan.sender === "good" && plan.recipients.includes("good") && !isTooLarge(plan);
}
