/** The bytes that benchmarks feed: that they are what they are said to be. */
import { describe, expect, test } from "vitest";
import {
	chunksOf,
	interpretationBytes,
	messageBody,
	netstringBytes,
	packageBytes,
	repeated,
	smallPackage,
} from "../../benchmarks/fixtures/packages.js";
import { decodeNetstring } from "../../src/netstring/decoder.js";
import { PackageDecoder } from "../../src/protocol/package-decoder.js";
import type { PackageEvent } from "../../src/protocol/package-event.js";
import { textOf } from "../support/bytes.js";

describe("a package of the benchmarks", () => {
	test("decodes to what it was made of", () => {
		const body = messageBody(100);
		const events = decode([packageBytes({ body, sender: "s@a", recipients: ["r@b", "", "r@b"] })]);
		expect(events.map(({ type }) => type)).toEqual([
			"message",
			"body",
			"sender",
			...["recipient", "recipient", "recipient"],
			"end",
		]);
		expect(events[0]).toEqual({ type: "message", encoding: "lf", length: 100 });
		expect(events.flatMap((event) => (event.type === "body" ? [textOf(event.bytes)] : []))).toEqual([
			textOf(body),
		]);
		expect(addresses(events)).toEqual(["s@a", "r@b", "", "r@b"]);
	});

	test("is one of 500 when it is repeated 500 times, and cut into chunks of 64 KiB", () => {
		const stream = repeated(smallPackage(400), 500);
		const events = decode(chunksOf(stream, 64 * 1024));
		const count = (type: PackageEvent["type"]) => events.filter((event) => event.type === type).length;
		expect([count("message"), count("sender"), count("recipient"), count("end")]).toEqual([
			500, 500, 500, 500,
		]);
		expect(count("body")).toBeGreaterThan(500); // the cuts are in it
		const bytes = events.reduce((sum, event) => sum + (event.type === "body" ? event.bytes.length : 0), 0);
		expect(bytes).toBe(500 * 400);
	});
});

describe("a message of the benchmarks", () => {
	test.each([100, 400, 1024, 65536])("of %d bytes has that length, and a line end at its end", (length) => {
		const body = messageBody(length);
		expect(body.length).toBe(length);
		expect(body.at(-1)).toBe(0x0a);
		expect(textOf(body)).not.toMatch(/\r|[^\n -~]/);
	});
});

describe("a netstring of the benchmarks", () => {
	test("decodes to its interpretation", () => {
		const interpretation = interpretationBytes(1000);
		expect(textOf(decodeNetstring(netstringBytes(interpretation)))).toBe(textOf(interpretation));
	});
});

describe("chunks of the benchmarks", () => {
	test("are the stream, each in a buffer of its own", () => {
		const stream = interpretationBytes(1000);
		const chunks = chunksOf(stream, 300);
		expect(chunks.map(({ length }) => length)).toEqual([300, 300, 300, 100]);
		expect(Buffer.concat(chunks).equals(stream)).toBe(true);
		expect(new Set([stream, ...chunks].map(({ buffer }) => buffer)).size).toBe(5);
	});
});

function decode(chunks: readonly Uint8Array[]): PackageEvent[] {
	const decoder = new PackageDecoder();
	const events: PackageEvent[] = [];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let event = decoder.next(); event !== null; event = decoder.next()) events.push(event);
	}
	expect(decoder.receiveEnd()).toBe(true);
	return events;
}

function addresses(events: readonly PackageEvent[]): string[] {
	return events.flatMap((event) =>
		event.type === "sender" || event.type === "recipient" ? [textOf(event.address as Uint8Array)] : [],
	);
}
