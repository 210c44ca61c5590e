import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeResponses, type QmtpResponse } from "../../src/protocol/response.js";
import { ResponseDecoder } from "../../src/protocol/response-decoder.js";
import { bytesOf, netstring } from "../support/bytes.js";
import { decodeResponses } from "../support/decoding.js";
import { cut, everyPrefix, everySplit } from "../support/every-split.js";

describe("ResponseDecoder", () => {
	test("decodes K, Z and D in every split, in their order", () => {
		const input = bytesOf("3:Kok,29:Dunacceptable sender (#5.1.7),1:Z,1:K,2:K,,");
		const { items, error, offset, idle } = everySplit(input, (chunks) => decodeResponses(chunks));
		expect(error).toBeNull();
		expect(items).toEqual(["Kok 6", "Dunacceptable sender (#5.1.7) 39", "Z 43", "K 47", "K, 52"]);
		expect(offset).toBe(input.length);
		expect(idle).toBe(true);
	});

	test("a response is handed up at its comma and not before", () => {
		const input = bytesOf("3:Kok,12:Zcome back ,,");
		everyPrefix(input, (prefix) => {
			expect(decodeResponses([prefix]).items).toHaveLength(prefix.length < 6 ? 0 : 1);
		});
	});

	test("is idle between two responses and nowhere else", () => {
		everyPrefix(bytesOf("3:Kok,1:Z,9"), (prefix) => {
			expect(decodeResponses([prefix]).idle).toBe([0, 6, 10].includes(prefix.length));
		});
	});

	test("a description is decoded as UTF-8, also where a character is cut", () => {
		const input = bytesOf(netstring(Buffer.from("Dgibt’s nicht 😀").toString("latin1")));
		const { items } = everySplit(input, (chunks) => decodeResponses(chunks));
		expect(items).toEqual([`Dgibt’s nicht 😀 ${input.length}`]);
	});

	test("bytes that are not UTF-8 become U+FFFD", () => {
		const { items } = everySplit(bytesOf("5:Kf\xfcr\xff,"), (chunks) => decodeResponses(chunks));
		expect(items).toEqual(["Kf\ufffdr\ufffd 8"]);
	});

	test("control characters and a U+FEFF in front stay in a description", () => {
		const { items } = everySplit(bytesOf("9:Z\xef\xbb\xbfa\0\n\r\x7f,"), (chunks) => decodeResponses(chunks));
		expect(items).toEqual(["Z\ufeffa\0\n\r\x7f 12"]);
	});

	test.each<[string, string, string, number, number?]>([
		["ERR_QMTP_RESPONSE_EMPTY", "a response without a byte", "0:,", 1],
		["ERR_QMTP_RESPONSE_EMPTY", "one behind a good one", "3:Kok,0:", 7],
		["ERR_QMTP_RESPONSE_STATUS", "a letter that is no status", "3:Xok,", 2],
		["ERR_QMTP_RESPONSE_STATUS", "a small letter", "3:kok,", 2],
		["ERR_QMTP_RESPONSE_STATUS", "the first byte alone tells it", "999:X", 4],
		["ERR_QMTP_RESPONSE_STATUS", "one behind a good one", "3:Kok,3: ok,", 8],
		["ERR_NETSTRING_COMMA", "no comma behind it", "3:Kok\n", 5],
		["ERR_NETSTRING_LENGTH_DIGIT", "an SMTP server", "220 mx ESMTP\r\n", 3],
		["ERR_NETSTRING_LENGTH_EMPTY", "no length", ":K,", 0],
		["ERR_NETSTRING_LENGTH_ZEROS", "zeros in front", "03:Kok,", 1],
		["ERR_NETSTRING_TOO_LONG", "longer than 65536 bytes", "65537:K", 4],
		["ERR_NETSTRING_TOO_LONG", "longer than it is told", "11:K", 1, 10],
	])("%s: %s", (code, _, text, offset, maxLength) => {
		const options = maxLength === undefined ? {} : { maxLength };
		const { error } = everySplit(bytesOf(text), (chunks) => decodeResponses(chunks, options));
		expect(error).toEqual({ code, offset });
	});

	test("a response of 65536 bytes passes", () => {
		const decoder = new ResponseDecoder();
		decoder.receive(bytesOf(netstring(`D${"x".repeat(65_535)}`)));
		expect(decoder.next()?.description).toHaveLength(65_535);
	});

	test("receive refuses to drop bytes that were not read", () => {
		const decoder = new ResponseDecoder();
		decoder.receive(bytesOf("1:K,1:Z,"));
		decoder.next();
		expect(() => decoder.receive(bytesOf("1:D,"))).toThrow(
			expect.objectContaining({ code: "ERR_NETSTRING_UNREAD" }),
		);
		expect(decoder.next()).toEqual({ status: "Z", description: "" });
		expect(decoder.next()).toBeNull();
	});

	test("decodes what encodeResponses encodes, in any cuts", () => {
		const responses = fc.array(
			fc.record<QmtpResponse>({
				status: fc.constantFrom("K", "Z", "D"),
				description: fc.oneof(
					fc.string(),
					fc.string({ unit: fc.constantFrom("a", "é", "’", "😀", "\ufeff") }),
				),
			}),
		);
		fc.assert(
			fc.property(responses, fc.array(fc.nat(500), { maxLength: 8 }), (sent, points) => {
				const encoded = encodeResponses(sent);
				const decoder = new ResponseDecoder();
				const received: QmtpResponse[] = [];
				const within = points.filter((point) => point <= encoded.length);
				for (const chunk of cut(encoded, within)) {
					decoder.receive(chunk);
					for (let next = decoder.next(); next !== null; next = decoder.next()) received.push(next);
				}
				expect(received).toEqual(sent);
			}),
		);
	});
});
