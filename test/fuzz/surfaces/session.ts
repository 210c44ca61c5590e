/**
 * A whole session of a server, over a connection in memory: what is answered, what is stored, and how it ends must be
 * what the packages in the stream ask for, whatever else is in it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { QmtpError } from "../../../src/errors.js";
import { acceptAnyone } from "../../../src/server/hooks.js";
import { QmtpServer } from "../../../src/server/server.js";
import type { Failure, PlainEvent } from "../../support/decoding.js";
import { TestClient } from "../../support/server-client.js";
import { TestQueue } from "../../support/server-queue.js";
import { duplexPair } from "../../support/server-streams.js";
import { packagesOf } from "../oracles.js";
import { packages, streamsOf } from "../streams.js";
import { chunksOf, type Stream, same, surface } from "../surface.js";

interface Input {
	readonly stream: Stream;
	readonly messageBytes: number;
	/** Packages that may be in commit at once. */
	readonly pipelined: number;
}

const inputs: fc.Arbitrary<Input> = fc.record({
	stream: streamsOf(packages),
	messageBytes: fc.constantFrom(0, 20, 1000),
	pipelined: fc.constantFrom(1, 1000),
});

/** The client sends all of it, and then closes its side. */
export const session = surface("session", 120, inputs, async ({ stream, messageBytes, pipelined }) => {
	const queue = new TestQueue();
	const server = new QmtpServer({
		queue,
		received: false,
		hostname: "mx.example.com",
		addressEncoding: "latin1",
		hooks: { recipient: acceptAnyone },
		limits: { messageBytes, pipelined },
	});
	const faults: Error[] = [];
	const ends: { packages: number; error: Failure | string | null }[] = [];
	server.on("fault", (error) => faults.push(error));
	server.on("disconnect", ({ packages, error }) => ends.push({ packages, error: plain(error) }));

	const [ours, theirs] = duplexPair();
	const client = new TestClient(theirs);
	const served = server.serve(ours, PEER);
	for (const chunk of chunksOf(stream)) theirs.write(chunk);
	theirs.end();
	await Promise.all([served, client.gone()]);
	await server.close();

	const { mails, end } = expected(stream.text, messageBytes);
	same(faults, []);
	same(client.error, null);
	same(
		client.responses,
		mails.flatMap(({ responses }) => responses),
	);
	same(ends, [{ packages: mails.length, error: end }]);
	const stored = queue.commits.map(({ text, envelope }) => ({ body: text, ...envelope }));
	same(
		stored,
		mails.flatMap(({ stored }) => stored ?? []),
	);
	for (const { envelope, aborts } of queue.deliveries) {
		assert.equal(aborts.length, envelope === null ? 1 : 0, "committed or aborted");
	}
});

interface Mail {
	readonly responses: string[];
	readonly stored: { body: string; sender: string; recipients: string[] } | null;
}

function expected(text: string, messageBytes: number): { mails: Mail[]; end: Failure | string | null } {
	const { items, error, idle } = packagesOf(text, { messageBytes });
	const mails: Mail[] = [];
	let events: PlainEvent[] = [];
	for (const event of items) {
		events.push(event);
		if (event.type !== "end") continue;
		mails.push(mailOf(events, messageBytes));
		events = [];
	}
	return { mails, end: error ?? (idle ? null : "ERR_QMTP_CONNECTION_CLOSED") };
}

function mailOf(events: readonly PlainEvent[], messageBytes: number): Mail {
	let [body, encoding, sender]: [string, string, string | null] = ["", "", null];
	const recipients: (string | null)[] = [];
	for (const event of events) {
		if (event.type === "message") encoding = event.encoding;
		if (event.type === "body") body = encoding === "lf" ? event.text : event.text.replaceAll("\r\n", "\n");
		if (event.type === "sender") sender = usable(event.address);
		if (event.type === "recipient") recipients.push(usable(event.address));
	}
	const refusal = body.length > messageBytes ? TOO_LARGE : sender === null ? BAD_SENDER : null;
	const responses = recipients.map((recipient) => (recipient === null ? BAD_RECIPIENT : (refusal ?? "Kok")));
	const taken = recipients.filter((recipient) => recipient !== null);
	if (refusal !== null || taken.length === 0) return { responses, stored: null };
	return { responses, stored: { body, sender: sender as string, recipients: taken } };
}

function usable(address: string | null): string | null {
	return address?.includes("\0") ? null : address;
}

function plain(error: Error | undefined): Failure | string | null {
	if (error === undefined) return null;
	const { code, offset } = error as QmtpError & { offset?: number };
	return offset === undefined ? code : { code, offset };
}

const PEER = {
	remoteAddress: "192.0.2.7",
	remotePort: 40_000,
	localAddress: "192.0.2.1",
	localPort: 209,
};
const TOO_LARGE = "Dsorry, that message size exceeds my databytes limit (#5.3.4)";
const BAD_SENDER = "Dunacceptable sender (#5.1.7)";
const BAD_RECIPIENT = "Dsorry, I can't handle that recipient (#5.1.3)";
