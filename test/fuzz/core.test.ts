/**
 * Any bytes, cut anywhere: a decoder must make the same of them as of the whole, down to the code and the offset of its
 * error. FUZZ_RUNS in the environment sets how many inputs each property tries.
 */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { decodeNetstring } from "../../src/netstring/decoder.js";
import { ClientConnection } from "../../src/protocol/client-connection.js";
import { LineDecoder } from "../../src/protocol/line-decoder.js";
import { ServerConnection } from "../../src/protocol/server-connection.js";
import { bytesOf, concat, copyOf, textOf } from "../support/bytes.js";
import {
	type Decoded,
	decodeNetstrings,
	decodePackages,
	decodeResponses,
	type Failure,
} from "../support/decoding.js";
import { almostPackages, anyBytes, anyText, inAnyCuts } from "../support/packages.js";

const { FUZZ_RUNS } = process.env;
const RUNS = { numRuns: Number(FUZZ_RUNS ?? 1000) };
vi.setConfig({ testTimeout: 60_000 + 5 * RUNS.numRuns });

const almostResponses = fc
	.array(fc.oneof(fc.constantFrom("3:Kok,", "1:Z,", "2:Dx,", "0:,", "1:x,"), anyText(4)), { maxLength: 8 })
	.map((texts) => bytesOf(texts.join("")));

describe("any bytes in any cuts", () => {
	test("netstrings", () => {
		fc.assert(
			fc.property(
				inAnyCuts(anyBytes),
				fc.constantFrom({}, { maxLength: 50 }),
				({ whole, chunks }, options) => {
					const decoded = decodeNetstrings(chunks(), options);
					expect(decoded).toEqual(decodeNetstrings([copyOf(whole)], options));
					holdOffsets(decoded, whole);
				},
			),
			RUNS,
		);
	});

	test("packages", () => {
		const limits = fc.constantFrom({}, { addressBytes: 5 }, { recipientBytes: 30 });
		fc.assert(
			fc.property(inAnyCuts(anyBytes), limits, ({ whole, chunks }, limits) => {
				const decoded = decodePackages(chunks(), limits);
				expect(decoded).toEqual(decodePackages([copyOf(whole)], limits));
				holdOffsets(decoded, whole);
			}),
			RUNS,
		);
	});

	test("responses", () => {
		fc.assert(
			fc.property(inAnyCuts(fc.oneof(almostResponses, anyBytes)), ({ whole, chunks }) => {
				const decoded = decodeResponses(chunks());
				expect(decoded).toEqual(decodeResponses([copyOf(whole)]));
				holdOffsets(decoded, whole);
			}),
			RUNS,
		);
	});

	test("what a client is told", () => {
		fc.assert(
			fc.property(
				inAnyCuts(almostResponses),
				fc.array(fc.nat(3), { maxLength: 4 }),
				({ whole, chunks }, packages) => {
					expect(clientResults(chunks(), packages)).toEqual(clientResults([copyOf(whole)], packages));
				},
			),
			RUNS,
		);
	});

	test("what a server is told: no event is numbered wrong, and an end comes behind its sender", () => {
		fc.assert(
			fc.property(inAnyCuts(almostPackages), ({ chunks }) => {
				const connection = new ServerConnection();
				let [number, recipients, inside] = [-1, 0, ""];
				try {
					for (const chunk of chunks()) {
						connection.receive(chunk);
						for (let event = connection.next(); event !== null; event = connection.next()) {
							if (event.type === "close") return expect.unreachable("nobody closed");
							if (event.type === "message") {
								expect(inside).toBe("");
								[number, recipients] = [number + 1, 0];
							} else if (event.type === "recipient") {
								recipients++;
							}
							expect(event.number).toBe(number);
							expect(ORDER[event.type]).toContain(inside);
							inside = event.type === "end" ? "" : event.type;
							if (event.type !== "end") continue;
							connection.respond(number, Array(recipients).fill({ status: "K", description: "" }));
							expect(connection.transmit()).toHaveLength(recipients);
						}
					}
				} catch (error) {
					failureOf(error);
				}
			}),
			RUNS,
		);
	});

	test("lines: as many bytes come out as went in, but for the CR of each CR LF", () => {
		fc.assert(
			fc.property(inAnyCuts(anyBytes), ({ whole, chunks }) => {
				const decoder = new LineDecoder();
				const pieces = chunks().map((chunk) => copyOf(decoder.decode(chunk)));
				const decoded = textOf(concat([...pieces, decoder.end()]));
				expect(decoded).toBe(textOf(whole).replaceAll("\r\n", "\n"));
			}),
			RUNS,
		);
	});

	test("one whole netstring is what the decoder of a stream says it is", () => {
		fc.assert(
			fc.property(anyBytes, (whole) => {
				const { items, error, idle } = decodeNetstrings([copyOf(whole)]);
				const first = items[0];
				const ended = first?.end ?? null;
				const decode = () => textOf(decodeNetstring(whole));
				if (first !== undefined && ended === whole.length) {
					expect(decode()).toBe(first.text);
				} else if (ended !== null) {
					expect(decode).toThrow(expect.objectContaining({ code: "ERR_NETSTRING_TRAILING", offset: ended }));
				} else if (error !== null) {
					expect(decode).toThrow(expect.objectContaining({ ...error }));
				} else {
					expect(idle && whole.length > 0).toBe(false);
					expect(decode).toThrow(
						expect.objectContaining({ code: "ERR_NETSTRING_TRUNCATED", offset: whole.length }),
					);
				}
			}),
			RUNS,
		);
	});
});

/** What may stand before an event inside a package. */
const ORDER: Readonly<Record<string, readonly string[]>> = {
	message: [""],
	body: ["message", "body"],
	sender: ["message", "body"],
	recipient: ["sender", "recipient"],
	end: ["sender", "recipient"],
};

/** An error stands at a byte that was there; without one, all bytes were read. */
function holdOffsets({ error, offset }: Decoded<unknown>, whole: Uint8Array): void {
	if (error === null) {
		expect(offset).toBe(whole.length);
	} else {
		expect(error.offset).toBeGreaterThanOrEqual(0);
		expect(error.offset).toBeLessThan(whole.length);
	}
}

function clientResults(chunks: readonly Uint8Array[], packages: readonly number[]) {
	const connection = new ClientConnection();
	for (const recipients of packages) connection.sent(recipients);
	const results: unknown[] = [];
	let error: Failure | null = null;
	try {
		for (const chunk of chunks) {
			connection.receive(chunk);
			for (let result = connection.next(); result !== null; result = connection.next()) results.push(result);
			chunk.fill(0xff);
		}
	} catch (caught) {
		error = failureOf(caught);
	}
	return { results, error, unanswered: connection.unanswered() };
}

function failureOf(error: unknown): Failure {
	expect(error).toMatchObject({
		name: "ProtocolError",
		code: expect.any(String),
		offset: expect.any(Number),
	});
	const { code, offset } = error as Failure;
	return { code, offset };
}
