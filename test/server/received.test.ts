/** The Received field on top of each message, byte for byte. */
import { hostname } from "node:os";
import { describe, expect, test, vi } from "vitest";
import type { Peer } from "../../src/protocol/peer.js";
import { Bench, PEER } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";

const SECOND = Date.UTC(2026, 2, 5, 7, 8, 9);

/** The text that the queue gets for a message of this peer. */
async function received(peer: Partial<Peer>, options = {}, text = mail(), time = SECOND): Promise<string> {
	const bench = new Bench({ received: true, hostname: "mail.example.com", ...options });
	vi.useFakeTimers({ toFake: ["Date"], now: time + 999 });
	try {
		await bench.exchange(text, { ...PEER, ...peer });
	} finally {
		vi.useRealTimers();
	}
	return bench.queue.commits[0]?.text ?? "";
}

test("it names both ends and the second, on two lines, and the body follows", async () => {
	expect(await received({})).toBe(
		"Received: from unknown (192.0.2.7)\n  by mail.example.com with QMTP; 5 Mar 2026 07:08:09 -0000\nhello\n",
	);
});

test.each<[string, Partial<Peer>, string]>([
	["a host", { remoteHost: "client.example.org" }, "client.example.org (192.0.2.7)"],
	["a user", { remoteInfo: "joe" }, "unknown (joe@192.0.2.7)"],
	["both", { remoteHost: "h", remoteInfo: "joe" }, "h (joe@192.0.2.7)"],
	["an empty user and host", { remoteHost: "", remoteInfo: "" }, " (@192.0.2.7)"],
	["an IPv6 address", { remoteAddress: "2001:db8::1" }, "unknown (2001:db8::1)"],
	["no address, as on a Unix socket", { remoteAddress: "" }, "unknown (unknown)"],
])("a peer with %s", async (_, peer, from) => {
	expect(await received(peer)).toMatch(`Received: from ${from}\n  by mail`);
});

test("bytes that have no business there become question marks", async () => {
	const remoteHost = "Az09.@%+/=:-[]";
	expect(await received({ remoteHost })).toContain(`from ${remoteHost} (`);
	const text = await received(
		{ remoteHost: 'a_b c\n"(d)é', remoteInfo: "x\r\n\tBcc: y" },
		{ hostname: "ho_st" },
	);
	expect(text).toContain("Received: from a?b?c???d??? (x???Bcc:?y@192.0.2.7)\n  by ho?st with QMTP; ");
});

test.each([
	[Date.UTC(2026, 0, 1, 0, 0, 0), "1 Jan 2026 00:00:00 -0000"],
	[Date.UTC(2024, 1, 29, 23, 59, 59), "29 Feb 2024 23:59:59 -0000"],
	[Date.UTC(1999, 11, 31, 12, 0, 1), "31 Dec 1999 12:00:01 -0000"],
	[Date.UTC(2026, 8, 10, 1, 2, 3), "10 Sep 2026 01:02:03 -0000"],
])("the date of %d is UTC with a day that is not padded: %s", async (time, date) => {
	expect(await received({}, {}, mail(), time)).toContain(` with QMTP; ${date}\n`);
});

test("each message has the time of its own", async () => {
	const bench = new Bench({ received: true });
	const client = bench.talk();
	try {
		for (const second of [1, 2, 2, 3]) {
			vi.useFakeTimers({ toFake: ["Date"], now: SECOND + second * 1000 });
			client.send(mail());
			await client.receives(bench.queue.commits.length + 1);
		}
	} finally {
		vi.useRealTimers();
	}
	const seconds = bench.queue.commits.map(({ text }) => /07:08:(\d\d) /.exec(text)?.[1]);
	expect(seconds).toEqual(["10", "11", "11", "12"]);
});

test("by default the host's own name stands there", async () => {
	const text = await received({}, { hostname: undefined });
	expect(text).toContain(`  by ${hostname().replace(/[^A-Za-z0-9.@%+/=:\-[\]]/g, "?")} with QMTP; `);
});

describe("its line ends", () => {
	const crlf = mail({ message: "\rbody\r\n" });

	test("are LF for a queue that takes LF, whatever was sent", async () => {
		expect(await received({}, {}, crlf)).toMatch(/^Received: [^\r]*\n {2}by [^\r]*\nbody\n$/);
	});

	test("are those of the message for a queue that takes lines as sent", async () => {
		const queue = { lines: "as-sent" };
		expect(await received({}, { queue }, crlf)).toMatch(
			/^Received: [^\r\n]*\r\n {2}by [^\r\n]*\r\nbody\r\n$/,
		);
		expect(await received({}, { queue })).toMatch(/^Received: [^\r]*\n {2}by [^\r]*\nhello\n$/);
	});
});

test("it is left out with received: false, and does not change the length that is told", async () => {
	expect(await received({}, { received: false })).toBe("hello\n");
	const bench = new Bench({ received: true });
	await bench.exchange(mail());
	expect(bench.queue.deliveries[0]?.info).toMatchObject({ length: 6, exact: true });
	expect(bench.reports[0]?.bodyBytes).toBe(6);
});

test("an empty message is the field alone", async () => {
	expect(await received({}, {}, mail({ message: "\r" }))).toMatch(/^Received: .*\n {2}by .* -0000\n$/);
});
