/** A caller's stream, read and let go of. What the client makes of it is tested with the client. */
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { type ByteStream, InputStream, isByteStream } from "../../src/body/input.js";
import { bytesOf } from "../support/bytes.js";
import { hangingSource, STREAM_KINDS } from "../support/client-sources.js";
import { CountingSource } from "../support/sources.js";

const CHUNKS = [bytesOf("one"), bytesOf("two")];

test("what is a stream of bytes, and what is not", () => {
	async function* generate() {}
	const streams = [generate(), Readable.from([]), new ReadableStream(), { getReader: () => null }];
	expect(streams.map(isByteStream)).toEqual([true, true, true, true]);
	const others = [null, undefined, 7, "text", new Uint8Array(3), [1], { path: "x" }, new Blob([]), () => {}];
	expect(others.map(isByteStream)).toEqual(others.map(() => false));
});

describe.each(STREAM_KINDS)("a %s", (kind) => {
	test("gives its chunks, then its end, again and again", async () => {
		const source = hangingSource(kind, CHUNKS);
		source.more.open([bytesOf("three")]);
		const input = new InputStream(source.message as ByteStream);
		const texts: string[] = [];
		for await (const chunk of input) texts.push(Buffer.from(chunk).toString());
		expect(texts.join("")).toBe("onetwothree");
		expect(await input.next()).toEqual({ done: true, value: undefined });
		input.release();
		expect(await input.next()).toEqual({ done: true, value: undefined });
	});

	test("that hangs is let go of: who waits is told at once, and so is who asks later", async () => {
		const source = hangingSource(kind, [CHUNKS[0] as Uint8Array]);
		const input = new InputStream(source.message as ByteStream);
		await input.next();
		const waiting = input.next();
		await source.asked;
		input.release();
		input.release();
		await expect(waiting).rejects.toThrow("the stream was let go of");
		await expect(input.next()).rejects.toThrow("the stream was let go of");
		if (kind === "generator") source.more.open([]);
		await source.released;
	});

	test("that fails throws what it threw", async () => {
		const source = hangingSource(kind, []);
		const failure = new Error("no more");
		source.more.fail(failure);
		const input = new InputStream(source.message as ByteStream);
		await expect(input.next()).rejects.toBe(failure);
		input.release();
	});
});

test("one that was never read is let go of: a Readable and a ReadableStream", async () => {
	for (const kind of ["Readable", "ReadableStream"] as const) {
		const source = hangingSource(kind, CHUNKS);
		new InputStream(source.message as ByteStream).release();
		await source.released;
	}
});

test("a loop that ends early lets go of it", async () => {
	const source = new CountingSource(CHUNKS);
	for await (const chunk of new InputStream(source)) {
		expect(chunk).toBe(CHUNKS[0]);
		break;
	}
	expect(source).toMatchObject({ pulled: 1, returned: 1 });
});

test("one that has ended is not told to end", async () => {
	const source = new CountingSource(CHUNKS);
	const input = new InputStream(source);
	for await (const _ of input);
	input.release();
	expect(source).toMatchObject({ pulled: 2, returned: 0 });
});

test("one whose own end fails or hangs holds nobody up", async () => {
	const ends = [() => Promise.reject(new Error("cannot end")), () => new Promise<never>(() => {})];
	for (const cancel of ends) {
		const input = new InputStream(new ReadableStream({ cancel }));
		const waiting = input.next();
		input.release();
		await expect(waiting).rejects.toThrow("let go of");
	}
	const throwing = {
		destroy: () => expect.fail("cannot end"),
		[Symbol.asyncIterator]: () => expect.fail("read"),
	};
	new InputStream(throwing as unknown as ByteStream).release();
});

test("an iterator that gives its results without promises, or throws, is as good as any", async () => {
	const results = [{ done: false, value: bytesOf("one") }, { done: true }];
	const plain = { [Symbol.asyncIterator]: () => ({ next: () => results.shift() }) };
	const input = new InputStream(plain as unknown as ByteStream);
	expect((await input.next()).value).toEqual(bytesOf("one"));
	expect((await input.next()).done).toBe(true);
	const throwing = { [Symbol.asyncIterator]: () => ({ next: () => results.at(9)?.done }) };
	await expect(new InputStream(throwing as unknown as ByteStream).next()).rejects.toBeInstanceOf(TypeError);
});
