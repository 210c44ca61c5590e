/** The yardstick must do the work that the decoder does, or its figure says nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CallbackParser } from "../../benchmarks/fixtures/callback-parser.js";
import { packageBytes, smallPackage } from "../../benchmarks/fixtures/packages.js";
import { PackageDecoder } from "../../src/protocol/package-decoder.js";
import { bytesOf, concat, netstring, textOf } from "../support/bytes.js";
import { everySplit } from "../support/every-split.js";
import { almostPackages, inAnyCuts } from "../support/packages.js";

describe("the callback parser", () => {
	test("finds in every split what the package decoder finds", () => {
		const body = bytesOf("a\nb\n");
		const stream = concat([
			packageBytes({ body, sender: "s@a", recipients: ["r@b", "", "r@c"] }),
			packageBytes({ body: bytesOf(""), sender: "", recipients: [] }),
		]);
		const found = everySplit(stream, (chunks) => parsed(chunks));
		expect(found).toEqual(decoded([stream]));
		expect(found.at(-1)).toBe("end");
	});

	test("finds all of a stream of small packages", () => {
		const one = smallPackage(400);
		const found = parsed([concat(Array.from({ length: 20 }, () => one))]);
		expect(found.filter((text) => text === "end")).toHaveLength(20);
	});

	test("finds in packages of any kind what the package decoder finds, and takes no bytes that it does not take", () => {
		fc.assert(
			fc.property(inAnyCuts(almostPackages), ({ chunks }) => {
				expect(parsed(chunks())).toEqual(decoded(chunks()));
			}),
			{ numRuns: 2000 },
		);
	});

	test.each([
		["an extra zero", "01:\n,"],
		["no digit", "x:\n,"],
		["no length", ":,"],
		["a missing comma", `${netstring("\n").slice(0, -1)};`],
		["an empty message", netstring("")],
		["a message in neither encoding", netstring("x")],
		["a recipient longer than its list", `${netstring("\n")}${netstring("")}3:3:a,`],
		["a length longer than its list", `${netstring("\n")}${netstring("")}1:1,`],
	])("refuses %s, and so does the package decoder", (_, text) => {
		expect(parsed([bytesOf(text)]).at(-1)).toBe("error");
		expect(decoded([bytesOf(text)]).at(-1)).toBe("error");
	});
});

/** What the yardstick finds, with the pieces of a body joined. */
function parsed(chunks: readonly Uint8Array[]): string[] {
	const found: string[] = [];
	const text = (chunk: Uint8Array, start: number, end: number) => textOf(chunk.subarray(start, end));
	const parser = new CallbackParser({
		message: (encoding, length) => found.push(`message ${encoding} ${length}`, "body "),
		body: (chunk, start, end) => found.push((found.pop() as string) + text(chunk, start, end)),
		sender: (chunk, start, end) => found.push(`sender ${text(chunk, start, end)}`),
		recipient: (chunk, start, end) => found.push(`recipient ${text(chunk, start, end)}`),
		end: () => found.push("end"),
	});
	return untilError(found, () => {
		for (const chunk of chunks) parser.receive(chunk);
	});
}

/** The same of the package decoder. */
function decoded(chunks: readonly Uint8Array[]): string[] {
	const found: string[] = [];
	const decoder = new PackageDecoder({
		addressBytes: Number.POSITIVE_INFINITY,
		recipientBytes: 2_000_000_009,
	});
	return untilError(found, () => {
		for (const chunk of chunks) {
			decoder.receive(chunk);
			for (let event = decoder.next(); event !== null; event = decoder.next()) {
				if (event.type === "message") found.push(`message ${event.encoding} ${event.length}`, "body ");
				else if (event.type === "body") found.push((found.pop() as string) + textOf(event.bytes));
				else if (event.type === "end") found.push("end");
				else found.push(`${event.type} ${textOf(event.address as Uint8Array)}`);
			}
		}
	});
}

function untilError(found: string[], run: () => void): string[] {
	try {
		run();
	} catch {
		found.push("error");
	}
	return found;
}
