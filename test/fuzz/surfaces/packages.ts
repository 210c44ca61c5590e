/** Packages as a server reads them: the decoder by events and by steps, and the connection around it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ProtocolError } from "../../../src/errors.js";
import { NEED_DATA } from "../../../src/netstring/decoder.js";
import type { PackageLimits } from "../../../src/protocol/limits.js";
import { BODY, MESSAGE, PACKAGE_END, PackageDecoder, SENDER } from "../../../src/protocol/package-decoder.js";
import { ServerConnection, type ServerEvent } from "../../../src/protocol/server-connection.js";
import { textOf } from "../../support/bytes.js";
import { type Decoded, decodePackages, type Failure, type PlainEvent } from "../../support/decoding.js";
import { parsePackages } from "../../support/oracle.js";
import { packagesOf } from "../oracles.js";
import { packages, streamsOf } from "../streams.js";
import { chunksOf, type Stream, same, surface } from "../surface.js";

interface Input {
	readonly stream: Stream;
	readonly limits: Partial<PackageLimits>;
}

const inputs: fc.Arbitrary<Input> = fc.record({
	stream: streamsOf(packages),
	limits: fc.oneof(
		fc.constant({}),
		fc.record(
			{
				addressBytes: fc.constantFrom(0, 1, 5, 999, 1000),
				recipientBytes: fc.constantFrom(1, 3, 30, 1000),
				netstringBytes: fc.constantFrom(1, 20, 100, 2_000_000_009),
				messageBytes: fc.constantFrom(0, 10),
			},
			{ requiredKeys: [] },
		),
	),
});

/** Events and steps must tell what the oracle says, which itself must not contradict the specification's parser. */
export const decoder = surface("packages", 700, inputs, ({ stream, limits }) => {
	const expected = packagesOf(stream.text, limits);
	same(decodePackages(chunksOf(stream), limits), expected);
	same(steps(chunksOf(stream), limits), withoutSkipped(expected));
	if (Object.keys(limits).length === 0) holdSpecification(stream.text, expected);
});

/** Events are numbered, and answers come out at their package's end and never before. */
export const connection = surface("server", 300, inputs, ({ stream, limits }) => {
	const expected = packagesOf(stream.text, limits);
	const server = new ServerConnection(limits);
	const events: ServerEvent["type"][] = [];
	let [number, recipients] = [-1, 0];
	const error = failureOf(() => {
		for (const chunk of chunksOf(stream)) {
			server.receive(chunk);
			for (let event = server.next(); event !== null; event = server.next()) {
				if (event.type === "close") throw new Error("nobody closed");
				if (event.type !== "body" || events.at(-1) !== "body") events.push(event.type);
				if (event.type === "message") [number, recipients] = [number + 1, 0];
				if (event.type === "recipient") recipients++;
				same(event.number, number);
				same(server.transmit(), []);
				if (event.type !== "end") continue;
				const responses = Array.from(
					{ length: recipients },
					() => ({ status: "K", description: "" }) as const,
				);
				server.respond(number, responses);
				same(server.transmit(), responses);
			}
		}
		server.receiveEnd();
		same(server.next(), { type: "close", clean: expected.idle });
		same(server.next(), null);
	});
	same({ events, error }, { events: expected.items.map(({ type }) => type), error: expected.error });
	same(server.pending, 0);
});

/** Runs the decoder by steps. The bodies of every second package are skipped when half of them may have come. */
function steps(chunks: readonly Uint8Array[], limits: Partial<PackageLimits>): unknown {
	const decoder = new PackageDecoder(limits);
	const items: PlainEvent[] = [];
	let [number, body] = [0, ""];
	const text = () => textOf(decoder.chunk.subarray(decoder.start, decoder.end));
	const error = failureOf(() => {
		for (const chunk of chunks) {
			decoder.receive(chunk);
			for (let step = decoder.step(); step !== NEED_DATA; step = decoder.step()) {
				if (step === MESSAGE) {
					const { encoding, length } = decoder;
					items.push({ type: "message", encoding, length });
					[number, body] = [number + 1, ""];
					if (number % 2 === 0) decoder.skipBody();
				} else if (step === BODY) {
					assert(number % 2 === 1, "a body that is skipped");
					if (body !== "") items.pop();
					body += text();
					items.push({ type: "body", text: body });
				} else if (step === PACKAGE_END) {
					items.push({ type: "end", offset: decoder.offset });
				} else {
					const type = step === SENDER ? "sender" : "recipient";
					items.push({ type, address: decoder.tooLong ? null : text() });
				}
			}
			chunk.fill(0xff);
		}
	});
	return { items, error, idle: decoder.idle };
}

function withoutSkipped({ items, error, idle }: Decoded<PlainEvent>): unknown {
	let number = 0;
	const kept = items.filter(({ type }) => {
		if (type === "message") number++;
		return type !== "body" || number % 2 === 1;
	});
	return { items: kept, error, idle };
}

function holdSpecification(text: string, { items, error, idle }: Decoded<PlainEvent>): void {
	const { packages, end } = parsePackages(text);
	same(items.filter(({ type }) => type === "end").length, packages.length);
	if (end === "clean") assert(idle && error === null);
	// It looks into a list when the whole is there, and knows no bounds.
	if (end === "wrong") assert(error !== null);
	if (error === null && !idle) same(end, "cut");
	const recipients = packages.flatMap(({ recipients }) => recipients);
	const told = items.flatMap((event) => (event.type === "recipient" ? [event.address] : []));
	same(told.slice(0, recipients.length), recipients);
}

function failureOf(run: () => void): Failure | null {
	try {
		run();
		return null;
	} catch (error) {
		if (!(error instanceof ProtocolError)) throw error;
		return { code: error.code, offset: error.offset };
	}
}
