import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ProtocolError } from "../../src/errors.js";
import { type Netstring, type ReadNetstringsOptions, readNetstrings } from "../../src/netstring/reader.js";
import { bytesOf, concat, copyOf, netstring, textOf } from "../support/bytes.js";
import { cut, everyPrefix, everySplitAsync } from "../support/every-split.js";
import { CountingSource, countingStream, settle } from "../support/sources.js";

const unread = expect.objectContaining({ code: "ERR_NETSTRING_UNREAD", name: "UsageError" });

describe("readNetstrings", () => {
	test("reads each netstring with its length and its bytes, in every split", async () => {
		const input = bytesOf("12:hello world!,0:,1:,,6:3:abc,,");
		const result = await everySplitAsync(input, (chunks) => readAll(new CountingSource(chunks)));
		expect(result).toEqual({
			netstrings: [
				[12, "hello world!"],
				[0, ""],
				[1, ","],
				[6, "3:abc,"],
			],
			error: null,
		});
	});

	test("reads a ReadableStream the same way", async () => {
		const input = bytesOf("5:hello,0:,1:x,");
		const result = await everySplitAsync(input, (chunks) => readAll(countingStream(chunks).stream));
		expect(result).toEqual({
			netstrings: [
				[5, "hello"],
				[0, ""],
				[1, "x"],
			],
			error: null,
		});
	});

	test.each<[string, string, number, ReadNetstringsOptions?]>([
		["ERR_NETSTRING_LENGTH_EMPTY", "2:ab,:,", 5],
		["ERR_NETSTRING_LENGTH_ZEROS", "2:ab,02:cd,", 6],
		["ERR_NETSTRING_LENGTH_DIGIT", "2:ab,x", 5],
		["ERR_NETSTRING_TOO_LONG", "2:ab,9007199254740992:", 20],
		["ERR_NETSTRING_TOO_LONG", "2:ab,12:", 6, { maxLength: 11 }],
	])("%s comes out of the outer iteration", async (code, text, offset, options) => {
		const result = await everySplitAsync(bytesOf(text), (chunks) =>
			readAll(new CountingSource(chunks), options),
		);
		expect(result).toEqual({ netstrings: [[2, "ab"]], error: { code, offset, of: "outer" } });
	});

	test("ERR_NETSTRING_COMMA comes out of the inner iteration", async () => {
		const result = await everySplitAsync(bytesOf("2:ab,2:cd;"), (chunks) =>
			readAll(new CountingSource(chunks)),
		);
		expect(result).toEqual({
			netstrings: [
				[2, "ab"],
				[2, "cd"],
			],
			error: { code: "ERR_NETSTRING_COMMA", offset: 9, of: "inner" },
		});
	});

	test("ERR_NETSTRING_TRUNCATED comes out of the iteration that meets the end", async () => {
		const prefixes: Uint8Array[] = [];
		everyPrefix(bytesOf("2:ab,10:0123456789,"), (prefix) => prefixes.push(prefix));
		for (const prefix of prefixes) {
			const { length } = prefix;
			const { error } = await readAll(new CountingSource([prefix]));
			const inner = (length >= 2 && length < 5) || length >= 8;
			expect(error).toEqual(
				length === 0 || length === 5
					? null
					: { code: "ERR_NETSTRING_TRUNCATED", offset: length, of: inner ? "inner" : "outer" },
			);
		}
	});

	test("a maxLength that is no number of bytes is refused at once", () => {
		expect(() => readNetstrings(new CountingSource([]), { maxLength: Number.NaN })).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_OPTION", name: "UsageError" }),
		);
	});

	test("the pieces are views into the chunks", async () => {
		const chunks = [bytesOf("10:hel"), bytesOf("lo"), bytesOf("world,2:a"), bytesOf("b,")];
		const pieces: [number, number, number][] = [];
		for await (const interpretation of readNetstrings(new CountingSource(chunks))) {
			for await (const { buffer, byteOffset, length } of interpretation) {
				pieces.push([chunks.findIndex((chunk) => chunk.buffer === buffer), byteOffset, length]);
			}
		}
		expect(pieces).toEqual([
			[0, 3, 3],
			[1, 0, 2],
			[2, 0, 5],
			[2, 8, 1],
			[3, 0, 1],
		]);
	});

	test("reads what any number of netstrings in any cuts were", async () => {
		const property = fc.asyncProperty(
			fc.array(fc.string({ unit: fc.constantFrom(":", ",", "1", "x") }), { maxLength: 6 }),
			fc.array(fc.nat(60)),
			async (texts, points) => {
				const whole = bytesOf(texts.map(netstring).join(""));
				const chunks = cut(
					whole,
					points.filter((point) => point <= whole.length),
				);
				const { netstrings, error } = await readAll(new CountingSource(chunks));
				expect(error).toBeNull();
				expect(netstrings).toEqual(texts.map((text) => [text.length, text]));
			},
		);
		await fc.assert(property);
	});

	describe("backpressure", () => {
		test("the source is left alone until the first netstring is asked for", async () => {
			const source = new CountingSource([bytesOf("1:a,")]);
			const { stream, counted } = countingStream([bytesOf("1:a,")]);
			readNetstrings(source)[Symbol.asyncIterator]();
			readNetstrings(stream)[Symbol.asyncIterator]();
			await settle();
			expect([source.pulled, counted.pulled, stream.locked]).toEqual([0, 0, false]);
		});

		test("a chunk is pulled when its first byte is needed, and not before", async () => {
			const source = new CountingSource(["5:", "hel", "lo", ",", "2", ":ab,0:,"].map(bytesOf));
			const outer = readNetstrings(source)[Symbol.asyncIterator]();
			const { value: first } = (await outer.next()) as { value: Netstring };
			expect([first.length, source.pulled]).toEqual([5, 1]);
			const inner = first[Symbol.asyncIterator]();
			await inner.next();
			expect(source.pulled).toBe(2);
			await settle();
			await inner.next();
			expect(source.pulled).toBe(3);
			expect((await inner.next()).done).toBe(true);
			expect(source.pulled).toBe(4);
			const { value: second } = (await outer.next()) as { value: Netstring };
			expect([second.length, source.pulled]).toEqual([2, 6]);
			expect((await readText(second)).length).toBe(2);
			await outer.next();
			await settle();
			expect(source.pulled).toBe(6);
		});

		test("256 MiB pass one chunk at a time, however slowly they are read", async () => {
			const chunk = new Uint8Array(1 << 20);
			let made = 0;
			let read = 0;
			const chunks = function* () {
				yield bytesOf(`${256 * chunk.length}:`);
				for (let count = 0; count < 256; count++) {
					if (made !== read) expect.unreachable(`${made} chunks were pulled when ${read} were read`);
					made++;
					yield chunk;
				}
				yield bytesOf(",1:x,");
			};
			const lengths: number[] = [];
			for await (const interpretation of readNetstrings(new CountingSource(chunks()))) {
				let length = 0;
				for await (const bytes of interpretation) {
					if (bytes.length > 1 && bytes.buffer !== chunk.buffer) expect.unreachable("a copy");
					length += bytes.length;
					if (made % 64 === 0) await settle();
					read++;
				}
				expect(length).toBe(interpretation.length);
				lengths.push(length);
			}
			expect(lengths).toEqual([256 << 20, 1]);
		});

		test("a ReadableStream is not read ahead either", async () => {
			const chunks = Array.from({ length: 100 }, () => bytesOf("x"));
			const { stream, counted } = countingStream([bytesOf("100:"), ...chunks, bytesOf(",")]);
			for await (const interpretation of readNetstrings(stream)) {
				let read = 0;
				for await (const _ of interpretation) {
					await settle();
					expect(counted.pulled).toBe(1 + ++read);
				}
			}
			expect(stream.locked).toBe(false);
		});
	});

	describe("a netstring that is not read to its end", () => {
		const input = "5:hello,5:world,0:,1:!,";

		test("is dropped when the next one is asked for, in every split", async () => {
			const result = await everySplitAsync(bytesOf(input), async (chunks) => {
				const lengths: number[] = [];
				for await (const { length } of readNetstrings(new CountingSource(chunks))) lengths.push(length);
				return lengths;
			});
			expect(result).toEqual([5, 5, 0, 1]);
		});

		test("is dropped from where its loop was left", async () => {
			const result = await everySplitAsync(bytesOf(input), async (chunks) => {
				const firsts: (string | undefined)[] = [];
				for await (const interpretation of readNetstrings(new CountingSource(chunks))) {
					let first: string | undefined;
					for await (const bytes of interpretation) {
						first = textOf(bytes)[0];
						break;
					}
					firsts.push(first);
				}
				return firsts;
			});
			expect(result).toEqual(["h", "w", undefined, "!"]);
		});

		test("goes on where its loop was left when it is iterated again", async () => {
			for await (const interpretation of readNetstrings(
				new CountingSource(["5:he", "l", "lo,"].map(bytesOf)),
			)) {
				for await (const bytes of interpretation) {
					expect(textOf(bytes)).toBe("he");
					break;
				}
				expect(await readText(interpretation)).toBe("llo");
				expect(await readText(interpretation)).toBe("");
			}
		});

		test("throws ERR_NETSTRING_UNREAD when it is iterated after it was dropped", async () => {
			const all: Netstring[] = [];
			for await (const interpretation of readNetstrings(new CountingSource([bytesOf(input)])))
				all.push(interpretation);
			const [first, , empty, last] = all as [Netstring, Netstring, Netstring, Netstring];
			for (const interpretation of [first, last]) {
				await expect(readText(interpretation)).rejects.toEqual(unread);
				await expect(readText(interpretation)).rejects.toEqual(unread);
			}
			expect(await readText(empty)).toBe(""); // nothing of it was dropped
		});

		test("ends as it should if all of it but its comma was read", async () => {
			const outer = readNetstrings(new CountingSource([bytesOf("5:hello,1:x,")]))[Symbol.asyncIterator]();
			const { value: first } = (await outer.next()) as { value: Netstring };
			const inner = first[Symbol.asyncIterator]();
			expect(textOf((await inner.next()).value)).toBe("hello");
			expect((await outer.next()).value).toMatchObject({ length: 1 });
			expect(await inner.next()).toEqual({ done: true, value: undefined });
			expect(await readText(first)).toBe("");
		});

		test("an error in what is dropped comes out of the outer iteration", async () => {
			const outer = readNetstrings(new CountingSource([bytesOf("5:hello;")]))[Symbol.asyncIterator]();
			await outer.next();
			await expect(outer.next()).rejects.toMatchObject({ code: "ERR_NETSTRING_COMMA", offset: 7 });
		});

		test("asking for the next one while bytes of it are awaited throws, and ends the source", async () => {
			const { stream: stalled, cancelled } = stalledStream("5:he");
			const outer = readNetstrings(stalled)[Symbol.asyncIterator]();
			const { value: first } = (await outer.next()) as { value: Netstring };
			const inner = first[Symbol.asyncIterator]();
			await inner.next();
			const failed = expect(inner.next()).rejects.toEqual(unread);
			await expect(outer.next()).rejects.toEqual(unread);
			await failed;
			expect(cancelled).toHaveLength(1);
		});
	});

	describe("the end of the source", () => {
		test("leaving the outer loop calls the iterator's return()", async () => {
			const source = new CountingSource([bytesOf("1:a,1:b,"), bytesOf("1:c,")]);
			for await (const interpretation of readNetstrings(source)) {
				expect(interpretation.length).toBe(1);
				break;
			}
			expect([source.pulled, source.returned]).toEqual([1, 1]);
		});

		test("an error thrown in the outer loop does so too, and comes out", async () => {
			const source = new CountingSource([bytesOf("1:a,1:b,")]);
			const error = new Error("disk full");
			const run = async () => {
				for await (const interpretation of readNetstrings(source)) {
					for await (const _ of interpretation) throw error;
				}
			};
			await expect(run()).rejects.toBe(error);
			expect(source.returned).toBe(1);
		});

		test("leaving the outer loop cancels a ReadableStream and unlocks it", async () => {
			const { stream, counted } = countingStream([bytesOf("1:a,1:b,"), bytesOf("1:c,")]);
			for await (const _ of readNetstrings(stream)) break;
			expect(counted.cancelled).toHaveLength(1);
			expect(stream.locked).toBe(false);
		});

		test("leaving the outer loop ends a read that is under way", async () => {
			const { stream: stalled } = stalledStream("5:he");
			const outer = readNetstrings(stalled)[Symbol.asyncIterator]();
			const { value: first } = (await outer.next()) as { value: Netstring };
			const reading = readText(first);
			const failed = expect(reading).rejects.toEqual(unread);
			await settle();
			await outer.return?.();
			await failed;
			expect(stalled.locked).toBe(false);
		});

		test("a netstring cannot be read behind the loop that gave it", async () => {
			let left: Netstring | undefined;
			for await (const interpretation of readNetstrings(new CountingSource([bytesOf("1:a,")]))) {
				left = interpretation;
				break;
			}
			await expect(readText(left as Netstring)).rejects.toEqual(unread);
		});

		test("a source that ends by itself is not told to end", async () => {
			const source = new CountingSource([bytesOf("1:a,")]);
			await readAll(source);
			expect(source.returned).toBe(0);
			const truncated = new CountingSource([bytesOf("1:a")]);
			await readAll(truncated);
			expect(truncated.returned).toBe(0);
		});

		test("a source without return() can be left", async () => {
			const source = {
				[Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: bytesOf("0:,") }) }),
			};
			for await (const { length } of readNetstrings(source)) {
				expect(length).toBe(0);
				break;
			}
		});

		test("an error in the netstrings ends the source, and each read after it throws the same error", async () => {
			const source = new CountingSource([bytesOf("3:ab"), bytesOf("c;"), bytesOf("1:x,")]);
			const outer = readNetstrings(source)[Symbol.asyncIterator]();
			const { value: first } = (await outer.next()) as { value: Netstring };
			const error = await readText(first).catch((error: unknown) => error);
			expect(error).toMatchObject({ code: "ERR_NETSTRING_COMMA", offset: 5 });
			expect([source.pulled, source.returned]).toEqual([2, 1]);
			await expect(readText(first)).rejects.toBe(error);
			await expect(outer.next()).rejects.toBe(error);
			expect(source.returned).toBe(1);
		});

		test("an error of the source comes out as it is, of each read after it too", async () => {
			const broken = new Error("cable");
			for (const source of [failingIterable(broken), failingStream(broken)]) {
				const outer = readNetstrings(source)[Symbol.asyncIterator]();
				const { value: first } = (await outer.next()) as { value: Netstring };
				await expect(readText(first)).rejects.toBe(broken);
				await expect(readText(first)).rejects.toBe(broken);
				await expect(outer.next()).rejects.toBe(broken);
			}
		});

		test("a source that throws is not told to end", async () => {
			const source = new CountingSource(
				(function* () {
					yield bytesOf("5:he");
					throw new Error("cable");
				})(),
			);
			await expect(readAll(source)).rejects.toThrow("cable");
			expect(source.returned).toBe(0);
		});

		test("an error of the source's own end does not hide the error in the netstrings", async () => {
			const stream = new ReadableStream<Uint8Array>({
				start: (controller) => controller.enqueue(bytesOf("x")),
				cancel: () => {
					throw new Error("cannot be cancelled");
				},
			});
			await expect(readNetstrings(stream)[Symbol.asyncIterator]().next()).rejects.toMatchObject({
				code: "ERR_NETSTRING_LENGTH_DIGIT",
			});
		});
	});
});

async function readAll(
	source: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
	options: ReadNetstringsOptions = {},
) {
	const netstrings: [length: number, text: string][] = [];
	let of: "outer" | "inner" = "outer";
	try {
		for await (const interpretation of readNetstrings(source, options)) {
			of = "inner";
			const pieces: Uint8Array[] = [];
			netstrings.push([interpretation.length, ""]);
			for await (const bytes of interpretation) {
				if (bytes.length === 0) expect.unreachable("an empty piece");
				pieces.push(copyOf(bytes));
				(netstrings.at(-1) as [number, string])[1] = textOf(concat(pieces));
			}
			of = "outer";
		}
	} catch (error) {
		if (!(error instanceof ProtocolError)) throw error;
		return { netstrings, error: { code: error.code, offset: error.offset, of } };
	}
	return { netstrings, error: null };
}

async function readText(interpretation: Netstring): Promise<string> {
	let text = "";
	for await (const bytes of interpretation) text += textOf(bytes);
	return text;
}

async function* failingIterable(error: Error): AsyncGenerator<Uint8Array> {
	yield bytesOf("5:he");
	throw error;
}

/** A stream that gives one chunk, and then nothing for ever. */
function stalledStream(text: string): { stream: ReadableStream<Uint8Array>; cancelled: unknown[] } {
	const cancelled: unknown[] = [];
	const stream = new ReadableStream<Uint8Array>({
		start: (controller) => controller.enqueue(bytesOf(text)),
		cancel: (reason) => void cancelled.push(reason),
	});
	return { stream, cancelled };
}

function failingStream(error: Error): ReadableStream<Uint8Array> {
	return new ReadableStream<Uint8Array>(
		{
			start: (controller) => controller.enqueue(bytesOf("5:he")),
			pull: (controller) => controller.error(error),
		},
		{ highWaterMark: 0 },
	);
}
