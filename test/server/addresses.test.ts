/** Addresses: bytes on the wire, strings in hooks, queues and events. */
import { describe, expect, test } from "vitest";
import { textOf } from "../support/bytes.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";

const BAD_RECIPIENT = "Dsorry, I can't handle that recipient (#5.1.3)";
const BAD_SENDER = "Dunacceptable sender (#5.1.7)";
const ALL_BYTES = String.fromCharCode(...Array.from({ length: 255 }, (_, index) => index + 1));

/** The wire's bytes for a text in UTF-8. */
const utf8 = (text: string) => textOf(Buffer.from(text));

/** Each way in which an address may not be UTF-8. */
const notUtf8: [string, string][] = [
	["a byte that starts nothing", "a\x80b"],
	["Latin-1", "andr\xe9@example.com"],
	["a sequence that is cut short", "a\xe2\x82"],
	["an overlong sequence", "\xc0\xaf"],
	["a surrogate", "\xed\xa0\x80"],
	["a number above the last", "\xf5\x80\x80\x80"],
];

describe("in UTF-8, the default", () => {
	test.each([
		"josé@example.com",
		"用户@例子.广告",
		"😀",
		"\ufeffbom@example.com",
		"e\u0301",
		"",
		"a b\n\x7f\x01",
	])("%j arrives as it is", async (address) => {
		const asked: string[] = [];
		const note = (address: string) => void asked.push(address);
		const bench = new Bench({ hooks: { sender: note, recipient: note } });
		const text = mail({ sender: utf8(address), recipients: [utf8(address)] });
		expect(await bench.exchange(text)).toEqual(["Kok"]);
		expect(bench.queue.commits[0]?.envelope).toEqual({ sender: address, recipients: [address] });
		expect(asked).toEqual([address, address]);
		expect(bench.reports[0]).toMatchObject({ sender: address, recipients: [address] });
		expect(bench.queue.commits[0]?.info.addressEncoding).toBe("utf-8");
	});

	test.each(notUtf8)("a recipient with %s is refused, and no other", async (_, address) => {
		const bench = new Bench();
		const responses = await bench.exchange(mail({ recipients: ["a", address, utf8("é"), address] }));
		expect(responses).toEqual(["Kok", BAD_RECIPIENT, "Kok", BAD_RECIPIENT]);
		expect(bench.queue.commits[0]?.envelope?.recipients).toEqual(["a", "é"]);
		expect(bench.reports[0]?.recipients).toEqual(["a", null, "é", null]);
	});

	test.each(notUtf8)("a sender with %s refuses the package for all", async (_, sender) => {
		const bench = new Bench();
		expect(await bench.exchange(mail({ sender, recipients: ["a", "b"] }))).toEqual([BAD_SENDER, BAD_SENDER]);
		expect(bench.queue.commits).toEqual([]);
	});

	test("an address that chunks cut is the same", async () => {
		const bench = new Bench();
		const client = bench.talk();
		for (const byte of mail({ sender: utf8("ünïcode"), recipients: [utf8("😀"), "a\xff"] }))
			client.send(byte);
		expect(await client.receives(2)).toEqual(["Kok", BAD_RECIPIENT]);
		expect(bench.queue.commits[0]?.envelope).toEqual({ sender: "ünïcode", recipients: ["😀"] });
	});

	test("the limit counts bytes", async () => {
		const bench = new Bench({ limits: { addressBytes: 4 } });
		const recipients = ["éé", "ééa", "😀", "😀a"].map(utf8);
		expect(await bench.exchange(mail({ sender: utf8("éé"), recipients }))).toEqual([
			"Kok",
			BAD_RECIPIENT,
			"Kok",
			BAD_RECIPIENT,
		]);
	});
});

describe("in Latin-1", () => {
	test("nothing is lost", async () => {
		const bench = new Bench({ addressEncoding: "latin1" });
		const recipients = [ALL_BYTES, ...notUtf8.map(([, address]) => address), utf8("é"), utf8("\ufeff")];
		const responses = await bench.exchange(mail({ sender: ALL_BYTES, recipients }));
		expect(new Set(responses)).toEqual(new Set(["Kok"]));
		expect(bench.queue.commits[0]?.envelope).toEqual({ sender: ALL_BYTES, recipients });
		expect(bench.queue.commits[0]?.info.addressEncoding).toBe("latin1");
	});
});

describe.each(["utf-8", "latin1"] as const)("an address with a NUL, in %s", (addressEncoding) => {
	test.each(["\0", "a\0", "\0a", "a\0b@example.com"])("is refused: %j", async (address) => {
		const bench = new Bench({ addressEncoding });
		expect(await bench.exchange(mail({ recipients: [address, "a"] }))).toEqual([BAD_RECIPIENT, "Kok"]);
		expect(await bench.exchange(mail({ sender: address, recipients: ["a"] }))).toEqual([BAD_SENDER]);
	});
});

test("equal addresses stay as often as they come, each with a response", async () => {
	const bench = new Bench();
	expect(await bench.exchange(mail({ recipients: ["a", "a", "A", "a"] }))).toEqual(Array(4).fill("Kok"));
	expect(bench.queue.commits[0]?.envelope?.recipients).toEqual(["a", "a", "A", "a"]);
});
