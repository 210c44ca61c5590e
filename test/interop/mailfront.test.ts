/**
 * The client against mailfront, a server that answers once a package, however many recipients it has, refuses CRLF
 * with a temporary code, and ends the connection on what it does not like.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import type { ClientOptions } from "../../src/client/options.js";
import { mail, recipients, statuses } from "../support/client-mail.js";
import { MAILFRONT_PROGRAMS, type Mailfront, startMailfront } from "../support/client-mailfront.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { describeWithPrograms } from "../support/peers.js";

noUnhandledRejections();

describeWithPrograms("mailfront", MAILFRONT_PROGRAMS, suite);

function suite(): void {
	let mailfront: Mailfront;

	beforeAll(async () => {
		mailfront = await startMailfront();
	});
	afterAll(() => mailfront.stop());

	function client(options: ClientOptions = {}): QmtpClient {
		const made = new QmtpClient({ port: mailfront.port, ...options });
		onTestFinished(() => made.close());
		return made;
	}

	/** The size that it reports is that of the body and of the field that it adds. */
	async function received(message: string | Uint8Array): Promise<number> {
		const { responses } = await client().send(mail({ message }));
		return Number(/^Received (\d+) bytes\.$/.exec(responses[0]?.description ?? "")?.[1]);
	}

	test("accepts a message for one recipient", async () => {
		const result = await client().send(mail());
		expect(result.responses).toEqual([
			{
				recipient: "rcpt@example.com",
				status: "K",
				description: expect.stringMatching(/^Received \d+ bytes\.$/),
			},
		]);
	});

	test("gets as many bytes as were sent: 8-bit, with NUL, empty, and 3 MB", async () => {
		const field = await received("");
		expect(await received("hello\n")).toBe(field + 6);
		expect(await received("no line end")).toBe(field + 11);
		expect(await received(randomBytes(3_000_000))).toBe(field + 3_000_000);
	});

	test("gets CRLF input as LF, which is all that it takes", async () => {
		const sizes = [await received("a\r\nb\r\n"), await received("a\nb\n")];
		expect(sizes[0]).toBe(sizes[1]);
	});

	test("defers CRLF input that is sent as it is, and closes: a later call has a connection of its own", async () => {
		const one = client();
		const result = await one.send(mail({ message: "a\r\nb\r\n", transmit: "as-is" }));
		expect(result.responses[0]).toMatchObject({
			status: "Z",
			description: "Cannot handle non-LF line terminator",
		});
		// What is written before the client sees the end is lost, and known to be possibly lost.
		const next = await one.send(mail());
		expect(statuses(next) === "K" || next.responses[0]?.possiblyAccepted).toBe(true);
		expect(statuses(await one.send(mail()))).toBe("K");
	});

	test("takes a hundred messages one behind the other, each answer for its own", async () => {
		const one = client();
		const field = await received("");
		const results = await Promise.all(
			Array.from({ length: 100 }, (_, length) => one.send(mail({ message: "x".repeat(length) }))),
		);
		expect(results.map(({ responses }) => responses[0]?.description)).toEqual(
			results.map((_, length) => `Received ${field + length} bytes.`),
		);
	});

	test("takes one recipient a package from a client that was told to", async () => {
		const one = client({ maxRecipientsPerPackage: 1 });
		const result = await one.send(mail({ recipients: recipients(50) }));
		expect(statuses(result)).toBe("K".repeat(50));
	});

	test("is found out by the first package with several recipients, and works from then on", async () => {
		const one = client({ timeouts: { response: 500 } });
		const [first, second, third] = await Promise.all([
			one.send(mail({ recipients: recipients(3) })),
			one.send(mail({ recipients: recipients(4) })),
			one.send(mail()),
		]);
		expect(statuses(first)).toBe("ZZZ");
		expect(first.responses.every(({ error, possiblyAccepted }) => possiblyAccepted && error)).toBe(true);
		expect(first.responses[0]?.error?.code).toBe("ERR_QMTP_RESPONSE_COUNT");
		expect(statuses(second)).toBe("KKKK");
		expect(statuses(third)).toBe("K");
		expect(statuses(await one.send(mail({ recipients: recipients(5) })))).toBe("KKKKK");
	});

	test("answers what it has when a call is given up in the middle of its package", async () => {
		const one = client();
		const controller = new AbortController();
		async function* endless() {
			for (;;) {
				yield Buffer.from("line\n");
				controller.abort(new Error("given up"));
				await new Promise((resolve) => setImmediate(resolve));
			}
		}
		const first = one.send(mail());
		const given = one.send(mail({ message: endless(), size: 1e6, encoding: "lf" }), controller);
		await expect(given).rejects.toThrow("given up");
		expect(statuses(await first)).toBe("K");
		expect(statuses(await one.send(mail()))).toBe("K");
	});

	test("says that a message is too large, and the connection goes on", async () => {
		const small = await startMailfront({ DATABYTES: "1000" });
		onTestFinished(() => small.stop());
		const one = client({ port: small.port });
		const results = await Promise.all([
			one.send(mail({ message: Buffer.alloc(100_000, "line\n") })),
			one.send(mail()),
		]);
		expect(results.map(statuses)).toEqual(["D", "K"]);
		expect(results[0]?.responses[0]?.description).toMatch(/^5\.2\.3 /);
	});

	test("that is not set up says so before it reads: never a K, and no hang", async () => {
		const broken = await startMailfront({ QMAILHOME: "/nowhere/at/all" });
		onTestFinished(() => broken.stop());
		const one = client({ port: broken.port });
		for (let call = 0; call < 5; call++) {
			const { responses } = await one.send(mail());
			expect(responses[0]?.status).toBe("Z");
		}
	});
}
