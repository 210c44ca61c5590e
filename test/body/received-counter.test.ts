/** Received fields are counted right however the message is cut, and nothing behind the header is one. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReceivedCounter } from "../../src/body/received-counter.js";
import { bytesOf } from "../support/bytes.js";

function counted(chunks: readonly string[]): { count: number; ended: boolean } {
	const counter = new ReceivedCounter();
	for (const chunk of chunks) counter.write(bytesOf(chunk));
	return { count: counter.count, ended: counter.ended };
}

/** The same by regular expressions, on the whole message. */
function expected(message: string): { count: number; ended: boolean } {
	const end = /(?:^|\n)\r?\n/.exec(message);
	const header = message.slice(0, end?.index);
	const fields = header.split("\n").filter((line) => /^received:/i.test(line));
	return { count: fields.length, ended: end !== null };
}

describe("Received fields", () => {
	test.each([
		["none", "Subject: a\n\nb\n", 0, true],
		["nothing", "", 0, false],
		["an empty header", "\nReceived: a\n", 0, true],
		["an empty header that ends in CR LF", "\r\nReceived: a\r\n", 0, true],
		["one, and one in the body", "Received: a\n\nReceived: b\n", 1, true],
		["two, in any case, with CR LF", "rEcEiVeD: a\r\nRECEIVED: b\r\n\r\n", 2, true],
		["one that is all there is", "Received:", 1, false],
		["one behind a folded one", "Received: a\n  Received: b\n\tReceived: c\nReceived: d\n", 2, false],
		[
			"names that only begin so, or almost",
			"Received-SPF: a\nReceive: b\nX-Received: c\nReceived\x1a d\n",
			0,
			false,
		],
		["a line of a CR and more", "\rReceived: a\nReceived: b\n", 1, false],
		["two CR, which are no end of the header", "\r\r\nReceived: b\n\n", 1, true],
	])("%s", (_, message, count, ended) => {
		expect(counted([message])).toEqual({ count, ended });
		expect(counted([...message])).toEqual({ count, ended });
		expect(expected(message)).toEqual({ count, ended });
	});

	test("are those that a regular expression finds in the whole header, at each cut of the message", () => {
		const part = fc.constantFrom(
			"Received:",
			"received:",
			"Receive",
			"d:",
			"\n",
			"\r\n",
			"\r",
			" ",
			":",
			"\x1a",
			"x",
		);
		fc.assert(
			fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
				const message = parts.join("");
				for (let cut = 0; cut <= message.length; cut++) {
					expect(counted([message.slice(0, cut), message.slice(cut)])).toEqual(expected(message));
				}
				expect(counted([...message])).toEqual(expected(message));
			}),
			{ numRuns: 500 },
		);
	});

	test("of messages of any bytes, in any chunks", () => {
		const character = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
		const line = fc.oneof(
			fc.constant("Received: x"),
			fc.array(character, { maxLength: 20 }).map((all) => all.join("")),
		);
		fc.assert(
			fc.property(
				fc.array(fc.tuple(line, fc.constantFrom("\n", "\r\n"))),
				fc.array(fc.nat(100)),
				(lines, sizes) => {
					const message = lines.flat().join("");
					const chunks: string[] = [];
					let at = 0;
					for (const size of sizes) {
						chunks.push(message.slice(at, at + size));
						at += size;
					}
					expect(counted([...chunks, message.slice(at)])).toEqual(expected(message));
				},
			),
		);
	});

	test("are not looked for in a line of 10 MB, which is searched and not read byte by byte", () => {
		const counter = new ReceivedCounter();
		const chunk = Buffer.alloc(1_000_000, "x");
		for (let written = 0; written < 10; written++) counter.write(chunk);
		counter.write(Buffer.from("\nReceived: a\n\n"));
		expect(counter).toMatchObject({ count: 1, ended: true });
	});
});
