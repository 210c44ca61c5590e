/** The queue that is the next hop, as its callers see it: the contract of a queue, addresses, and the options. */
import { describe, expect, it } from "vitest";
import { QueueError, UsageError } from "../../src/errors.js";
import { type ForwardQueueOptions, forwardQueue } from "../../src/queue/forward.js";
import type { Queue } from "../../src/queue/queue.js";
import { bytesOf } from "../support/bytes.js";
import { announced } from "../support/forward-announced.js";
import { asSentQueue, forwardTo, openSpools, startHop, TestHop } from "../support/forward-hop.js";
import { cut, deliver, noise, queueContract, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };

function contract(
	name: string,
	options: ForwardQueueOptions,
	wrap: (queue: Queue) => Queue = (queue) => queue,
): void {
	queueContract(
		name,
		async () => {
			const hop = await TestHop.start(asSentQueue(), { addressEncoding: "latin1" });
			return {
				queue: wrap(forwardQueue({ host: "127.0.0.1", port: hop.port, ...options })),
				stored: async () =>
					hop.queue.messages.flatMap(({ sender, recipients, body }) =>
						recipients.map((recipient) => ({ sender: utf8(sender), recipient: utf8(recipient), body })),
					),
				leftOvers: async () => {
					await hop.rest();
					return openSpools();
				},
				dispose: () => hop.stop(),
			};
		},
		{ keeps: true, ids: "own" },
	);
}

function utf8(address: string): string {
	return Buffer.from(address, "latin1").toString("utf8");
}

contract("forwardQueue without lengths", {});
contract("forwardQueue that knows the lengths", {}, announced);
contract("forwardQueue with a bound of recipients", { maxRecipientsPerPackage: 10 }, announced);

// A message whose length is known above 256 KiB is streamed, and another is stored.
describe.each([
	{ kind: "small", size: 1000, length: 1000 },
	{ kind: "large", size: 600_000, length: 600_000 },
	{ kind: "stored", size: 600_000, length: undefined },
])("a $kind message", ({ size, length }) => {
	const info = (options = {}) => messageInfo({ length, ...options });
	const chunks = () => cut(noise(size), 50_000);

	it("gets the next hop's own responses, each recipient its own", async () => {
		const hop = await startHop({
			hooks: {
				recipient: (address) =>
					address === "b@example.com" ? { status: "D", description: "no\tb here (#5.1.1)" } : undefined,
			},
		});
		const queue = forwardTo(hop.port);
		const recipients = ["a@example.com", "b@example.com", "c@example.com"];
		const responses = await deliver(queue, chunks(), { ...ENVELOPE, recipients }, info());
		expect(responses.map(({ description }) => description)).toEqual([
			expect.stringMatching(/^ok \d+ qp \d+$/),
			"no b here (#5.1.1)", // without its control character: we answer for what we say
			expect.stringMatching(/^ok \d+ qp \d+$/),
		]);
		expect(statuses(responses)).toBe("KDK");
		expect(hop.queue.messages.map((message) => message.recipients)).toEqual([
			["a@example.com", "c@example.com"],
		]);
	});

	it("keeps its encoding as it was sent", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port);
		expect(queue.lines).toBe("as-sent");
		for (const encoding of ["lf", "crlf"] as const) {
			expect(statuses(await deliver(queue, chunks(), ENVELOPE, info({ encoding })))).toBe("K");
		}
		const sent = hop.queue.messages;
		expect(sent.map((message) => message.info.encoding)).toEqual(["lf", "crlf"]);
		for (const { body } of sent) expect(Buffer.compare(body, noise(size))).toBe(0);
	});

	it("is announced as LF if it is to be, since its lines come in LF then", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port, { transmit: "lf" });
		expect(queue.lines).toBe("lf");
		const shrunk = info({ encoding: "crlf", exact: false });
		expect(statuses(await deliver(queue, [bytesOf("a\nb\n")], ENVELOPE, shrunk))).toBe("K");
		expect(hop.queue.messages[0]?.info).toMatchObject({ encoding: "lf", length: 4 });
	});

	it("has its addresses byte for byte, in each encoding", async () => {
		const hop = await startHop({ addressEncoding: "latin1" });
		const queue = forwardTo(hop.port);
		const envelope = { sender: "j\xfc@x", recipients: ["\xff\x80@x"] };
		await deliver(queue, chunks(), envelope, info({ addressEncoding: "latin1" }));
		await deliver(queue, chunks(), { sender: "ü@x", recipients: ["ユ@x"] }, info());
		expect(hop.queue.messages.map((message) => message.envelope)).toEqual([
			envelope,
			{ sender: "\xc3\xbc@x", recipients: ["\xe3\x83\xa6@x"] },
		]);
	});

	it("is refused for those whom the address encoding cannot express, and for all if it is the sender", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port);
		const latin1 = { addressEncoding: "latin1" } as const;
		const mixed = { sender: "", recipients: ["\u{1f4e7}@x", "a@x", "\u{1f4e7}@x"] };
		const responses = await deliver(queue, chunks(), mixed, info(latin1));
		expect(statuses(responses)).toBe("DKD");
		expect(responses[0]?.description).toBe("sorry, I can't handle that recipient (#5.1.3)");
		const nobody = { sender: "", recipients: ["\ud800"] };
		expect(statuses(await deliver(queue, chunks(), nobody, info()))).toBe("D");
		const bad = { sender: "\ud800", recipients: ["a", "b"] };
		const refused = { status: "D", description: "unacceptable sender (#5.1.7)" };
		expect(await deliver(queue, chunks(), bad, info())).toEqual([refused, refused]);
		expect(await deliver(queue, chunks(), { sender: "", recipients: [] }, info())).toEqual([]);
		await hop.rest();
		expect(hop.queue.messages).toHaveLength(1);
	});

	it("cannot be written to or committed when it has ended", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port);
		for (const end of ["commit", "abort"] as const) {
			const delivery = await queue.open(info());
			for (const chunk of chunks()) await delivery.write(chunk);
			if (end === "commit") await delivery.commit(ENVELOPE);
			else await delivery.abort(new Error("enough"));
			expect(() => delivery.write(bytesOf("x"))).toThrow(UsageError);
			await expect(delivery.commit(ENVELOPE)).rejects.toMatchObject({ code: "ERR_QMTP_ENDED" });
			await delivery.abort(new Error("again"));
		}
		expect(hop.queue.messages).toHaveLength(1);
	});
});

describe("a length that was announced and is not kept", () => {
	it("is an error where the next hop was told it, and nothing is stored", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port);
		const error = expect.objectContaining({ message: expect.stringContaining("announced (#4.3.0)") });
		const short = deliver(queue, [noise(299_999)], ENVELOPE, messageInfo({ length: 300_000 }));
		await expect(short).rejects.toEqual(error);
		const long = await queue.open(messageInfo({ length: 300_000 }));
		await long.write(noise(299_999));
		expect(() => long.write(noise(2))).toThrow(QueueError);
		await long.abort(new Error("too long"));
		await hop.rest();
		expect(hop.queue.messages).toEqual([]);
	});

	it("does not matter where the message is stored", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port);
		for (const size of [3, 2000, 700_000]) {
			const responses = await deliver(queue, cut(noise(size), 999), ENVELOPE, messageInfo({ length: 1000 }));
			expect(statuses(responses)).toBe("K");
		}
		expect(hop.queue.messages.map(({ body }) => body.length)).toEqual([3, 2000, 700_000]);
	});
});

describe("close()", () => {
	it("refuses messages from then on, and closes the connections", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port);
		await deliver(queue, [bytesOf("x\n")], ENVELOPE);
		await deliver(queue, [noise(300_000)], ENVELOPE);
		await queue.close();
		await hop.changes.until(() => hop.disconnects.length === 2);
		expect(hop.disconnects.map(({ error }) => error)).toEqual([undefined, undefined]);
		expect(() => queue.open(messageInfo())).toThrow("mail system is closing (#4.3.2)");
		await queue.close();
	});

	it("waits for a commit under way", async () => {
		const hop = await startHop();
		const queue = forwardTo(hop.port);
		const delivery = await queue.open(messageInfo());
		await delivery.write(bytesOf("x\n"));
		const committing = delivery.commit(ENVELOPE);
		await queue.close();
		expect(statuses(await committing)).toBe("K");
	});
});

describe("the options", () => {
	it.each([
		["qmtp://mx.example.org", "qmtp", "mx.example.org", 209],
		["qmtp://mx.example.org:2090", "qmtp", "mx.example.org", 2090],
		["smtp://mx.example.org", "smtp", "mx.example.org", 25],
		["SMTP://192.0.2.1:587/", "smtp", "192.0.2.1", 587],
		["qmtp://[2001:db8::1]:2090", "qmtp", "2001:db8::1", 2090],
		["qmtp://[fe80::1%eth0]", "qmtp", "fe80::1%eth0", 209],
	])("%s names the next hop", (url, protocol, host, port) => {
		expect(forwardQueue({ url })).toMatchObject({ protocol, host, port });
	});

	it("host, port and protocol name it too", () => {
		expect(forwardQueue({ host: "::1" })).toMatchObject({ protocol: "qmtp", host: "::1", port: 209 });
		const smtp = forwardQueue({ host: "mx", protocol: "smtp" });
		expect(smtp).toMatchObject({ protocol: "smtp", host: "mx", port: 25, lines: "as-sent" });
	});

	it.each<[string, object]>([
		["no next hop", {}],
		["two next hops", { url: "qmtp://a", host: "b" }],
		["a URL without a scheme", { url: "mx.example.org:209" }],
		["a URL of another protocol", { url: "http://a" }],
		["a URL with a user", { url: "smtp://user@a" }],
		["a URL with a path", { url: "smtp://a/b" }],
		["a URL with a query", { url: "smtp://a?b" }],
		["a URL with port 0", { url: "qmtp://a:0" }],
		["a URL with a port that there is not", { url: "qmtp://a:65536" }],
		["a URL with a line end", { url: "smtp://a\n" }],
		["an empty host", { host: "" }],
		["a host with a line end", { host: "a\nb" }],
		["a port that is none", { host: "a", port: 1.5 }],
		["a protocol that there is not", { host: "a", protocol: "lmtp" }],
		["an option that there is not", { host: "a", tls: true }],
		["a limit that there is not", { host: "a", limits: { messages: 1 } }],
		["no connections", { host: "a", limits: { connections: 0 } }],
		["half a byte", { host: "a", limits: { memory: 1.5 } }],
		["a timeout that there is not", { host: "a", timeouts: { commit: 1 } }],
		["a timeout of no time, for SMTP", { url: "smtp://a", timeouts: { idle: 0 } }],
		["a transmit that there is not", { host: "a", transmit: "crlf" }],
		["a transmit for SMTP", { url: "smtp://a", transmit: "lf" }],
		["packages for SMTP", { url: "smtp://a", maxRecipientsPerPackage: 1 }],
		["packages for nobody", { host: "a", maxRecipientsPerPackage: 0 }],
		["a name for QMTP", { host: "a", name: "me" }],
		["a name with a line end", { url: "smtp://a", name: "me\r\nQUIT" }],
		["a negative number of Received fields", { host: "a", maxReceived: -1 }],
	])("%s: a UsageError", (_, options) => {
		const error = expect.objectContaining({ code: "ERR_QMTP_OPTION" });
		expect(() => forwardQueue(options as ForwardQueueOptions)).toThrow(error);
	});

	it("prepare() does not ask whether the next hop is there", async () => {
		for (const url of ["qmtp://127.0.0.1:1", "smtp://127.0.0.1:1"]) {
			const queue = forwardQueue({ url });
			await queue.prepare();
			await queue.close();
		}
	});
});
