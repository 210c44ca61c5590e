/** Server, queue that forwards, server: what a client sends and what arrives behind two servers. */
import { createHash } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { accepted } from "../../src/protocol/response.js";
import type { Queue } from "../../src/queue/queue.js";
import { textOf } from "../support/bytes.js";
import {
	asSentQueue,
	forwardTo,
	HashQueue,
	openSpools,
	startFront,
	startHop,
	TestHop,
} from "../support/forward-hop.js";
import { cut, noise } from "../support/queue-contract.js";
import { TestClient } from "../support/server-client.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const ENVELOPE = { sender: "me@example.org", recipients: ["a@example.com", "b@example.com"] };
const FIELD = "Received: from unknown \\(127\\.0\\.0\\.1\\)@  by front with QMTP; [^\r\n]+ -0000@";

function client(port: number): QmtpClient {
	const made = new QmtpClient({ port });
	onTestFinished(() => made.close());
	return made;
}

/** Lines that end as the encoding says, of so many bytes. */
function lines(encoding: "lf" | "crlf", size: number): Buffer {
	const end = encoding === "lf" ? "\n" : "\r\n";
	const line = `${"a line of text, with a lone \r in it, and \0".padEnd(70, ".")}${end}`;
	return Buffer.from(`Subject: x${end}${end}${line.repeat(Math.ceil(size / line.length))}`, "latin1");
}

test.each([
	["as-sent", "lf"],
	["as-sent", "crlf"],
	["lf", "lf"],
	["lf", "crlf"],
] as const)(
	"a server tells a queue of lines %s how long its field on top of a body in %s is",
	async (wanted, encoding) => {
		const known: (number | undefined)[] = [];
		const sizes: number[] = [];
		const recorder: Queue = {
			lines: wanted,
			open: ({ received }) => {
				known.push(received);
				return {
					write: ({ length }) => void sizes.push(length),
					commit: async ({ recipients }) => recipients.map(() => accepted()),
					abort: async () => {},
				};
			},
		};
		for (const received of [true, false]) {
			const front = await startFront(recorder, { received });
			await client(front.port).send({ ...ENVELOPE, message: "x", encoding, transmit: "as-is" });
		}
		expect(sizes).toEqual([expect.any(Number), 1, 1]);
		expect(known).toEqual([sizes[0], 0]);
	},
);

test.each([
	["lf", 1000],
	["crlf", 1000],
	["lf", 262_144],
	["crlf", 262_144],
	["lf", 3_000_000],
	["crlf", 3_000_000],
] as const)(
	"a body in %s of %i bytes arrives byte for byte, under a field in its own encoding",
	async (encoding, size) => {
		const hop = await startHop({ received: true, hostname: "hop" });
		const front = await startFront(forwardTo(hop.port), { received: true, hostname: "front" });
		const message = lines(encoding, size);
		const sent = await client(front.port).send({ ...ENVELOPE, message, encoding, transmit: "as-is" });
		expect(sent.accepted).toEqual(ENVELOPE.recipients);
		const [stored] = hop.queue.messages;
		expect(stored?.info.encoding).toBe(encoding);
		expect(stored?.envelope).toEqual(ENVELOPE);
		const end = encoding === "lf" ? "\n" : "\r\n";
		const fields = new RegExp(`^${FIELD.replace("front", "hop")}${FIELD}`.replaceAll("@", end));
		const body = textOf(stored?.body as Uint8Array);
		const [found = ""] = fields.exec(body) ?? [];
		expect(found).not.toBe("");
		expect(body.slice(found.length) === message.toString("latin1"), "byte for byte").toBe(true);
		// The front server announced its field with the body: the hop's own is not in what it was told.
		const own = found.length / 2;
		expect(stored?.info.length).toBeGreaterThan(message.length);
		expect(Math.abs((stored?.info.length ?? 0) - message.length - own)).toBeLessThan(4);
		expect(front.faults).toEqual([]);
	},
);

test.each([1000, 3_000_000])(
	"with transmit: lf a CRLF body of %i bytes arrives in LF, and so does the field",
	async (size) => {
		const hop = await startHop();
		const queue = forwardTo(hop.port, { transmit: "lf" });
		const front = await startFront(queue, { received: true, hostname: "front" });
		const message = lines("crlf", size);
		await client(front.port).send({ ...ENVELOPE, message, encoding: "crlf", transmit: "as-is" });
		const [stored] = hop.queue.messages;
		expect(stored?.info.encoding).toBe("lf");
		const body = textOf(stored?.body as Uint8Array).replace(
			new RegExp(`^${FIELD.replaceAll("@", "\n")}`),
			"",
		);
		expect(body === message.toString("latin1").replaceAll("\r\n", "\n"), "byte for byte").toBe(true);
		expect(openSpools()).toEqual([]);
	},
);

test("with a recipient a package, each gets a package of its own, whatever the size", async () => {
	const hop = await startHop();
	const queue = forwardTo(hop.port, { maxRecipientsPerPackage: 1 });
	const front = await startFront(queue);
	for (const size of [1000, 1_000_000]) {
		const sent = await client(front.port).send({ ...ENVELOPE, message: noise(size), encoding: "lf" });
		expect(sent.accepted).toEqual(ENVELOPE.recipients);
	}
	const recipients = hop.queue.messages.map(({ recipients }) => recipients);
	expect(recipients).toEqual([["a@example.com"], ["b@example.com"], ["a@example.com"], ["b@example.com"]]);
	expect(openSpools()).toEqual([]);
});

test.each([1000, 1_000_000])(
	"a client that leaves inside %i bytes leaves nothing at the next hop",
	async (size) => {
		const hop = await startHop();
		const front = await startFront(forwardTo(hop.port), { received: true });
		const leaver = await TestClient.connect(front.port);
		leaver.send(`${size + 1}:\n${"x".repeat(size - 1)}`);
		if (size > 500_000) await hop.changes.until(() => hop.mostConnections === 1);
		leaver.duplex.destroy();
		await front.changes.until(() => front.disconnects.length === 1);
		await front.rest();
		if (size > 500_000) await hop.changes.until(() => hop.disconnects.length === 1);
		await hop.rest();
		expect(hop.queue.messages).toEqual([]);
		await client(front.port).send({ ...ENVELOPE, message: "hello\n" });
		expect(hop.queue.messages).toHaveLength(1);
	},
);

test("a thousand small messages at once share one connection", async () => {
	const hop = await startHop();
	const front = await startFront(forwardTo(hop.port));
	const clients = Array.from({ length: 10 }, () => client(front.port));
	const sent = await Promise.all(
		Array.from({ length: 1000 }, (_, number) => {
			const mail = { sender: "", recipients: [`${number}@example.com`], message: `${number}\n` };
			return (clients[number % 10] as QmtpClient).send(mail);
		}),
	);
	expect(sent.every(({ accepted }) => accepted.length === 1)).toBe(true);
	const stored = hop.queue.messages.map(({ recipients: [to], body }) => `${to} ${textOf(body)}`);
	const expected = sent.map((_, number) => `${number}@example.com ${number}\n`);
	expect(stored.sort()).toEqual(expected.sort());
	expect(hop.mostConnections).toBe(1);
});

test("two servers in a row, both forwarding, and a third that stores", async () => {
	const hop = await startHop();
	const middle = await startFront(forwardTo(hop.port), { received: true });
	const front = await startFront(forwardTo(middle.port), { received: true });
	const messages = [noise(1000, 1), noise(500_000, 2), noise(300_000, 3)];
	for (const message of messages) {
		const sent = await client(front.port).send({ ...ENVELOPE, message, encoding: "lf" });
		expect(sent.accepted).toEqual(ENVELOPE.recipients);
	}
	for (const [index, { body }] of hop.queue.messages.entries()) {
		const message = messages[index] as Uint8Array;
		expect(Buffer.compare(body.subarray(body.length - message.length), message)).toBe(0);
		expect(textOf(body).match(/^Received: /gm)).toHaveLength(2);
	}
});

test("a body of 200 MB goes through without being held", async () => {
	const stored = await TestHop.start(new HashQueue());
	onTestFinished(() => stored.stop());
	const front = await startFront(forwardTo(stored.port), { received: false });
	const piece = noise(1_000_000);
	const hash = createHash("sha256");
	const pieces = 200;
	const before = held();
	let most = 0;
	async function* body(): AsyncGenerator<Uint8Array> {
		for (let sent = 0; sent < pieces; sent++) {
			if (sent % 10 === 0) most = Math.max(most, held());
			for (const part of cut(piece, 65_536)) {
				hash.update(part);
				yield part;
			}
		}
	}
	const size = pieces * piece.length;
	const mail = { ...ENVELOPE, message: body(), size, encoding: "lf" } as const;
	expect((await client(front.port).send(mail)).accepted).toEqual(ENVELOPE.recipients);
	expect(stored.queue.messages).toEqual([{ length: size, hash: hash.digest("hex") }]);
	// About 3.5 MB in the sockets, and what the collector, which works in the background, has not yet given back.
	expect(most - before).toBeLessThan(64_000_000);
});

function held(): number {
	collectGarbage();
	return process.memoryUsage().arrayBuffers;
}

test("a next hop that stores bodies with LF gets a CRLF body as it decodes it", async () => {
	const hop = await TestHop.start(Object.assign(asSentQueue(), { lines: "lf" as const }));
	onTestFinished(() => hop.stop());
	const front = await startFront(forwardTo(hop.port), { received: true, hostname: "front" });
	await client(front.port).send({ ...ENVELOPE, message: "a\r\nb\r\n", encoding: "crlf", transmit: "as-is" });
	const body = textOf(hop.queue.messages[0]?.body as Uint8Array);
	expect(body).toMatch(new RegExp(`^${FIELD.replaceAll("@", "\n")}a\nb\n$`));
});
