/** The queue as its callers see it: the contract, the options, and addresses. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UsageError } from "../../src/errors.js";
import { type QmailQueueOptions, qmailQueue } from "../../src/queue/qmail-queue.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, queueContract, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { QmailHome, READ_ALL, storingQueue } from "../support/queue-qmail.js";

queueContract("qmailQueue", async () => storingQueue(), { keeps: true, ids: "own" });

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };
const BODY = [bytesOf("x\n")];

let home: QmailHome;
beforeEach(() => {
	home = new QmailHome();
});
afterEach(() => home.remove());

describe("the response", () => {
	it("tells the time and the number of the child", async () => {
		const queue = home.queue(`echo $$ >pid; ${READ_ALL}`);
		const [response] = await deliver(queue, BODY, ENVELOPE);
		const pid = (await home.text("pid")).trim();
		expect(response).toEqual({ status: "K", description: expect.stringMatching(`^ok \\d+ qp ${pid}$`) });
	});

	it("is a D for a recipient with a NUL, whom the child is not told of", async () => {
		const queue = home.queue("cat >/dev/null; cat <&1 >envelope");
		const recipients = ["a@example.com", "b\0@example.com", "c@example.com"];
		const responses = await deliver(queue, BODY, { ...ENVELOPE, recipients });
		expect(statuses(responses)).toBe("KDK");
		expect(responses[1]?.description).toBe("sorry, I can't handle that recipient (#5.1.3)");
		expect(await home.text("envelope")).toBe("Fme@example.org\0Ta@example.com\0Tc@example.com\0\0");
	});

	it("is a D for a recipient that the address encoding cannot express", async () => {
		const queue = home.queue(READ_ALL);
		const recipients = ["\u{1f4e7}@example.com", "ü@example.com"];
		const latin1 = await deliver(
			queue,
			BODY,
			{ sender: "", recipients },
			messageInfo({ addressEncoding: "latin1" }),
		);
		expect(statuses(latin1)).toBe("DK");
		expect(statuses(await deliver(queue, BODY, { sender: "", recipients: ["\ud800", "a"] }))).toBe("DK");
	});

	it.each([
		{
			what: "a sender with a NUL",
			envelope: { sender: "me\0", recipients: ["a", "b"] },
			description: "unacceptable sender (#5.1.7)",
		},
		{
			what: "recipients with NULs alone",
			envelope: { sender: "me", recipients: ["\0", "a\0"] },
			description: "sorry, I can't handle that recipient (#5.1.3)",
		},
	])(
		"is a D for all after $what, and the child gets an empty envelope",
		async ({ envelope, description }) => {
			const queue = home.queue("cat >body; cat <&1 >envelope; echo >end; exit 54");
			const response = { status: "D", description };
			expect(await deliver(queue, BODY, envelope)).toEqual([response, response]);
			await home.line("end");
			expect(await home.text("envelope")).toBe("");
		},
	);

	it("is none if there are no recipients", async () => {
		const queue = home.queue("cat >/dev/null; cat <&1 >envelope; exit 54");
		expect(await deliver(queue, BODY, { sender: "", recipients: [] })).toEqual([]);
		expect(await home.text("envelope")).toBe("");
	});

	it("comes for an envelope that is larger than a pipe", async () => {
		const queue = home.queue("cat >/dev/null; cat <&1 >envelope");
		const recipients = Array.from({ length: 10_000 }, (_, number) => `${"r".repeat(100)}${number}`);
		expect(statuses(await deliver(queue, BODY, { sender: "s", recipients }))).toBe("K".repeat(10_000));
		expect(await home.text("envelope")).toBe(`Fs\0${recipients.map((name) => `T${name}\0`).join("")}\0`);
	});
});

describe("a delivery", () => {
	it("refuses use after the end", async () => {
		const queue = home.queue(READ_ALL);
		const committed = await queue.open(messageInfo());
		await committed.commit(ENVELOPE);
		expect(() => committed.write(bytesOf("x"))).toThrow(ENDED);
		await expect(committed.commit(ENVELOPE)).rejects.toThrow(ENDED);
		const aborted = await queue.open(messageInfo());
		await aborted.abort(new Error("the client left"));
		expect(() => aborted.write(bytesOf("x"))).toThrow(ENDED);
		await expect(aborted.commit(ENVELOPE)).rejects.toThrow(ENDED);
	});
});

describe("close", () => {
	it("waits for the children, and lets no more begin", async () => {
		const gate = home.gate("gate");
		const queue = home.queue(`read -r line <gate; ${READ_ALL}; echo >end`, { concurrency: 1 });
		const delivery = await queue.open(messageInfo());
		const waiting = Promise.resolve(queue.open(messageInfo()));
		waiting.catch(() => {});
		const committed = delivery.commit(ENVELOPE);
		const closed = queue.close();
		await gate.open();
		await closed;
		expect(await home.text("end")).toBe("\n");
		expect(statuses(await committed)).toBe("K");
		await expect(waiting).rejects.toThrow(CLOSING);
		await expect(queue.open(messageInfo())).rejects.toThrow(CLOSING);
	});
});

describe("the options", () => {
	afterEach(() => {
		vi.unstubAllEnvs();
	});

	it.each<[string, object]>([
		["an unknown one", { comand: "x" }],
		["an empty command", { command: "" }],
		["a command with a NUL", { command: "a\0b" }],
		["a command without a program", { command: [] }],
		["an argument with a NUL", { command: ["a", "b\0"] }],
		["an argument that is no text", { command: ["a", 1] }],
		["a command that is no text", { command: 1 }],
		["an empty home", { home: "" }],
		["a home with a NUL", { home: "/\0" }],
		["no time", { timeout: 0 }],
		["a time that is too long for a timer", { timeout: 2 ** 31 }],
		["an endless time", { timeout: Number.POSITIVE_INFINITY }],
		["no concurrency", { concurrency: 0 }],
		["a part of a concurrency", { concurrency: 1.5 }],
		["an environment that is no function", { environment: { A: "b" } }],
	])("are refused: %s", (_, options) => {
		const make = () => qmailQueue(options as QmailQueueOptions);
		expect(make).toThrow(UsageError);
		expect(make).toThrow(expect.objectContaining({ code: "ERR_QMTP_OPTION" }));
	});

	it("have qmail's home as a default, and a relative home is relative to where we are", () => {
		expect(qmailQueue().home).toBe("/var/qmail");
		expect(qmailQueue({ home: "x" }).home).toBe(`${process.cwd()}/x`);
	});

	it("take the program from QMAILQUEUE if that is not empty, else bin/qmail-queue", async () => {
		vi.stubEnv("QMAILQUEUE", home.script("other", "exit 31"));
		const other = qmailQueue({ home: home.path });
		vi.stubEnv("QMAILQUEUE", "");
		const usual = qmailQueue({ home: home.path });
		expect(statuses(await deliver(other, BODY, ENVELOPE))).toBe("D");
		await expect(usual.prepare()).rejects.toThrow(
			expect.objectContaining({
				cause: expect.objectContaining({ message: expect.stringContaining(`${home.path}/bin/qmail-queue`) }),
			}),
		);
	});
});

const ENDED = expect.objectContaining({ code: "ERR_QMTP_ENDED" });
const CLOSING = expect.objectContaining({
	code: "ERR_QMTP_QUEUE",
	message: "mail system is closing (#4.3.2)",
});
