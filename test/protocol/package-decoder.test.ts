import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { DEFAULT_PACKAGE_LIMITS, LONGEST_NETSTRING, type PackageLimits } from "../../src/protocol/limits.js";
import { PackageDecoder } from "../../src/protocol/package-decoder.js";
import type { PackageEvent } from "../../src/protocol/package-event.js";
import { bytesOf, copyOf, textOf } from "../support/bytes.js";
import { decodePackages, expectEndsWith, type PlainEvent } from "../support/decoding.js";
import { cut, everySplit } from "../support/every-split.js";
import { type OraclePackage, parsePackages } from "../support/oracle.js";
import { anyBytes, anyPackages, inAnyCuts, packageText } from "../support/packages.js";

describe("whole packages", () => {
	test("the example of the specification, section 8", () => {
		const input = bytesOf(fixture("spec-section8-verbatim"));
		const { items, error, offset, idle } = everySplit(input, (chunks) => decodePackages(chunks));
		expect(error).toBeNull();
		expect(offset).toBe(764);
		expect(idle).toBe(true);
		expect(items).toEqual([
			{ type: "message", encoding: "lf", length: 245 },
			{
				type: "body",
				text: expect.stringMatching(/^Received: \(qmail-queue [\s\S]*\n\nThis is a test\.\n$/),
			},
			{ type: "sender", address: "God-DSN-37@heaven.af.mil" },
			{ type: "recipient", address: "djb@silverton.berkeley.edu" },
			{ type: "end", offset: 313 },
			{ type: "message", encoding: "crlf", length: 355 },
			{
				type: "body",
				text: expect.stringMatching(/^From: MAILER-DAEMON[\s\S]*\r\n\r\n[\s\S]*, right here$/),
			},
			{ type: "sender", address: "" },
			{ type: "recipient", address: "Hate.The Quoting@silverton.berkeley.edu" },
			{ type: "recipient", address: "\\Backslashes!@silverton.berkeley.EDU" },
			{ type: "end", offset: 764 },
		]);
		expect(bodiesOf(items).map((body) => body.length)).toEqual([245, 355]);
		expectEndsWith(input);
	});

	test.each<[string, OraclePackage]>([
		["a plain one", lf("Subject: x\n\nhello\n", "a@b", ["c@d"])],
		["one with a CR LF body, which is not touched", crlf("Subject: x\r\n\r\nhel\rlo\n\r\n", "a@b", ["c@d"])],
		["an LF body with CR and NUL in it", lf("a\rb\r\nc\0d", "a@b", ["c@d"])],
		["an LF message of one byte: no body", lf("", "a@b", ["c@d"])],
		["a CR message of one byte: no body", crlf("", "a@b", ["c@d"])],
		["a body of one byte", lf("\n", "a@b", ["c@d"])],
		["an empty sender", lf("x", "", ["c@d"])],
		["an empty list of recipients", lf("x", "a@b", [])],
		["an empty recipient", lf("x", "a@b", [""])],
		["empty recipients among others", lf("x", "", ["", "a", "", "", "b", ""])],
		["the same recipient three times", lf("x", "a@b", ["c@d", "c@d", "c@d"])],
		["addresses with all sorts of bytes", lf("x", "\0\xff:,0:,", ["\r\n", "a b", "3:abc,", "é@é", "\0"])],
	])("%s", (_, sent) => {
		const input = bytesOf(packageText(sent));
		const { items, error, offset, idle } = everySplit(input, (chunks) => decodePackages(chunks));
		expect(error).toBeNull();
		expect(offset).toBe(input.length);
		expect(idle).toBe(true);
		expect(items).toEqual(eventsOf([sent]));
		expectEndsWith(input);
	});

	test("packages one behind the other, lf and crlf by turns", () => {
		const sent = [lf("a", "b", ["c"]), crlf("d\r\n", "", ["e", "f"]), lf("", "g", []), crlf("", "h", ["i"])];
		const input = bytesOf(sent.map(packageText).join(""));
		const { items, error } = everySplit(input, (chunks) => decodePackages(chunks));
		expect(error).toBeNull();
		expect(items).toEqual(eventsOf(sent));
		expectEndsWith(input);
	});

	test("the message is told at its first byte, before its body is there", () => {
		const decoder = new PackageDecoder();
		decoder.receive(bytesOf("100000:"));
		expect(decoder.next()).toBeNull();
		decoder.receive(bytesOf("\r"));
		expect(decoder.next()).toEqual({ type: "message", encoding: "crlf", length: 99_999 });
		expect(decoder.next()).toBeNull();
	});

	test("step() tells the same as next(), by numbers and fields", () => {
		const decoder = new PackageDecoder({ addressBytes: 3 });
		decoder.receive(bytesOf("3:\nab,3:abc,11:1:x,4:long,,"));
		expect(decoder.step()).toBe(1);
		expect([decoder.encoding, decoder.length]).toEqual(["lf", 2]);
		expect(decoder.step()).toBe(2);
		expect(textOf(decoder.chunk.subarray(decoder.start, decoder.end))).toBe("ab");
		expect(decoder.step()).toBe(3);
		expect(textOf(decoder.chunk.subarray(decoder.start, decoder.end))).toBe("abc");
		expect(decoder.tooLong).toBe(false);
		expect(decoder.step()).toBe(4);
		expect(textOf(decoder.copyAddress() as Uint8Array)).toBe("x");
		expect(decoder.step()).toBe(4);
		expect(decoder.tooLong).toBe(true);
		expect(decoder.copyAddress()).toBeNull();
		expect([decoder.step(), decoder.step()]).toEqual([5, 0]);
	});
});

describe("offset and idle", () => {
	test("the offset behind each event is that of the next byte that means something", () => {
		const decoder = new PackageDecoder();
		decoder.receive(bytesOf("3:\nab,1:s,8:1:x,1:y,,1:\n,"));
		expect(decoder.idle).toBe(true);
		const seen: [string, number, boolean][] = [];
		for (let event = decoder.next(); event !== null; event = decoder.next()) {
			seen.push([event.type, decoder.offset, decoder.idle]);
		}
		expect(seen).toEqual([
			["message", 3, false],
			["body", 5, false],
			["sender", 10, false],
			["recipient", 16, false],
			["recipient", 20, false],
			["end", 21, true],
			["message", 24, false],
		]);
		expect(decoder.offset).toBe(25);
	});

	test("is idle between two packages and nowhere else", () => {
		const input = bytesOf("2:\na,1:s,4:1:x,,2:\ra,0:,0:,");
		for (let length = 0; length <= input.length; length++) {
			const { idle } = decodePackages([copyOf(input.subarray(0, length))]);
			expect(idle, `after ${length} bytes`).toBe([0, 16, 27].includes(length));
		}
	});
});

describe("what breaks the protocol", () => {
	const good = "2:\na,1:s,4:1:r,,"; // 16 bytes

	test.each<[string, string, string, number, Partial<PackageLimits>?]>([
		["ERR_QMTP_MESSAGE_EMPTY", "a message netstring without a byte", "0:,0:,0:,", 1],
		["ERR_QMTP_MESSAGE_EMPTY", "the same, where not even the comma is there", "0:", 1],
		["ERR_QMTP_MESSAGE_ENCODING", "a message that starts with a letter", "5:hello,0:,0:,", 2],
		["ERR_QMTP_MESSAGE_ENCODING", "a message that starts with a space", "2: x,0:,0:,", 2],
		["ERR_QMTP_MESSAGE_ENCODING", "a message that starts with a NUL", "1:\0", 2],
		["ERR_QMTP_RECIPIENT_OVERRUN", "a recipient far longer than the list", "1:\n,0:,5:99:ab,", 11],
		["ERR_QMTP_RECIPIENT_OVERRUN", "a recipient longer than the list by one", "1:\n,0:,4:2:a,,", 10],
		["ERR_QMTP_RECIPIENT_OVERRUN", "a recipient that leaves no room for its comma", "1:\n,0:,3:1:a,", 10],
		["ERR_QMTP_RECIPIENT_OVERRUN", "an empty recipient without room for its comma", "1:\n,0:,2:0:,", 10],
		["ERR_QMTP_RECIPIENT_OVERRUN", "the second recipient overruns", "1:\n,0:,8:1:a,2:b,,", 14],
		["ERR_QMTP_RECIPIENT_OVERRUN", "a length that the end of the list cuts", "1:\n,0:,5:1:a,1,", 14],
		["ERR_QMTP_RECIPIENT_OVERRUN", "a list of one digit", "1:\n,0:,1:0,", 10],
		["ERR_NETSTRING_COMMA", "a recipient without a comma", "1:\n,0:,4:1:a;,", 12],
		["ERR_NETSTRING_COMMA", "a recipient shorter than it should be", "1:\n,0:,5:1:ab,,", 12],
		["ERR_NETSTRING_LENGTH_DIGIT", "garbage behind a recipient", "1:\n,0:,6:1:a,xx,", 13],
		["ERR_NETSTRING_LENGTH_DIGIT", "a comma too many behind a recipient", "1:\n,0:,5:1:a,,,", 13],
		["ERR_NETSTRING_LENGTH_DIGIT", "a length of a recipient that only qmail takes", "1:\n,0:,4:A:a,,", 9],
		["ERR_NETSTRING_LENGTH_DIGIT", "a list that is one address", "1:\n,0:,3:c@d,", 9],
		["ERR_NETSTRING_LENGTH_EMPTY", "a recipient without a length", "1:\n,0:,2::,,", 9],
		["ERR_NETSTRING_LENGTH_ZEROS", "a recipient's length with a zero too many", "1:\n,0:,5:01:a,,", 10],
		[
			"ERR_NETSTRING_TOO_LONG",
			"a recipient's length with forty digits",
			`1:\n,0:,45:${"7".repeat(40)}:a,,,`,
			19,
		],
		["ERR_NETSTRING_COMMA", "a message that ends without a comma", "2:\na;0:,0:,", 4],
		["ERR_NETSTRING_COMMA", "a message longer than its length", "2:\nab,0:,0:,", 4],
		["ERR_NETSTRING_COMMA", "a sender that ends without a comma", "2:\na,1:s;0:,", 8],
		["ERR_NETSTRING_COMMA", "a list that ends without a comma", "2:\na,1:s,4:1:r,;", 15],
		["ERR_NETSTRING_COMMA", "an empty list that ends without a comma", "2:\na,1:s,0:0:,", 11],
		["ERR_NETSTRING_LENGTH_EMPTY", "a message without a length", ":\n,", 0],
		["ERR_NETSTRING_LENGTH_EMPTY", "a sender without a length", "1:\n,:,", 4],
		["ERR_NETSTRING_LENGTH_EMPTY", "a list without a length", "1:\n,0:,:,", 7],
		["ERR_NETSTRING_LENGTH_ZEROS", "a message's length with zeros in front", "007:\nxxxxxx,", 1],
		["ERR_NETSTRING_LENGTH_ZEROS", "a sender's length with zeros in front", "1:\n,00:,", 5],
		["ERR_NETSTRING_LENGTH_ZEROS", "a list's length with zeros in front", "1:\n,0:,00:,", 8],
		["ERR_NETSTRING_LENGTH_DIGIT", "an SMTP client", "EHLO x\r\n", 0],
		["ERR_NETSTRING_LENGTH_DIGIT", "an HTTP client", "GET / HTTP/1.0\r\n\r\n", 0],
		["ERR_NETSTRING_LENGTH_DIGIT", "a message's length with a minus", "-1:\n,", 0],
		["ERR_NETSTRING_LENGTH_DIGIT", "an LF where a package ended", `${good}\n${good}`, 16],
		["ERR_NETSTRING_LENGTH_DIGIT", "a letter behind a good package", `${good}x`, 16],
		["ERR_QMTP_MESSAGE_EMPTY", "the second package has no message", `${good}0:,`, 17],
		["ERR_QMTP_RECIPIENT_OVERRUN", "the second package's list", `${good}1:\n,0:,3:1:a,`, 26],
		["ERR_NETSTRING_TOO_LONG", "a message longer than any server takes", "2000000010:", 9],
		[
			"ERR_NETSTRING_TOO_LONG",
			"the second message is longer than any server takes",
			`${good}2000000010:`,
			25,
		],
		[
			"ERR_NETSTRING_TOO_LONG",
			"a message whose length has a letter where no digit could stand",
			"200000001x",
			9,
		],
		[
			"ERR_NETSTRING_LENGTH_DIGIT",
			"a message whose length has a letter where a digit could stand",
			"200000000x",
			9,
		],
		["ERR_NETSTRING_TOO_LONG", "a message of 2^64 + 7 bytes", "18446744073709551623:", 10],
		["ERR_NETSTRING_TOO_LONG", "a sender longer than any server takes", "1:\n,2000000010:", 13],
		["ERR_NETSTRING_TOO_LONG", "a list over recipientBytes", "1:\n,0:,18:", 8, { recipientBytes: 17 }],
		["ERR_NETSTRING_TOO_LONG", "a list over the default limit", "1:\n,0:,1048577:", 13],
		[
			"ERR_NETSTRING_TOO_LONG",
			"a message that cannot have so few",
			"4000000002:",
			9,
			{ messageBytes: 2_000_000_000 },
		],
		[
			"ERR_NETSTRING_TOO_LONG",
			"a list where recipientBytes is 1",
			"1:\n,0:,0:,1:\n,0:,2",
			17,
			{ recipientBytes: 1 },
		],
		[
			"ERR_NETSTRING_TOO_LONG",
			"a message over netstringBytes that messageBytes would allow",
			"100:",
			2,
			{ messageBytes: Number.POSITIVE_INFINITY, netstringBytes: 99 },
		],
		["ERR_NETSTRING_TOO_LONG", "a sender over netstringBytes", "1:\n,100:", 6, { netstringBytes: 99 }],
		["ERR_NETSTRING_TOO_LONG", "a list over netstringBytes", "1:\n,0:,100:", 9, { netstringBytes: 99 }],
		[
			"ERR_NETSTRING_TOO_LONG",
			"a list of which more than recipientBytes arrive, though it was declared within netstringBytes",
			"1:\n,0:,12:1:a,1:b,1:c,,",
			18,
			{ recipientBytes: 8, netstringBytes: 99 },
		],
	])("%s: %s", (code, _, text, offset, limits) => {
		const { error, idle } = everySplit(bytesOf(text), (chunks) => decodePackages(chunks, limits));
		expect(error).toEqual({ code, offset });
		expect(idle).toBe(false);
	});

	test("the packages in front of an error are told in full", () => {
		const input = bytesOf(`${good}${good}1:x`);
		const { items } = everySplit(input, (chunks) => decodePackages(chunks));
		expect(items).toEqual(eventsOf([lf("a", "s", ["r"]), lf("a", "s", ["r"])]));
	});
});

describe("limits", () => {
	test("the defaults are those of the design", () => {
		expect(DEFAULT_PACKAGE_LIMITS).toEqual({
			messageBytes: 104_857_600,
			addressBytes: 999,
			recipientBytes: 1_048_576,
		});
		expect(LONGEST_NETSTRING).toBe(2_000_000_009);
	});

	test("recipients that arrive within recipientBytes are told although the list was declared longer", () => {
		const limits = { recipientBytes: 8, netstringBytes: 99 };
		const { items } = everySplit(bytesOf("1:\n,0:,12:1:a,1:b,1:c,,"), (chunks) => {
			return decodePackages(chunks, limits);
		});
		expect(items.filter(({ type }) => type === "recipient")).toHaveLength(2);
	});

	test("an address of 999 bytes is taken, and one of 1000 is dropped without harm to its neighbours", () => {
		const [fits, over] = ["a".repeat(999), "b".repeat(1000)];
		const sent = [lf("x", over, ["r", over, fits, over]), lf("y", fits, [fits])];
		const input = bytesOf(sent.map(packageText).join(""));
		const { items, error } = everySplit(input, (chunks) => decodePackages(chunks));
		expect(error).toBeNull();
		expect(items).toEqual(eventsOf([lf("x", null, ["r", null, fits, null]), lf("y", fits, [fits])]));
	});

	test("addresses at a small limit, in every two cuts", () => {
		const sent = [lf("x", "1234", ["12345", "1234", "", "12345", "123"]), lf("y", "12345", ["1234"])];
		const input = bytesOf(sent.map(packageText).join(""));
		const { items, error } = everySplit(input, (chunks) => decodePackages(chunks, { addressBytes: 4 }));
		expect(error).toBeNull();
		expect(items).toEqual(
			eventsOf([lf("x", "1234", [null, "1234", "", null, "123"]), lf("y", null, ["1234"])]),
		);
	});

	test("an addressBytes of 0 lets the empty address pass, and nothing else", () => {
		const input = bytesOf(packageText(lf("x", "", ["", "a", ""])));
		const { items } = everySplit(input, (chunks) => decodePackages(chunks, { addressBytes: 0 }));
		expect(items).toEqual(eventsOf([lf("x", "", ["", null, ""])]));
	});

	test("limits of Infinity are no limits, and cost nothing", () => {
		const limits = { messageBytes: Infinity, addressBytes: Infinity, recipientBytes: Infinity };
		const sent = [lf("x", "s".repeat(2000), ["r".repeat(1500), "r"]), lf("y", "s", [])];
		const input = bytesOf(sent.map(packageText).join(""));
		const { items, error } = everySplit(input, (chunks) => decodePackages(chunks, limits));
		expect(error).toBeNull();
		expect(items).toEqual(eventsOf(sent));
		const huge = everySplit(bytesOf("1:\n,0:,0:,9007199254740992:"), (chunks) =>
			decodePackages(chunks, limits),
		);
		expect(huge.error).toEqual({ code: "ERR_NETSTRING_TOO_LONG", offset: 25 });
	});

	test("a sender as long as any server takes is read and dropped", () => {
		const decoder = new PackageDecoder();
		decoder.receive(bytesOf(`1:\n,${LONGEST_NETSTRING}:`));
		expect(decoder.next()).toMatchObject({ type: "message" });
		expect(decoder.next()).toBeNull();
		const chunk = new Uint8Array(1_000_000);
		for (let left = LONGEST_NETSTRING; left > 0; left -= chunk.length) {
			decoder.receive(left < chunk.length ? chunk.subarray(0, left) : chunk);
			expect(decoder.next()).toBeNull();
		}
		decoder.receive(bytesOf(",0:,"));
		expect(decoder.next()).toEqual({ type: "sender", address: null });
		expect(decoder.next()).toEqual({ type: "end" });
		expect(decoder.offset).toBe(4 + 11 + LONGEST_NETSTRING + 1 + 3);
	});

	test("a message that only decoding could bring under the limit is told, one beyond is not", () => {
		const messageBytes = 2_000_000_000;
		for (const length of [2_000_000_009, 4_000_000_001]) {
			const decoder = new PackageDecoder({ messageBytes });
			decoder.receive(bytesOf(`${length}:\r`));
			expect(decoder.next()).toEqual({ type: "message", encoding: "crlf", length: length - 1 });
		}
	});

	test("a list of exactly recipientBytes passes", () => {
		const text = packageText(lf("x", "", ["abc", "def"]));
		const { error } = everySplit(bytesOf(text), (chunks) => decodePackages(chunks, { recipientBytes: 12 }));
		expect(error).toBeNull();
	});

	test.each(["messageBytes", "addressBytes", "recipientBytes"])("%s must be a number of bytes", (name) => {
		for (const value of [-1, Number.NaN, "many"]) {
			expect(() => new PackageDecoder({ [name]: value })).toThrow(
				expect.objectContaining({ code: "ERR_QMTP_OPTION", message: expect.stringContaining(name) }),
			);
		}
	});
});

describe("skipBody", () => {
	const text = packageText(lf("body", "s", ["r"])) + packageText(lf("body", "s", ["r"]));

	test("called at the message, no body is told, and the next package's is", () => {
		const withoutFirst = eventsOf([lf("", "s", ["r"]), lf("body", "s", ["r"])]).map((event, index) =>
			index === 0 ? { ...event, length: 4 } : event,
		);
		everySplit(bytesOf(text), (chunks) => {
			let messages = 0;
			const types = eventTypes(chunks, (decoder, event) => {
				if (event?.type === "message" && messages++ === 0) decoder.skipBody();
			});
			expect(types).toEqual(withoutFirst.map(({ type }) => type));
		});
	});

	test("called in mid-body, the rest is dropped", () => {
		const decoder = new PackageDecoder();
		const [first, second] = cut(bytesOf(text), [5]) as [Uint8Array, Uint8Array];
		decoder.receive(first);
		expect(decoder.next()).toMatchObject({ type: "message" });
		expect(textOf((decoder.next() as PackageEvent & { bytes: Uint8Array }).bytes)).toBe("bo");
		decoder.skipBody();
		expect(decoder.next()).toBeNull();
		decoder.receive(second);
		expect(decoder.next()).toMatchObject({ type: "sender" });
	});

	test("called anywhere else, it does not touch the next message", () => {
		everySplit(bytesOf(text), (chunks) => {
			const types = eventTypes(chunks, (decoder, event) => {
				if (event === null || event.type === "sender" || event.type === "end") decoder.skipBody();
			});
			// Only where a null came inside of a body may some of it be missing.
			expect(types.filter((type) => type !== "body")).toEqual([
				"message",
				"sender",
				"recipient",
				"end",
				"message",
				"sender",
				"recipient",
				"end",
			]);
			if (chunks.length === 1) expect(types.filter((type) => type === "body")).toHaveLength(2);
		});
		const decoder = new PackageDecoder();
		decoder.receive(bytesOf("5:"));
		expect(decoder.next()).toBeNull();
		decoder.skipBody();
		decoder.receive(bytesOf("\nbody,"));
		expect(decoder.next()).toMatchObject({ type: "message" });
		expect(decoder.next()).toMatchObject({ type: "body" });
	});

	test("what breaks the protocol behind a skipped body is found", () => {
		const decoder = new PackageDecoder();
		decoder.receive(bytesOf("5:\nbody;"));
		decoder.next();
		decoder.skipBody();
		expect(() => decoder.next()).toThrow(expect.objectContaining({ code: "ERR_NETSTRING_COMMA", offset: 7 }));
	});
});

describe("receive and receiveEnd", () => {
	test("receive refuses to drop bytes that were not read, at every event", () => {
		const decoder = new PackageDecoder();
		decoder.receive(bytesOf(packageText(lf("body", "s", ["r", "t"]))));
		const events: string[] = [];
		for (let event = decoder.next(); event?.type !== "end"; event = decoder.next()) {
			events.push(event?.type ?? "null");
			expect(() => decoder.receive(bytesOf("1"))).toThrow(
				expect.objectContaining({ code: "ERR_NETSTRING_UNREAD", name: "UsageError" }),
			);
		}
		expect(events).toEqual(["message", "body", "sender", "recipient", "recipient"]);
		expect(decoder.next()).toBeNull();
		expect(() => decoder.receive(bytesOf("1"))).not.toThrow();
	});

	test("receiveEnd is true between two packages and false inside one", () => {
		const input = bytesOf("2:\na,1:s,4:1:x,,");
		for (let length = 0; length <= input.length; length++) {
			const decoder = new PackageDecoder();
			decoder.receive(copyOf(input.subarray(0, length)));
			while (decoder.next() !== null);
			expect(decoder.receiveEnd(), `after ${length} bytes`).toBe(length === 0 || length === input.length);
			expect(decoder.next()).toBeNull();
		}
	});

	test("nothing can be received behind the end", () => {
		const decoder = new PackageDecoder();
		decoder.receiveEnd();
		expect(() => decoder.receive(bytesOf("1"))).toThrow(UsageError);
		expect(() => decoder.receive(bytesOf("1"))).toThrow(expect.objectContaining({ code: "ERR_QMTP_ENDED" }));
	});

	test("an empty chunk changes nothing", () => {
		const decoder = new PackageDecoder();
		for (const chunk of ["", "2:\na,1:s,4:1:", "", "x", "", ",,", ""]) {
			decoder.receive(bytesOf(chunk));
			while (decoder.next() !== null);
		}
		expect([decoder.idle, decoder.offset]).toEqual([true, 16]);
	});
});

describe("against the oracle", () => {
	test("any packages in any cuts are what was sent", () => {
		fc.assert(
			fc.property(
				inAnyCuts(anyPackages.map((packages) => bytesOf(packages.map(packageText).join("")))),
				({ whole, chunks }) => {
					const { packages, end } = parsePackages(textOf(whole));
					expect(end).toBe("clean");
					const { items, error, idle, offset } = decodePackages(chunks());
					expect(error).toBeNull();
					expect(idle).toBe(true);
					expect(offset).toBe(whole.length);
					expect(items).toEqual(eventsOf(packages));
				},
			),
			{ numRuns: 500 },
		);
	});

	test("any bytes in any cuts: the same packages, then nothing, a package cut short, or an error", () => {
		fc.assert(
			fc.property(inAnyCuts(anyBytes), ({ whole, chunks }) => {
				expectAgreement(textOf(whole), chunks());
			}),
			{ numRuns: 2000 },
		);
	});

	// Those of some kilobytes, cut everywhere, would take most of the time of all these tests.
	test.each(
		fixtures()
			.filter(({ input }) => input.length < 1500)
			.map(({ name, input }) => [name, input] as const),
	)("recorded input: %s", (_, input) => {
		const decoded = everySplit(bytesOf(input), (chunks) => decodePackages(chunks));
		expect(decoded).toEqual(expectAgreement(input, [bytesOf(input)]));
	});
});

function expectAgreement(text: string, chunks: Uint8Array[]) {
	const { packages, end } = parsePackages(text);
	const decoded = decodePackages(chunks);
	const { items, error, idle } = decoded;
	const lastEnd = items.findLastIndex(({ type }) => type === "end");
	expect(items.slice(0, lastEnd + 1)).toEqual(eventsOf(packages));
	// Where the oracle lacks bytes the decoder may have seen an error in those that are there.
	if (error !== null) expect(["cut", "wrong"]).toContain(end);
	else expect(end).toBe(idle ? "clean" : "cut");
	return decoded;
}

function eventsOf(packages: readonly OraclePackage[]): PlainEvent[] {
	return packages.flatMap(({ encoding, body, sender, recipients }): PlainEvent[] => [
		{ type: "message", encoding, length: body.length },
		...(body === "" ? [] : [{ type: "body", text: body } as const]),
		{ type: "sender", address: sender },
		...recipients.map((address) => ({ type: "recipient", address }) as const),
		{ type: "end", offset: expect.any(Number) },
	]);
}

function bodiesOf(events: readonly PlainEvent[]): string[] {
	return events.flatMap((event) => (event.type === "body" ? [event.text] : []));
}

/** The types of the events, adjacent equal ones but recipients once. `see` is called with each event and each null. */
function eventTypes(
	chunks: readonly Uint8Array[],
	see: (decoder: PackageDecoder, event: PackageEvent | null) => void,
): string[] {
	const decoder = new PackageDecoder();
	const types: string[] = [];
	for (const chunk of chunks) {
		decoder.receive(chunk);
		for (let event = decoder.next(); ; event = decoder.next()) {
			see(decoder, event);
			if (event === null) break;
			if (event.type !== "body" || types.at(-1) !== "body") types.push(event.type);
		}
	}
	return types;
}

function lf(body: string, sender: string | null, recipients: readonly (string | null)[]): OraclePackage {
	return { encoding: "lf", body, sender, recipients };
}

function crlf(body: string, sender: string | null, recipients: readonly (string | null)[]): OraclePackage {
	return { encoding: "crlf", body, sender, recipients };
}

function fixtures(): { name: string; input: string }[] {
	return JSON.parse(readFileSync(new URL("../fixtures/qmtpd.json", import.meta.url), "utf8"));
}

function fixture(name: string): string {
	const found = fixtures().find((entry) => entry.name === name);
	if (found === undefined) throw new Error(`no recorded input ${name}`);
	return found.input;
}
