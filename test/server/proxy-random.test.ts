import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, concat, copyOf } from "../support/bytes.js";
import { cut } from "../support/every-split.js";
import { outcome } from "../support/proxy-decoding.js";
import { binaryHeader, HAPROXY, tlsTlv, tlv, withChecksum } from "../support/proxy-headers.js";

const LONGEST = 16 + 4096;

const bytes = fc.uint8Array({ maxLength: 300 });
const line = fc.string({
	unit: fc.constantFrom(..."0129af:. \r\n", " ::1", "192.0.2.1", "UNKNOWN", "TCP6 ::1"),
});
const tlvs = fc.array(
	fc.oneof(
		fc
			.tuple(fc.constantFrom(1, 2, 3, 4, 5, 0x20, 0x30, 0xe0), bytes)
			.map(([type, value]) => tlv(type, value)),
		fc
			.tuple(
				fc.nat(7),
				fc.nat(1),
				fc.array(fc.tuple(fc.integer({ min: 0x20, max: 0x29 }), bytes), { maxLength: 4 }),
			)
			.map(([client, verify, inner]) =>
				tlsTlv(
					client,
					verify,
					inner.map(([type, value]) => tlv(type, value)),
				),
			),
	),
	{ maxLength: 4 },
);
const binary = fc
	.record({
		command: fc.oneof(fc.constantFrom(0x20, 0x21), fc.nat(255)),
		family: fc.oneof(fc.constantFrom(0, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32), fc.nat(255)),
		addresses: fc
			.oneof(fc.constantFrom(0, 12, 36, 216), fc.nat(300))
			.map((length) => new Uint8Array(length).fill(200)),
		tlvs,
	})
	.map(binaryHeader);
const damaged = fc
	.tuple(fc.constantFrom(...Object.values(HAPROXY)), fc.nat(), fc.nat(255))
	.map(([header, at, byte]) => copyOf(header).fill(byte, at % header.length, (at % header.length) + 1));
const anything = fc.oneof(
	bytes,
	line.map((text) => bytesOf(`PROXY ${text}\r\n`)),
	binary,
	binary.map(withChecksum),
	damaged,
	bytes.map((rest) => concat([bytesOf("\r\n\r\n\0\r\nQUIT\n!"), rest])),
);

describe("the decoder", () => {
	test("any bytes are a header, wrong, or not enough, and the same in any cuts", () => {
		fc.assert(
			fc.property(anything, fc.array(fc.nat(400), { maxLength: 8 }), (start, points) => {
				const stream = concat([start, bytesOf("5:hello,")]);
				const whole = outcome([stream]);
				const chunks = cut(
					stream,
					points.map((point) => Math.min(point, stream.length)),
				);
				expect(outcome(chunks)).toEqual(whole);
			}),
			{ numRuns: 5000 },
		);
	});

	test("it never needs more than the longest header has", () => {
		fc.assert(
			fc.property(anything, (start) => {
				const stream = concat([start, new Uint8Array(LONGEST)]);
				const { header, offset = -1, rest = "" } = outcome([stream]);
				expect(header).not.toBeNull();
				expect(offset).toBeLessThan(LONGEST);
				if (header !== undefined) expect(stream.length - rest.length).toBeLessThanOrEqual(LONGEST);
			}),
			{ numRuns: 2000 },
		);
	});

	test("the addresses that it tells are addresses, and the ports are ports", () => {
		const seen = { local: 0, proxy: 0, refused: 0 };
		fc.assert(
			fc.property(anything, (start) => {
				const { header } = outcome([start]);
				if (header === null || header === undefined) seen.refused++;
				else seen[header.command]++;
				for (const end of [header?.source, header?.destination]) {
					if (end === null || end === undefined) continue;
					expect(end.address).toMatch(/^(?:|[0-9a-f:]+|\d+\.\d+\.\d+\.\d+)$/);
					expect(end.port).toSatisfy((port: number) => Number.isInteger(port) && port >= 0 && port <= 65535);
				}
			}),
			{ numRuns: 2000 },
		);
		for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
	});
});
