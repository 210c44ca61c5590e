/** The hooks of a server: in which order they run, what they may say, and what becomes of one that fails. */
import { describe, expect, test } from "vitest";
import { QueueError } from "../../src/errors.js";
import { accepted, deferred, rejected, type Verdict } from "../../src/protocol/response.js";
import { acceptAnyone, recipientDomains, type ServerHooks } from "../../src/server/hooks.js";
import { Bench, PEER } from "../support/server-bench.js";
import { mail, RECIPIENT, SENDER } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";

const NO = rejected("no (#5.7.1)");
const FAULT = "Ztemporary failure (#4.3.0)";
const NOT_MINE = "Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)";

type DecidingHook = "message" | "sender" | "recipient";

/** All hooks, each of which writes down its name and what it was asked. */
function recorder(answer: (name: string) => unknown) {
	const asked: string[] = [];
	const ask = (name: string, what: string) => {
		asked.push(`${name} ${what}`);
		return answer(name) as undefined;
	};
	const hooks: ServerHooks = {
		authorize: (peer) => ask("authorize", peer.remoteAddress) ?? true,
		message: ({ length, encoding, exact }) => ask("message", `${length} ${encoding} ${exact}`),
		sender: (address) => ask("sender", address),
		recipient: (address) => ask("recipient", address),
	};
	return { hooks, asked };
}

const PACKAGE = mail({ message: "\r12345", recipients: ["a@example.com", "b@example.com", "a@example.com"] });
const ORDER = [
	"message 5 crlf false",
	`sender ${SENDER}`,
	"recipient a@example.com",
	"recipient b@example.com",
	"recipient a@example.com",
];

describe.each([
	["at once", (answer: unknown) => answer],
	["later", (answer: unknown) => turns(1).then(() => answer)],
	["as a thenable that is no promise", (answer: unknown) => thenable(answer)],
])("hooks that answer %s", (_, wrap) => {
	test("run in the order of the wire, authorize once and the others for each package", async () => {
		const { hooks, asked } = recorder((name) => wrap(name === "authorize" ? true : undefined));
		const bench = new Bench({ hooks });
		expect(await bench.exchange(PACKAGE + PACKAGE)).toEqual(["Kok", "Kok", "Kok", "Kok", "Kok", "Kok"]);
		expect(asked).toEqual([`authorize ${PEER.remoteAddress}`, ...ORDER, ...ORDER]);
		const recipients = ["a@example.com", "b@example.com", "a@example.com"];
		expect(bench.queue.commits[0]?.envelope).toEqual({ sender: SENDER, recipients });
	});

	test.each<DecidingHook>(["message", "sender", "recipient"])("refuse: %s", async (name) => {
		const { hooks, asked } = recorder((asked) => wrap(refusal(name, asked, NO)));
		const bench = new Bench({ hooks });
		expect(await bench.exchange(PACKAGE)).toEqual([
			`D${NO.description}`,
			`D${NO.description}`,
			`D${NO.description}`,
		]);
		expect(asked.slice(1), "recipients are asked for even then").toEqual(ORDER);
		expect(bench.queue.commits).toEqual([]);
		expect(bench.queue.deliveries.every(({ aborts }) => aborts.length === 1)).toBe(true);
		expect(bench.queue.count("open")).toBe(name === "message" ? 0 : 1);
	});

	test.each<DecidingHook>(["message", "sender", "recipient"])(
		"cannot accept in the queue's place: %s",
		async (name) => {
			const { hooks } = recorder((asked) => wrap(refusal(name, asked, accepted("stored, I say"))));
			const bench = new Bench({ hooks, queue: { commit: async () => [deferred("disk full (#4.3.1)")] } });
			expect(await bench.exchange(mail())).toEqual(["Zdisk full (#4.3.1)"]);
			expect(bench.queue.commits).toHaveLength(1);
		},
	);
});

describe.each([
	[
		"throws",
		(error: unknown) => {
			throw error;
		},
	],
	["rejects", (error: unknown) => Promise.reject(error)],
	["rejects later", (error: unknown) => turns(1).then(() => Promise.reject(error))],
])("a hook that %s", (_, fail) => {
	const throwing = (name: DecidingHook, error: unknown) =>
		recorder((asked) => {
			if (asked === "authorize") return true;
			return asked === name ? fail(error) : undefined;
		}).hooks;

	test.each<DecidingHook>(["message", "sender", "recipient"])("is a fault and a Z: %s", async (name) => {
		const bench = new Bench({ hooks: throwing(name, new Error("database gone")) });
		const client = bench.talk();
		client.send(mail());
		expect(await client.receives(1)).toEqual([FAULT]);
		const { error, context } = bench.takeFault();
		expect(error.message).toBe("database gone");
		expect(context).toEqual({ peer: PEER, message: expect.objectContaining({ peer: PEER, encoding: "lf" }) });
		expect(bench.queue.commits).toEqual([]);
		client.end(mail());
		expect(await client.all(), "the connection stays").toEqual([FAULT, FAULT]);
		bench.takeFault();
	});

	test.each<DecidingHook>(["message", "sender", "recipient"])(
		"answers D with a permanent QueueError: %s",
		async (name) => {
			const error = new QueueError("ERR_QMTP_HOOK", "never (#5.7.0)", { permanent: true });
			const bench = new Bench({ hooks: throwing(name, error) });
			expect(await bench.exchange(mail())).toEqual(["Dnever (#5.7.0)"]);
			expect(bench.takeFaults()).toEqual(["never (#5.7.0)"]);
		},
	);

	test("answers Z with the text of a QueueError that is not permanent", async () => {
		const bench = new Bench({ hooks: throwing("sender", new QueueError("ERR_QMTP_HOOK", "busy (#4.3.2)")) });
		expect(await bench.exchange(mail())).toEqual(["Zbusy (#4.3.2)"]);
		expect(bench.takeFaults()).toEqual(["busy (#4.3.2)"]);
	});

	test("may throw what is no Error", async () => {
		const bench = new Bench({ hooks: throwing("recipient", "just a text") });
		expect(await bench.exchange(mail())).toEqual([FAULT]);
		const { error } = bench.takeFault();
		expect(error).toBeInstanceOf(Error);
		expect(error.message).toBe("just a text");
	});

	test("refuses that one recipient alone if it is the recipient hook", async () => {
		const hooks = {
			recipient: (address: string) => (address === "b" ? (fail(new Error("oops")) as never) : undefined),
		};
		const bench = new Bench({ hooks });
		expect(await bench.exchange(mail({ recipients: ["a", "b", "c"] }))).toEqual(["Kok", FAULT, "Kok"]);
		expect(bench.queue.commits[0]?.envelope?.recipients).toEqual(["a", "c"]);
		expect(bench.takeFaults()).toEqual(["oops"]);
	});
});

describe("what is no answer", () => {
	const rubbish = [
		true,
		false,
		"no",
		5,
		{},
		{ status: "D" },
		{ status: "X", description: "x" },
		{ status: "Z", description: 4 },
	];

	test.each<DecidingHook>(["message", "sender", "recipient"])("is a fault and a Z: %s", async (name) => {
		for (const answer of rubbish) {
			const bench = new Bench({ hooks: recorder((asked) => refusal(name, asked, answer)).hooks });
			expect(await bench.exchange(mail()), `${JSON.stringify(answer)}`).toEqual([
				"Za hook's answer is no response (#4.3.0)",
			]);
			expect(bench.takeFault().error).toMatchObject({ code: "ERR_QMTP_HOOK" });
		}
	});

	test("null means go on, as undefined does", async () => {
		const bench = new Bench({ hooks: recorder((asked) => (asked === "authorize" ? true : null)).hooks });
		expect(await bench.exchange(mail())).toEqual(["Kok"]);
	});
});

describe("of several refusals", () => {
	const refusing: ServerHooks = {
		message: () => rejected("message"),
		sender: () => rejected("sender"),
		recipient: (address) => (address === "own" ? deferred("own") : undefined),
	};
	const { message, sender, recipient } = refusing as Required<ServerHooks>;
	const recipients = ["own", RECIPIENT];
	const commit = async () => [deferred("queue")];

	test.each<[string, ServerHooks, string[]]>([
		[
			"a recipient's own comes first, then the message's",
			{ message, sender, recipient },
			["Zown", "Dmessage"],
		],
		["then the sender's", { sender, recipient }, ["Zown", "Dsender"]],
		["then the queue's", { recipient }, ["Zown", "Zqueue"]],
	])("%s", async (_, hooks, responses) => {
		const bench = new Bench({ hooks, queue: { commit } });
		expect(await bench.exchange(mail({ recipients }))).toEqual(responses);
	});

	test("the size comes before the message hook, which is not even asked", async () => {
		const asked: string[] = [];
		const hooks = { ...refusing, message: () => void asked.push("message") };
		const bench = new Bench({ hooks, limits: { messageBytes: 5 }, queue: { commit } });
		const responses = await bench.exchange(mail({ recipients }));
		expect(responses).toEqual(["Zown", "Dsorry, that message size exceeds my databytes limit (#5.3.4)"]);
		expect(asked).toEqual([]);
	});

	test("the size found while decoding comes before the sender's", async () => {
		const bench = new Bench({ hooks: { sender }, limits: { messageBytes: 5 } });
		const responses = await bench.exchange(mail({ message: "\r123456" }));
		expect(responses).toEqual(["Dsorry, that message size exceeds my databytes limit (#5.3.4)"]);
	});

	test("the size found while decoding comes before the queue's that failed earlier", async () => {
		const open = () => {
			throw new Error("disk");
		};
		const bench = new Bench({ limits: { messageBytes: 5 }, queue: { open } });
		const responses = await bench.exchange(mail({ message: "\r12345" }) + mail({ message: "\r123456" }));
		expect(responses).toEqual([
			"Ztemporary failure (#4.3.0)",
			"Dsorry, that message size exceeds my databytes limit (#5.3.4)",
		]);
		expect(bench.takeFaults()).toEqual(["disk", "disk"]);
	});

	test("the sender's comes before the queue's that failed while the body was written", async () => {
		const write = () => {
			throw new Error("disk");
		};
		const bench = new Bench({ hooks: { sender }, queue: { write } });
		expect(await bench.exchange(mail())).toEqual(["Dsender"]);
		expect(bench.takeFaults()).toEqual(["disk"]);
	});
});

describe("the recipient hook", () => {
	const relay: ServerHooks = { authorize: () => ({ relay: true, suffix: "@gateway" }) };
	// A Bench accepts anyone: this one decides itself.
	const none = { recipient: undefined as unknown as () => Verdict };

	test("if there is none, every recipient is rejected", async () => {
		const bench = new Bench({ hooks: none });
		expect(await bench.exchange(mail({ recipients: ["a", RECIPIENT] }))).toEqual([NOT_MINE, NOT_MINE]);
		expect(bench.queue.deliveries[0]?.aborts).toHaveLength(1);
	});

	test("if there is none, clients that may relay have theirs taken, with their suffix", async () => {
		const bench = new Bench({ hooks: { ...none, ...relay } });
		expect(await bench.exchange(mail({ recipients: ["a", RECIPIENT] }))).toEqual(["Kok", "Kok"]);
		expect(bench.queue.commits[0]?.envelope?.recipients).toEqual(["a@gateway", `${RECIPIENT}@gateway`]);
		expect(bench.reports[0]?.recipients, "the report has what the client sent").toEqual(["a", RECIPIENT]);
	});

	test("is asked for clients that may relay too, without the suffix", async () => {
		const asked: string[] = [];
		const recipient = (address: string) => (asked.push(address) === 1 ? NO : undefined);
		const bench = new Bench({ hooks: { recipient, ...relay } });
		expect(await bench.exchange(mail({ recipients: ["a", "b"] }))).toEqual([`D${NO.description}`, "Kok"]);
		expect(asked).toEqual(["a", "b"]);
		expect(bench.queue.commits[0]?.envelope?.recipients).toEqual(["b@gateway"]);
	});

	test("a suffix without the right to relay is not appended", async () => {
		const bench = new Bench({ hooks: { authorize: () => ({ suffix: "@gateway" }) } });
		expect(await bench.exchange(mail())).toEqual(["Kok"]);
		expect(bench.queue.commits[0]?.envelope?.recipients).toEqual([RECIPIENT]);
	});

	test("acceptAnyone has nothing to say", () => {
		expect(acceptAnyone()).toBeUndefined();
	});

	test.each([
		["example.com", true],
		["EXAMPLE.Com", true],
		["x.example.com", false],
		["example.com.", false],
		["x.sub.example.com", true],
		["y.x.sub.example.com", true],
		["sub.example.com", false],
		["notsub.example.com", false],
		["example.org", false],
		["mixed.example", true],
		["", false],
	])("recipientDomains: user@%s is taken: %s", (domain, taken) => {
		const hook = recipientDomains(["example.com", ".sub.Example.com", "MIXED.example"]);
		const message = { access: {} } as Parameters<typeof hook>[1];
		expect(hook(`user@${domain}`, message)).toEqual(
			taken ? undefined : expect.objectContaining({ status: "D" }),
		);
	});

	test("recipientDomains goes by the last @, takes local addresses, and lets relays pass", () => {
		const hook = recipientDomains(new Set(["example.com"]));
		const message = { access: {} } as Parameters<typeof hook>[1];
		expect(hook("a@elsewhere.org@example.com", message)).toBeUndefined();
		expect(hook("a@example.com@elsewhere.org", message)).toMatchObject({ status: "D" });
		expect(hook("local", message)).toBeUndefined();
		expect(hook("", message)).toBeUndefined();
		expect(hook("a@elsewhere.org", { ...message, access: { relay: true } })).toBeUndefined();
		expect(recipientDomains([])("a@b", message)).toMatchObject({ status: "D" });
	});
});

function refusal(name: string, asked: string, answer: unknown): unknown {
	if (asked === "authorize") return true;
	return asked === name ? answer : undefined;
}

function thenable(answer: unknown): PromiseLike<unknown> {
	// biome-ignore lint/suspicious/noThenProperty: that is what it is
	return { then: (use: (answer: unknown) => void) => void setImmediate(use, answer) } as never;
}
