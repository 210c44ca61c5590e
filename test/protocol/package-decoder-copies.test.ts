/** What the decoder copies, and what it does not: bodies are views of the caller's chunks, addresses are copies. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { PackageDecoder } from "../../src/protocol/package-decoder.js";
import type { PackageEvent } from "../../src/protocol/package-event.js";
import { bytesOf, concat, netstring, textOf } from "../support/bytes.js";
import { chunksOf, everySplit } from "../support/every-split.js";

const BODY = "Subject: x\n\nThe quick brown fox.\n".repeat(3);

afterEach(() => {
	vi.restoreAllMocks();
	vi.unstubAllGlobals();
});

describe.each(["\n", "\r"])("the body of a message that starts with %j", (first) => {
	const text = `${netstring(first + BODY)}1:s,4:1:r,,`;

	test("is views into the chunk, in every split", () => {
		everySplit(bytesOf(text), (chunks) => {
			const pieces: string[] = [];
			const decoder = new PackageDecoder();
			for (const chunk of chunks) {
				decoder.receive(chunk);
				for (let event = decoder.next(); event !== null; event = decoder.next()) {
					if (event.type !== "body") continue;
					const { bytes } = event;
					if (bytes.buffer !== chunk.buffer) expect.unreachable("a body in a buffer of its own");
					if (bytes.byteOffset < chunk.byteOffset) expect.unreachable("a body in front of its chunk");
					const [end, limit] = [bytes.byteOffset + bytes.length, chunk.byteOffset + chunk.length];
					if (end > limit) expect.unreachable("a body that reaches behind its chunk");
					pieces.push(textOf(bytes));
				}
			}
			return pieces.join("");
		});
	});

	test("is one view for each chunk, at the place of its bytes", () => {
		const slab = bytesOf(`????${text}????`); // chunks of a pool do not start where their buffer does
		const decoder = new PackageDecoder();
		const views: [offset: number, length: number][] = [];
		for (let start = 4; start < 4 + text.length; start += 32) {
			decoder.receive(slab.subarray(start, Math.min(start + 32, 4 + text.length)));
			for (let event = decoder.next(); event !== null; event = decoder.next()) {
				if (event.type !== "body") continue;
				expect(event.bytes.buffer).toBe(slab.buffer);
				views.push([event.bytes.byteOffset, event.bytes.length]);
			}
		}
		const start = 4 + text.indexOf(BODY);
		expect(views).toEqual([
			[start, 4 + 32 - start],
			[4 + 32, 32],
			[4 + 64, 32],
			[4 + 96, start + BODY.length - 4 - 96],
		]);
	});

	test("changes with the chunk, so it is the chunk", () => {
		const chunk = bytesOf(text);
		const decoder = new PackageDecoder();
		decoder.receive(chunk);
		decoder.next();
		const event = decoder.next();
		if (event?.type !== "body") return expect.unreachable("should be the body");
		expect(textOf(event.bytes)).toBe(BODY);
		chunk.fill(0x2a);
		expect(textOf(event.bytes)).toBe("*".repeat(BODY.length));
	});

	test("is neither copied nor given room, however long it is", () => {
		const chunk = new Uint8Array(1 << 16);
		const pieces = 100;
		const decoder = new PackageDecoder();
		const counted = countBytes(() => {
			decoder.receive(bytesOf(`${1 + pieces * chunk.length}:${first}`));
			expect(decoder.next()).toMatchObject({ type: "message" });
			expect(decoder.next()).toBeNull();
			let told = 0;
			for (let piece = 0; piece < pieces; piece++) {
				decoder.receive(chunk);
				const event = decoder.next() as PackageEvent & { type: "body" };
				told += event.bytes.length;
				expect(decoder.next()).toBeNull();
			}
			expect(told).toBe(pieces * chunk.length);
		});
		expect(counted.copied).toBe(0);
		expect(counted.allocated).toBeLessThan(20); // the head that this test makes
	});
});

describe("addresses", () => {
	test("a copy has a buffer of its own, no longer than it is", () => {
		const chunk = bytesOf("1:\n,3:a@b,6:3:c@d,,");
		const decoder = new PackageDecoder();
		decoder.receive(chunk);
		for (let event = decoder.next(); event !== null; event = decoder.next()) {
			if (event.type !== "sender" && event.type !== "recipient") continue;
			expect(event.address?.buffer).not.toBe(chunk.buffer);
			expect(event.address?.buffer.byteLength).toBe(3);
		}
	});

	test("a copy of an address out of a Buffer is a copy too", () => {
		const chunk = Buffer.from("1:\n,3:a@b,0:,");
		const decoder = new PackageDecoder();
		decoder.receive(chunk);
		expect(decoder.next()).toMatchObject({ type: "message" });
		const event = decoder.next() as PackageEvent & { type: "sender" };
		chunk.fill(0xff);
		expect(textOf(event.address as Uint8Array)).toBe("a@b");
	});

	test.each([1, 2, 3, 7, 16, 64, 1000])("outlive their chunks, of %d bytes each", (size) => {
		const expected: string[] = [];
		const packages: string[] = [];
		for (let number = 0; number < 20; number++) {
			const addresses = [
				`sender-${number}@a`,
				`first-${number}@b`,
				"",
				`second-${number}@${"c".repeat(number)}`,
			];
			expected.push(...addresses);
			const [sender, ...recipients] = addresses as [string, ...string[]];
			packages.push(
				netstring(`\nbody ${number}`),
				netstring(sender),
				netstring(recipients.map(netstring).join("")),
			);
		}
		const noise = `1:\n,${netstring("n".repeat(500))}${netstring(netstring("o".repeat(500)))}`.repeat(100);
		const decoder = new PackageDecoder();
		const kept: Uint8Array[] = [];
		const read = (chunks: Uint8Array[], keep: boolean) => {
			for (const chunk of chunks) {
				decoder.receive(chunk);
				for (let event = decoder.next(); event !== null; event = decoder.next()) {
					if (keep && (event.type === "sender" || event.type === "recipient")) {
						kept.push(event.address as Uint8Array);
					}
				}
				chunk.fill(0xff);
			}
		};
		read(chunksOf(bytesOf(packages.join("")), size), true);
		const later = chunksOf(bytesOf(noise), Math.ceil(noise.length / 100));
		expect(later).toHaveLength(100);
		read(later, false);
		expect(kept.map(textOf)).toEqual(expected);
	});

	test("what is kept of a cut address is that address and no more", () => {
		const address = bytesOf("x".repeat(500));
		const counted = countBytes(() => {
			const decoder = new PackageDecoder();
			for (const chunk of chunksOf(concat([bytesOf("1:\n,500:"), address, bytesOf(",0:,")]), 100)) {
				decoder.receive(chunk);
				while (decoder.next() !== null);
			}
		});
		expect(counted.allocated).toBeLessThan(500 + 500 + 2000); // gathered, copied out, and what this test cuts
	});

	test("an address that is too long is not kept", () => {
		const chunk = new Uint8Array(1 << 16);
		const decoder = new PackageDecoder();
		const counted = countBytes(() => {
			decoder.receive(bytesOf(`1:\n,${100 * chunk.length}:`));
			expect(decoder.next()).toMatchObject({ type: "message" });
			for (let piece = 0; piece < 100; piece++) {
				expect(decoder.next()).toBeNull();
				decoder.receive(chunk);
			}
			expect(decoder.next()).toBeNull();
		});
		expect(counted.copied).toBe(0);
		expect(counted.allocated).toBeLessThan(20);
	});
});

/** Runs something and counts the bytes that it copies with set() and slice(), and those of new arrays. */
function countBytes(run: () => void): { copied: number; allocated: number } {
	const counted = { copied: 0, allocated: 0 };
	const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
	const { set, slice } = typedArray;
	vi.spyOn(typedArray, "set").mockImplementation(function (this: Uint8Array, source, offset) {
		counted.copied += source.length;
		set.call(this, source, offset);
	});
	vi.spyOn(typedArray, "slice").mockImplementation(function (this: Uint8Array, start, end) {
		const copy = slice.call(this, start, end);
		counted.copied += copy.length;
		return copy;
	});
	vi.stubGlobal(
		"Uint8Array",
		new Proxy(Uint8Array, {
			construct(target, parameters, newTarget) {
				const array = Reflect.construct(target, parameters, newTarget) as Uint8Array;
				if (!(parameters[0] instanceof ArrayBuffer)) counted.allocated += array.length;
				return array;
			},
		}),
	);
	run();
	vi.restoreAllMocks();
	vi.unstubAllGlobals();
	return counted;
}
