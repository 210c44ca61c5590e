/** What reads the bytes of a message while they pass by: line ends, and the counting of Received fields. */
import fc from "fast-check";
import { ReceivedCounter } from "../../../src/body/received-counter.js";
import { LineDecoder } from "../../../src/protocol/line-decoder.js";
import { concat, copyOf, textOf } from "../../support/bytes.js";
import { anyText } from "../../support/packages.js";
import { mutated } from "../mutations.js";
import { anyCuts } from "../streams.js";
import { chunksOf, type Stream, same, surface } from "../surface.js";

const lines = fc.array(fc.oneof(fc.constantFrom("\r", "\n", "\r\n", "a"), anyText(6)), { maxLength: 30 });
const fields = fc.array(
	fc.oneof(
		fc.constantFrom("Received:", "rECEIVED: x", "Receive", "d:", " ", "\t", "\n", "\r\n", "\r", "\n\n"),
		anyText(6),
	),
	{ maxLength: 30 },
);

function streams(parts: fc.Arbitrary<string[]>): fc.Arbitrary<Stream> {
	return fc.record({ text: mutated(parts.map((all) => all.join(""))), cuts: anyCuts });
}

/** What comes out is what a replace over the whole makes; what came out before does not change later. */
export const lineDecoder = surface("lines", 500, streams(lines), (stream) => {
	const decoder = new LineDecoder();
	const pieces: Uint8Array[] = [];
	for (const chunk of chunksOf(stream)) {
		const decoded = decoder.decode(chunk);
		if (decoded.buffer === chunk.buffer) {
			pieces.push(copyOf(decoded)); // a view: the chunk is the caller's
		} else {
			pieces.push(decoded);
		}
		chunk.fill(0xff);
	}
	pieces.push(decoder.end());
	same(textOf(concat(pieces)), stream.text.replaceAll("\r\n", "\n"));
});

/** The fields are those that a regular expression finds in the header. */
export const received = surface("received", 500, streams(fields), (stream) => {
	const counter = new ReceivedCounter();
	for (const chunk of chunksOf(stream)) {
		counter.write(chunk);
		chunk.fill(0xff);
	}
	const end = /(?:^|\n)\r?\n/.exec(stream.text);
	const header = stream.text.slice(0, end?.index).split("\n");
	const count = header.filter((line) => /^received:/i.test(line)).length;
	same({ count: counter.count, ended: counter.ended }, { count, ended: end !== null });
});
