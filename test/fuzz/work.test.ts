/**
 * Work is linear, and memory bounded by the limits: whatever comes, in whatever chunks. Both are counted (see work.ts),
 * so these tests say the same on a fast machine and on a slow one.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cdb } from "../../src/access/cdb.js";
import { controlLines, controlNumber } from "../../src/access/control.js";
import { parseTcpRules } from "../../src/access/tcprules-text.js";
import { ReceivedCounter } from "../../src/body/received-counter.js";
import { NEED_DATA, NetstringDecoder } from "../../src/netstring/decoder.js";
import { readNetstrings } from "../../src/netstring/reader.js";
import { NetstringDecoderStream } from "../../src/netstring/streams.js";
import { ClientConnection } from "../../src/protocol/client-connection.js";
import { LineDecoder } from "../../src/protocol/line-decoder.js";
import { PackageDecoder } from "../../src/protocol/package-decoder.js";
import { ResponseDecoder } from "../../src/protocol/response-decoder.js";
import { ServerConnection } from "../../src/protocol/server-connection.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { QmtpServer } from "../../src/server/server.js";
import { cdbOf, type Pair } from "../access/cdb-file.js";
import { concat, netstring, textOf } from "../support/bytes.js";
import { packageText } from "../support/packages.js";
import { TestQueue } from "../support/server-queue.js";
import { duplexPair } from "../support/server-streams.js";
import { mutated } from "./mutations.js";
import { Joining, Rereading } from "./quadratic.js";
import { chunksOf, type Stream } from "./surface.js";
import { Meter, type Work } from "./work.js";

/** Takes chunks. What it throws because of them ends the stream, and is no concern of these tests. */
type Reader = (chunks: Uint8Array[]) => unknown;

let meter: Meter;
beforeAll(() => {
	meter = new Meter(["/src/", "/test/fuzz/quadratic"]);
});
afterAll(() => meter.close());

// Texts of about 5 kB: all the ways in which so much can be one thing or many things.
const filler = fc.constantFrom("x", "\r", "\n", "\r\n", "0", ":", ",", "1:", "a.", " ", "\tb");
const long = fc
	.tuple(filler, fc.integer({ min: 3000, max: 5000 }))
	.map(([unit, size]) => unit.repeat(size).slice(0, size));
const many = <T>(item: fc.Arbitrary<T>, least: number) =>
	fc.array(item, { minLength: least, maxLength: 2 * least });
const short = fc.tuple(filler, fc.nat(12)).map(([unit, size]) => unit.repeat(size));
const NETSTRINGS = fc.oneof(
	long.map(netstring),
	many(short, 300).map((all) => all.map(netstring).join("")),
);
const RESPONSES = fc.oneof(
	long.map((text) => netstring(`D${text}`)),
	many(short, 300).map((all) => all.map((text) => netstring(`K${text}`)).join("")),
);
const addresses = fc.oneof(many(short, 300), fc.tuple(long), many(fc.constant("r".repeat(999)), 3));
const PACKAGES = fc
	.array(
		fc.record({
			encoding: fc.constantFrom("lf", "crlf"),
			body: fc.oneof(short, long),
			sender: fc.oneof(short, long),
			recipients: fc.oneof(many(short, 1), addresses),
		}),
		{ minLength: 1, maxLength: 20 },
	)
	.map((all) => all.map(packageText).join("").slice(0, 8000));
const LINES = fc.oneof(
	long,
	many(short, 400).map((all) => all.join("")),
);
const FIELDS = many(fc.constantFrom("Received: a\n", "Receive", "\tb\r\n", "X: y\n"), 300).map((all) =>
	all.join(""),
);
const RULES = fc.oneof(
	fc.constantFrom(":", ",A=", " ", "#", "[", "@", "=", ":allow", "\n").map((unit) => unit.repeat(2000)),
	many(fc.constantFrom("1.2.3.4:deny\n", ':allow,A="1"', ",B=|x|", "\n", "[::1]:allow\n", " \t"), 300).map(
		(all) => all.join(""),
	),
);
/** Keys of a database, one on each line: few of them many times, or many once. */
const KEYS = many(fc.constantFrom("a", "b", "", "c".repeat(50)), 60).chain((keys) =>
	fc.boolean().map((once) => keys.map((key, index) => (once ? key + index : key)).join("\n")),
);

const streams = (text: fc.Arbitrary<string>): fc.Arbitrary<Stream> =>
	fc.record({
		text: fc.oneof({ weight: 3, arbitrary: text }, { weight: 1, arbitrary: mutated(text) }),
		cuts: fc.oneof(
			{ weight: 3, arbitrary: fc.constant("each byte" as const) },
			{ weight: 1, arbitrary: fc.array(fc.nat(9999), { maxLength: 50 }) },
		),
	});

/** Feeds a reader that is pulled until it says null or 0. */
function pulled(make: () => { receive(chunk: Uint8Array): void; next(): unknown }): Reader {
	return (chunks) => {
		const reader = make();
		for (const chunk of chunks) {
			reader.receive(chunk);
			for (let step = reader.next(); step !== null && step !== NEED_DATA; step = reader.next());
		}
	};
}

function stepping(decoder: PackageDecoder) {
	return { receive: (chunk: Uint8Array) => decoder.receive(chunk), next: () => decoder.step() };
}

function answering(connection: ServerConnection) {
	let recipients = 0;
	return {
		receive: (chunk: Uint8Array) => connection.receive(chunk),
		next() {
			const event = connection.next();
			if (event?.type === "message") recipients = 0;
			if (event?.type === "recipient") recipients++;
			if (event?.type !== "end") return event;
			connection.respond(event.number, Array(recipients).fill({ status: "K", description: "" }));
			return connection.transmit();
		},
	};
}

function waiting(packages: number): ClientConnection {
	const connection = new ClientConnection();
	for (let number = 0; number < packages; number++) connection.sent(1);
	return connection;
}

async function* generated(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
	yield* chunks;
}

/** What reads a whole, and not chunks. */
function ofWhole(read: (bytes: Uint8Array) => unknown): Reader {
	return (chunks) => read(concat(chunks));
}

/** Looks up each key once. The work of a database is held against the size of its file. */
function lookUp(bytes: Uint8Array): void {
	const keys = textOf(bytes).split("\n");
	const cdb = new Cdb(cdbOf(keys.map((key): Pair => [key, "data"])));
	for (const key of new Set(keys)) cdb.find(key);
}

/** Runs a session of a server in memory. */
async function serve(chunks: readonly Uint8Array[]): Promise<void> {
	const hooks = { recipient: acceptAnyone };
	const server = new QmtpServer({
		queue: new TestQueue(),
		received: false,
		hostname: "mx.example.com",
		hooks,
	});
	const [ours, theirs] = duplexPair();
	theirs.resume();
	const peer = { remoteAddress: "192.0.2.7", remotePort: 1, localAddress: "192.0.2.1", localPort: 209 };
	const served = server.serve(ours, peer);
	for (const chunk of chunks) theirs.write(chunk);
	theirs.end();
	await served;
	await server.close();
}

async function work(reader: Reader, stream: Stream): Promise<Work> {
	const chunks = chunksOf(stream);
	return meter.measure(async () => {
		try {
			await reader(chunks);
		} catch (error) {
			const { name } = error as Error;
			if (name !== "ProtocolError" && name !== "UsageError") throw error;
		}
	});
}

/** Units for each byte and each chunk. What starts a reader, and what a whole costs beforehand, is in the 1000. */
async function unitsOf(reader: Reader, stream: Stream): Promise<number> {
	const { units } = await work(reader, stream);
	return units / sizeOf(stream);
}

function sizeOf({ text, cuts }: Stream): number {
	return text.length + (cuts === "each byte" ? text.length : cuts.length) + 1000;
}

const RUNS = { numRuns: 12, endOnFailure: true }; // shrinking would take minutes, and the size is what matters
/** Units for each byte and each chunk. The most that was seen is 40, of a session; readers with a square in them take 800. */
const BOUND = 150;

describe("work is linear", () => {
	test.each<[string, fc.Arbitrary<string>, Reader]>([
		["NetstringDecoder", NETSTRINGS, pulled(() => new NetstringDecoder())],
		["NetstringDecoderStream", NETSTRINGS, (chunks) => drain(decodedStream(chunks, 10_000))],
		["readNetstrings", NETSTRINGS, readAll],
		["PackageDecoder by steps", PACKAGES, pulled(() => stepping(new PackageDecoder()))],
		["PackageDecoder by events", PACKAGES, pulled(() => new PackageDecoder())],
		["PackageDecoder, with addresses as long as they come", PACKAGES, pulled(() => new PackageDecoder(LONG))],
		["ServerConnection", PACKAGES, pulled(() => answering(new ServerConnection()))],
		["a session of a server", PACKAGES, serve],
		["ResponseDecoder", RESPONSES, pulled(() => new ResponseDecoder())],
		["ClientConnection", RESPONSES, pulled(() => waiting(700))],
		["LineDecoder", LINES, decodeLines],
		["ReceivedCounter", FIELDS, countReceived],
		["parseTcpRules", RULES, ofWhole(parseTcpRules)],
		["Cdb", KEYS, ofWhole(lookUp)],
		["controlLines", LINES, ofWhole(controlLines)],
		["controlNumber", LINES, ofWhole(controlNumber)],
	])("in %s", async (_, text, reader) => {
		await fc.assert(
			fc.asyncProperty(streams(text), async (stream) => {
				expect(await unitsOf(reader, stream)).toBeLessThan(BOUND);
			}),
			RUNS,
		);
	});

	test.each<[string, () => { receive(chunk: Uint8Array): unknown }]>([
		["joins what came so far with each chunk", () => new Joining()],
		["reads what came so far anew with each chunk", () => new Rereading()],
	])("but not in a reader that %s, which this finds out", async (_, make) => {
		const stream = { text: netstring("x".repeat(4000)), cuts: "each byte" as const };
		const reader = make();
		const units = await unitsOf((chunks) => chunks.forEach((chunk) => void reader.receive(chunk)), stream);
		expect(units).toBeGreaterThan(5 * BOUND);
	});
});

describe("memory is bounded by the limits", () => {
	// No array is longer than the limit, whatever is declared; and all of them together are no more than twice what came
	// and one array that was not filled.
	test.each<[string, number, fc.Arbitrary<string>, Reader]>([
		["NetstringDecoder", 0, NETSTRINGS, pulled(() => new NetstringDecoder())],
		["NetstringDecoderStream", 300, NETSTRINGS, (chunks) => drain(decodedStream(chunks, 300))],
		["readNetstrings", 0, NETSTRINGS, readAll],
		[
			"PackageDecoder by steps",
			20,
			PACKAGES,
			pulled(() => stepping(new PackageDecoder({ addressBytes: 20 }))),
		],
		["PackageDecoder by events", 20, PACKAGES, pulled(() => new PackageDecoder({ addressBytes: 20 }))],
		["ServerConnection", 999, PACKAGES, pulled(() => answering(new ServerConnection()))],
		["ResponseDecoder", 50, RESPONSES, pulled(() => new ResponseDecoder({ maxLength: 50 }))],
		["ClientConnection", 65_536, RESPONSES, pulled(() => waiting(700))],
	])("in %s: no array of more than %d bytes", async (_, limit, text, reader) => {
		await fc.assert(
			fc.asyncProperty(streams(text), async (stream) => {
				const { allocated, largest } = await work(reader, stream);
				expect(largest).toBeLessThanOrEqual(limit);
				expect(allocated).toBeLessThanOrEqual(2 * stream.text.length + limit);
			}),
			RUNS,
		);
	});
});

const LONG = { addressBytes: 10_000 };

function decodedStream(chunks: readonly Uint8Array[], maxLength: number): AsyncIterable<Uint8Array> {
	return ReadableStream.from(chunks).pipeThrough(new NetstringDecoderStream({ maxLength }));
}

async function readAll(chunks: readonly Uint8Array[]): Promise<void> {
	for await (const netstring of readNetstrings(generated(chunks))) await drain(netstring);
}

async function drain(source: AsyncIterable<Uint8Array>): Promise<void> {
	for await (const _ of source);
}

function decodeLines(chunks: readonly Uint8Array[]): void {
	const decoder = new LineDecoder();
	for (const chunk of chunks) decoder.decode(chunk);
	decoder.end();
}

function countReceived(chunks: readonly Uint8Array[]): void {
	const counter = new ReceivedCounter();
	for (const chunk of chunks) counter.write(chunk);
}
