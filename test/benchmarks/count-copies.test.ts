/** The counter behind "the decoder copies nothing" must see copies. */
import { describe, expect, test } from "vitest";
import { countCopies } from "../../benchmarks/fixtures/count-copies.js";
import { encodeNetstring } from "../../src/netstring/encoder.js";
import { PackageDecoder } from "../../src/protocol/package-decoder.js";
import { bytesOf, netstring } from "../support/bytes.js";

const TEN = bytesOf("0123456789");

describe("countCopies", () => {
	test.each<[string, number, () => unknown]>([
		["set", 10, () => new Uint8Array(20).set(TEN, 3)],
		["set on a Buffer", 10, () => Buffer.alloc(20).set(TEN)],
		["the constructor with an array", 10, () => new Uint8Array(TEN)],
		["slice", 4, () => TEN.slice(2, 6)],
		["Buffer.concat", 20, () => Buffer.concat([TEN, TEN])],
		["Buffer.from of bytes", 10, () => Buffer.from(TEN)],
		["Buffer's copy", 10, () => Buffer.from(TEN.buffer).copy(new Uint8Array(20))],
		["copyWithin", 3, () => new Uint8Array(10).copyWithin(0, 2, 5)],
		["copyWithin to the end", 6, () => new Uint8Array(10).copyWithin(0, 4)],
		["copyWithin of more than there is room for", 2, () => new Uint8Array(10).copyWithin(8, 1, 9)],
		["copyWithin with offsets from the end", 2, () => new Uint8Array(10).copyWithin(-4, -3, -1)],
		["copyWithin of nothing", 0, () => new Uint8Array(10).copyWithin(0, 5, 5)],
		["the constructor with a length", 0, () => new Uint8Array(10)],
		["the constructor with a buffer", 0, () => new Uint8Array(TEN.buffer, 2, 4)],
		["subarray", 0, () => TEN.subarray(2, 6)],
		["Buffer.from of a buffer", 0, () => Buffer.from(TEN.buffer)],
	])("counts what %s copies", async (_, bytes, copy) => {
		expect(await countCopies(() => void copy())).toBe(bytes);
	});

	test("sees the copies of the package's own code: an encoded netstring, and a decoded address", async () => {
		expect(await countCopies(() => void encodeNetstring(TEN))).toBe(10);
		const decoder = new PackageDecoder();
		decoder.receive(bytesOf(`${netstring("\nbody")}${netstring("sender")}${netstring(netstring("r"))}`));
		const copied = await countCopies(() => {
			while (decoder.next() !== null);
		});
		expect(copied).toBe("sender".length + "r".length);
	});

	test("counts nothing more when it is done, also when the work throws", async () => {
		const { set } = Uint8Array.prototype;
		const original = globalThis.Uint8Array;
		const work = Promise.reject(new Error("work failed"));
		await expect(countCopies(() => work)).rejects.toThrow("work failed");
		expect(Uint8Array.prototype.set).toBe(set);
		expect(globalThis.Uint8Array).toBe(original);
	});
});
