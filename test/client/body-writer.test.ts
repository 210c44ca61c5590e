/** What goes to the socket in which writes. */
import type { Socket } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { BodyWriter } from "../../src/client/body-writer.js";
import { bytesOf, concat, copyOf, textOf } from "../support/bytes.js";

/** A socket that only notes what it is given, and a copy of what it was then. */
class NotingSocket {
	writableNeedDrain = false;
	readonly writes: Uint8Array[] = [];
	readonly copies: Uint8Array[] = [];

	write(bytes: Uint8Array): boolean {
		this.writes.push(bytes);
		this.copies.push(copyOf(bytes));
		return true;
	}
}

function make(): { writer: BodyWriter; socket: NotingSocket } {
	const socket = new NotingSocket();
	return { writer: new BodyWriter(socket as unknown as Socket), socket };
}

test("small pieces go out in one write, when they are flushed", () => {
	const { writer, socket } = make();
	for (const piece of ["a", "", "bc", "d"]) writer.write(bytesOf(piece));
	expect(socket.writes).toEqual([]);
	writer.flush();
	writer.flush();
	expect(socket.writes.map(textOf)).toEqual(["abcd"]);
});

test("what is larger than 16 KiB is not copied, and keeps its place", () => {
	const { writer, socket } = make();
	const large = new Uint8Array(16 * 1024 + 1);
	writer.write(bytesOf("before"));
	writer.write(large);
	writer.write(bytesOf("behind"));
	writer.flush();
	expect(socket.writes).toHaveLength(3);
	expect(socket.writes[1]).toBe(large);
	expect(socket.writes.map(({ length }) => length)).toEqual([6, large.length, 6]);
});

test("what is not larger is copied: it may change when it was written", () => {
	const { writer, socket } = make();
	const bytes = bytesOf("text");
	writer.write(bytes);
	bytes.fill(0);
	writer.flush();
	expect(socket.writes.map(textOf)).toEqual(["text"]);
});

test("a flush of nothing writes nothing", () => {
	const { writer, socket } = make();
	writer.flush();
	writer.write(new Uint8Array(0));
	writer.flush();
	expect(socket.writes).toEqual([]);
});

test("it is blocked while its socket wants to be drained", () => {
	const { writer, socket } = make();
	expect(writer.blocked).toBe(false);
	socket.writableNeedDrain = true;
	expect(writer.blocked).toBe(true);
});

test("any pieces come out as they were, and what was handed to the socket never changes", () => {
	const piece = fc.record({
		length: fc.oneof(fc.nat(50), fc.integer({ min: 16_000, max: 17_000 }), fc.nat(70_000)),
		flush: fc.boolean(),
	});
	const property = fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
		const { writer, socket } = make();
		const written: Uint8Array[] = [];
		for (const [index, { length, flush }] of pieces.entries()) {
			const bytes = new Uint8Array(length).fill(index);
			written.push(bytes);
			writer.write(bytes);
			if (flush) writer.flush();
		}
		writer.flush();
		expect(Buffer.compare(concat(socket.copies), concat(written))).toBe(0);
		expect(Buffer.compare(concat(socket.writes), concat(written))).toBe(0);
	});
	fc.assert(property, { numRuns: 200 });
});
