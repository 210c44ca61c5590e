/** The records of a spool: what is known of a message, as bytes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	DamagedRecord,
	decodeMessage,
	decodeState,
	encodeState,
	frontSize,
	type State,
	writeFront,
} from "../../src/queue/spool/state.js";

const text = fc.stringMatching(/^[0-9a-f.-]{1,200}$/);
const state: fc.Arbitrary<State> = fc.record(
	{
		queuedAt: fc.integer({ min: 0, max: 2 ** 43 }),
		size: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
		bodyAt: fc.nat({ max: 2 ** 32 - 1 }),
		due: fc.double({ noNaN: true, noDefaultInfinity: true }),
		attempts: fc.nat({ max: 2 ** 32 - 1 }),
		latin1: fc.constant(true as const),
		file: text,
		lease: text,
		finished: fc.uint8Array({ minLength: 1, maxLength: 1250 }),
	},
	{ requiredKeys: ["queuedAt", "size", "bodyAt", "due", "attempts"] },
);

describe("the record of a message that has come", () => {
	test("holds its package behind its state", () => {
		const fresh = state.map(({ lease: _, finished: __, ...rest }) => rest);
		fc.assert(
			fc.property(fresh, fc.uint8Array({ maxLength: 300 }), (given, bytes) => {
				const front = frontSize(given.file);
				const record = new Uint8Array(front + bytes.length);
				record.set(bytes, front);
				writeFront(record, given);
				const read = decodeMessage(record);
				expect(read.state).toEqual(given);
				expect([...read.package]).toEqual([...bytes]);
			}),
		);
	});

	test("that is cut within its state is refused", () => {
		const given: State = { queuedAt: 1, size: 2, bodyAt: 3, due: 4, attempts: 0, file: "f" };
		const record = new Uint8Array(frontSize(given.file));
		writeFront(record, given);
		for (let length = 0; length < record.length; length++) {
			expect(() => decodeMessage(record.subarray(0, length))).toThrow(DamagedRecord);
		}
	});
});

describe("a record", () => {
	test("holds all that is known of a message", () => {
		fc.assert(
			fc.property(state, (given) => {
				const { finished, ...rest } = decodeState(encodeState(given));
				const { finished: bits, ...others } = given;
				expect(rest).toEqual(others);
				expect(finished === undefined ? undefined : [...finished]).toEqual(bits && [...bits]);
			}),
		);
	});

	test("of another version, or cut within its texts, is refused", () => {
		const record = encodeState({
			queuedAt: 1,
			size: 2,
			bodyAt: 3,
			due: 4,
			attempts: 5,
			lease: "me",
			file: "f",
		});
		for (let length = 0; length < record.length; length++) {
			expect(() => decodeState(record.subarray(0, length))).toThrow(DamagedRecord);
		}
		const newer = Uint8Array.from(record);
		newer[0] = 2;
		expect(() => decodeState(newer)).toThrow(DamagedRecord);
		const timeless = Uint8Array.from(record);
		new DataView(timeless.buffer).setFloat64(20, Number.NaN, true);
		expect(() => decodeState(timeless)).toThrow(DamagedRecord);
	});
});
