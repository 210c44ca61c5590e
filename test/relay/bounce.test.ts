import { expect, test } from "vitest";
import { deferred, rejected, type Verdict } from "../../src/protocol/response.js";
import { readOriginal, statusOf } from "../../src/relay/bounce.js";
import { makeRelay, readBounce, START, startHop, startRelay } from "../support/relay-mail.js";

/** Refuses the recipients that the table names. */
function refusing(table: Readonly<Record<string, string>>) {
	const recipient = (address: string): Verdict =>
		Object.hasOwn(table, address) ? rejected(table[address] as string) : undefined;
	return { hooks: { recipient } };
}

test("a bounce tells who was given up and why, for people and for programs, with the message", async () => {
	const hop = await startHop(
		refusing({
			"gone@example.com": "no mailbox here by that name (#5.1.1)",
			"full@example.com": "go away",
		}),
	);
	const test = await startRelay({ to: hop.url });
	const body = "From: A <sender@example.org>\nSubject: the question\n\nwhat now?\n";
	await test.put({ recipients: ["gone@example.com", "good@example.com", "full@example.com"], body });
	await hop.until(2);
	expect(hop.queue.messages[0]?.recipients).toEqual(["good@example.com"]);
	const { sender, recipients, body: bytes } = hop.queue.messages[1] ?? { body: new Uint8Array() };
	expect([sender, recipients]).toEqual(["", ["sender@example.org"]]);
	expect(Buffer.from(bytes).includes("\r")).toBe(false);
	const bounce = await readBounce(bytes);
	expect(bounce.mail.headers.get("content-type")).toMatchObject({
		value: "multipart/report",
		params: { "report-type": "delivery-status" },
	});
	expect(bounce.mail.headers.get("auto-submitted")).toBe("auto-replied");
	expect(bounce.mail.from?.value).toEqual([
		{ name: "Mail Delivery System", address: "MAILER-DAEMON@relay.example.org" },
	]);
	expect(bounce.mail.to).toMatchObject({ value: [{ address: "sender@example.org" }] });
	expect(bounce.mail.date).toEqual(new Date(START));
	expect(bounce.mail.text).toContain("<gone@example.com>:\nno mailbox here by that name (#5.1.1)");
	expect(bounce.mail.text).not.toContain("good@example.com");
	const date = "Sun, 01 Mar 2026 00:00:00 +0000";
	expect(Object.fromEntries(bounce.message)).toEqual({
		"reporting-mta": "dns; relay.example.org",
		"arrival-date": date,
	});
	expect(bounce.recipients.map((fields) => Object.fromEntries(fields))).toEqual([
		{
			"final-recipient": "rfc822; gone@example.com",
			action: "failed",
			status: "5.1.1",
			"diagnostic-code": "x-qmtp; no mailbox here by that name (#5.1.1)",
			"last-attempt-date": date,
		},
		{
			"final-recipient": "rfc822; full@example.com",
			action: "failed",
			status: "5.0.0",
			"diagnostic-code": "x-qmtp; go away",
			"last-attempt-date": date,
		},
	]);
	expect(bounce.original).toEqual({ type: "message/rfc822", text: body });
});

test("of a large message only the header comes back, and of a large header its first 64 KiB", async () => {
	const hop = await startHop(refusing({ "gone@example.com": "no (#5.1.1)" }));
	const test = await startRelay({ to: hop.url });
	const header = "Subject: large\nX-More: yes\n";
	await test.put({
		recipients: ["gone@example.com"],
		body: `${header}\n${"x".repeat(99)}\n`.padEnd(300_000, "y"),
	});
	await test.put({ recipients: ["gone@example.com"], body: `${"X-Field: z\n".repeat(10_000)}\nbody\n` });
	await hop.until(2);
	const bounces = await Promise.all(hop.queue.messages.map(({ body }) => readBounce(body)));
	const texts = bounces.map(({ original }) => original?.text ?? "").sort((a, b) => a.length - b.length);
	expect(bounces.map(({ original }) => original?.type)).toEqual([
		"text/rfc822-headers",
		"text/rfc822-headers",
	]);
	expect(texts[0]?.trim()).toBe(header.trim());
	expect(texts[1]?.replaceAll("X-Field: z\n", "")).toBe("");
	expect(texts[1]?.length).toBeGreaterThan(65_000);
	expect(texts[1]?.length).toBeLessThanOrEqual(65_536);
});

test("what is no lines of mail is not put into a part as it is", async () => {
	async function* of(text: string) {
		yield Buffer.from(text, "latin1");
	}
	const original = async (text: string) => {
		const { whole, bytes } = await readOriginal(of(text), text.length);
		return [whole, bytes.toString("latin1")];
	};
	expect(await original("A: b\n\nbody")).toEqual([true, "A: b\n\nbody"]);
	expect(await original("A: b\n\nbo\0dy\n")).toEqual([false, "A: b\n"]);
	expect(await original("A: b\n\nbo\rdy\n")).toEqual([false, "A: b\n"]);
	expect(await original(`A: b\n\n${"x".repeat(2000)}\n`)).toEqual([false, "A: b\n"]);
	expect(await original("\nno header\0\n")).toEqual([false, ""]);
	expect(await original("")).toEqual([true, ""]);
});

test("the status is the code in what was said", () => {
	const status = (description: string, tooOld = false) => statusOf({ description, tooOld });
	expect(status("no such user (#5.1.1)")).toBe("5.1.1");
	expect(status("550 5.7.1 spam")).toBe("5.7.1");
	expect(status("no connection (#4.4.1)", true)).toBe("4.4.1");
	expect(status("version 5.1.1 of something")).toBe("5.0.0");
	expect(status("later", true)).toBe("4.4.7");
});

test("addresses and texts of strangers break no field", async () => {
	const recipients = [
		"jörg+x@bücher.example",
		"a\nAction: delivered@example.com",
		`${"l".repeat(700)}@example.com`,
	];
	const hop = await startHop({
		hooks: {
			recipient: (address) =>
				address === "sender@example.org"
					? undefined
					: rejected(`ünknown\n\nStatus: 2.0.0 ${"word ".repeat(300)}`),
		},
	});
	const test = await startRelay({ to: hop.url });
	await test.put({ recipients });
	await hop.until(1);
	const bytes = Buffer.from(hop.queue.messages[0]?.body ?? []);
	for (const line of bytes.toString("latin1").split("\n")) expect(line.length).toBeLessThan(999);
	const bounce = await readBounce(bytes);
	expect(bounce.recipients.map((fields) => fields.get("final-recipient"))).toEqual([
		"utf-8; j\\x{F6}rg\\x{2B}x@b\\x{FC}cher.example",
		"utf-8; a\\x{A}Action:\\x{20}delivered@example.com",
		`rfc822; ${recipients[2]}`,
	]);
	expect(bounce.recipients.map((fields) => fields.get("status"))).toEqual(["5.0.0", "5.0.0", "5.0.0"]);
	expect(bounce.recipients[0]?.get("diagnostic-code")).toMatch(
		/^x-qmtp; \?nknown {2}Status: 2.0.0 word word/,
	);
	expect(bounce.mail.text).toContain("<jörg+x@bücher.example>:");
});

test("a bounce that bounces goes to the postmaster, and one to the postmaster is dropped", async () => {
	const table: Record<string, string> = {
		"gone@example.com": "no (#5.1.1)",
		"sender@example.org": "no sender (#5.1.2)",
	};
	const hop = await startHop(refusing(table));
	const test = await startRelay({ to: hop.url, postmaster: "root@example.net" });
	await test.put({ recipients: ["gone@example.com"], body: "Subject: x\n\nhello\n" });
	await hop.until(1);
	expect(hop.queue.messages).toMatchObject([{ sender: "", recipients: ["root@example.net"] }]);
	const double = await readBounce(hop.queue.messages[0]?.body ?? new Uint8Array());
	expect(double.recipients.map((fields) => fields.get("final-recipient"))).toEqual([
		"rfc822; sender@example.org",
	]);
	expect(double.mail.text).toContain("A bounce could not be delivered");
	expect(double.original?.text).toContain("Final-Recipient: rfc822; gone@example.com");
	expect(test.all("bounced").map(({ to }) => to)).toEqual(["sender@example.org", "root@example.net"]);

	table["root@example.net"] = "not even here (#5.1.1)";
	await test.put({ recipients: ["gone@example.com"] });
	await test.put({ sender: "#@[]", recipients: ["gone@example.com"] }); // qmail's double bounce
	await test.until("dropped", 2);
	expect(
		test
			.all("dropped")
			.map(({ reason }) => reason)
			.sort(),
	).toEqual(["it is a double bounce", "the postmaster cannot be told"]);
	expect(hop.queue.messages).toHaveLength(1);
	expect((await test.spool.stats()).messages).toBe(0);
	expect(test.all("fault")).toEqual([]);
});

test("a message that goes in circles bounces, and nobody is asked to take it", async () => {
	const asked: string[] = [];
	const hop = await startHop({ hooks: { recipient: (address) => void asked.push(address) } });
	const test = await startRelay({ to: hop.url });
	await test.put({ body: `${"Received: from here\n".repeat(101)}\nbody\n` });
	await hop.until(1);
	expect(asked).toEqual(["sender@example.org"]);
	const bounce = await readBounce(hop.queue.messages[0]?.body ?? new Uint8Array());
	expect(bounce.recipients[0]?.get("status")).toBe("5.4.6");
	await test.put({ body: `${"Received: from here\n".repeat(100)}\nbody\n` });
	await hop.until(2);
	expect(asked).toEqual(["sender@example.org", "one@example.com"]);
});

test("a bounce that cannot be stored leaves the recipient where it is", async () => {
	const hop = await startHop(refusing({ "gone@example.com": "no (#5.1.1)" }));
	let full = true;
	const test = await makeRelay({
		to: hop.url,
		bounces: {
			open: (info) => {
				const delivery = Promise.resolve(test.spool.open(info));
				return delivery.then((one) => ({
					write: (bytes) => one.write(bytes),
					abort: (reason) => one.abort(reason),
					commit: async (envelope) => {
						if (!full) return await one.commit(envelope);
						await one.abort(new Error("full"));
						return [deferred("full (#4.3.1)")];
					},
				}));
			},
		},
	});
	await test.relay.start();
	await test.put({ recipients: ["gone@example.com"] });
	await test.until("deferred", 1);
	expect(test.all("fault").map(({ message }) => message)).toEqual(["full (#4.3.1)"]);
	expect(test.all("deferred")[0]?.recipients[0]?.description).toBe("the bounce could not be stored (#4.3.0)");
	expect((await test.spool.stats()).messages).toBe(1);
	full = false;
	test.clock.moveTo(START + 400_000);
	await hop.until(1);
	await test.until("delivered", 1);
	expect((await test.spool.stats()).messages).toBe(0);
});
