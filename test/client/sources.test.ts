/** Messages whose source fails or does not keep its word: the call rejects, and the server never has a whole package. */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import type { SendOptions } from "../../src/client/client.js";
import { mail, recipients, statuses } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer, ScriptedServer } from "../support/client-server.js";
import { EndlessSource, hangingSource, STREAM_KINDS } from "../support/client-sources.js";
import { Gate } from "../support/server-signal.js";

noUnhandledRejections();

const CHUNK = Buffer.from("first line\n");
const SENT_AS_IT_COMES = { size: 22, encoding: "lf" } as const;

/** The ways that a stream takes to the server. */
const ways: Record<string, { options: Partial<SendOptions>; most: number }> = {
	"sent as it comes": { options: SENT_AS_IT_COMES, most: 100 },
	"looked at for its encoding and sent": { options: { size: 22 }, most: 100 },
	spooled: { options: {}, most: 100 },
	"spooled for single recipients": { options: { ...SENT_AS_IT_COMES, recipients: recipients(2) }, most: 1 },
	"spooled to be converted": { options: { encoding: "crlf" }, most: 100 },
};

describe.each(Object.keys(ways))("a source that is %s", (way) => {
	const { options, most } = ways[way] as (typeof ways)[string];

	async function expectRejection(message: SendOptions["message"], expected: object): Promise<void> {
		const server = await acceptingServer();
		const client = server.client({ maxRecipientsPerPackage: most });
		await expect(client.send(mail({ ...options, message }))).rejects.toMatchObject(expected);
		expect(statuses(await client.send(mail({ message: "next" })))).toBe("K");
		expect(server.bodies).toEqual(["next"]);
	}

	test.each(STREAM_KINDS)("fails: %s", async (kind) => {
		const source = hangingSource(kind, [CHUNK]);
		const failure = new Error("the disk is on fire");
		source.more.fail(failure);
		await expectRejection(source.message, {
			name: "UsageError",
			code: "ERR_QMTP_MESSAGE_SOURCE",
			message: "the message cannot be read: the disk is on fire",
			cause: failure,
		});
	});

	test("fails at once", async () => {
		const message = {
			[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
				throw new Error("not today");
			},
		};
		await expectRejection(message, { code: "ERR_QMTP_MESSAGE_SOURCE" });
	});

	test("fails with what is no Error", async () => {
		const next = () => Promise.reject("just a text");
		const message = { [Symbol.asyncIterator]: () => ({ next }) };
		await expectRejection(message, { message: "the message cannot be read: just a text" });
	});

	test("was destroyed before", async () => {
		const message = Readable.from([CHUNK]);
		message.destroy();
		await expectRejection(message, { code: "ERR_QMTP_MESSAGE_SOURCE" });
	});

	test("is locked by another reader", async () => {
		const message = new ReadableStream<Uint8Array>();
		message.getReader();
		await expectRejection(message, { code: "ERR_QMTP_MESSAGE_SOURCE" });
	});

	test.each(STREAM_KINDS)("yields text: %s", async (kind) => {
		const source = hangingSource(kind, ["text" as unknown as Uint8Array]);
		// A Readable takes text and makes bytes of it.
		const { message } =
			kind === "Readable" ? { message: Readable.from(["text"], { objectMode: true }) } : source;
		await expectRejection(message, {
			code: "ERR_QMTP_MESSAGE",
			message: "a message's stream must yield bytes (Uint8Array)",
		});
		if (kind !== "Readable") await source.released;
	});
});

describe("a source with another size than it said", () => {
	const sizes: Record<string, Partial<SendOptions>> = {
		"sent as it comes": { encoding: "lf" },
		"looked at for its encoding": {},
		"spooled to be converted": { encoding: "crlf" },
		"spooled for single recipients": { encoding: "lf", recipients: recipients(2) },
	};

	test.each(Object.keys(sizes))("too short, %s", async (way) => {
		const server = await acceptingServer();
		const client = server.client({ maxRecipientsPerPackage: 1 });
		const call = client.send(mail({ ...sizes[way], message: Readable.from([CHUNK]), size: 12 }));
		await expect(call).rejects.toMatchObject({
			name: "UsageError",
			code: "ERR_QMTP_MESSAGE_SIZE",
			message: "the message has 11 bytes where 12 were announced",
		});
		expect(statuses(await client.send(mail({ message: "next" })))).toBe("K");
		expect(server.bodies).toEqual(["next"]);
	});

	test.each(Object.keys(sizes))("without an end, %s", async (way) => {
		const server = await acceptingServer();
		const client = server.client({ maxRecipientsPerPackage: 1 });
		const source = new EndlessSource();
		const call = client.send(mail({ ...sizes[way], message: source, size: 12 }));
		await expect(call).rejects.toMatchObject({ code: "ERR_QMTP_MESSAGE_SIZE" });
		await source.changes.until(() => source.released);
		expect(source.given).toBeLessThanOrEqual(4);
		expect(statuses(await client.send(mail({ message: "next" })))).toBe("K");
		expect(server.bodies).toEqual(["next"]);
	});

	test.each(STREAM_KINDS)("too long: the %s is let go of", async (kind) => {
		const server = await acceptingServer();
		const source = hangingSource(kind, [CHUNK, CHUNK, CHUNK]);
		if (kind === "generator") source.more.open([]);
		const call = server.client().send(mail({ message: source.message, size: 15 }));
		await expect(call).rejects.toMatchObject({ code: "ERR_QMTP_MESSAGE_SIZE" });
		await source.released;
	});
});

test("a Readable that fails before its turn does not end the process, and the call says why", async () => {
	const server = await acceptingServer();
	const message = createReadStream("/nowhere/at/all");
	const failed = new Promise((resolve) => message.once("error", resolve));
	const gate = new Gate();
	async function* slow() {
		await gate.promise;
		yield Buffer.from("slow");
	}
	const client = server.client();
	const first = client.send(mail({ message: slow(), size: 4, encoding: "lf" }));
	const second = client.send(mail({ message, size: 4, encoding: "lf" }));
	await failed;
	gate.open();
	expect(statuses(await first)).toBe("K");
	await expect(second).rejects.toMatchObject({
		code: "ERR_QMTP_MESSAGE_SOURCE",
		cause: expect.objectContaining({ code: "ENOENT" }),
	});
});

test("a source that fails while the connection fails: the call rejects, and nothing is sent again", async () => {
	const source = hangingSource("generator", [CHUNK]);
	const server = await ScriptedServer.start(async (connection) => {
		if (connection.number > 0) return connection.answerAll();
		await connection.receivedBytes(5);
		connection.socket.end();
		source.more.fail(new Error("too"));
	});
	const client = server.client();
	const call = client.send(mail({ message: source.message, ...SENT_AS_IT_COMES }));
	const outcome = await call.then(statuses, ({ code }) => code);
	expect(["Z", "ERR_QMTP_MESSAGE_SOURCE"]).toContain(outcome);
	expect(statuses(await client.send(mail({ message: "next" })))).toBe("K");
	expect(server.bodies).toEqual(["next"]);
});

describe("a call that is refused lets go of its stream", () => {
	const refused: Record<string, Partial<SendOptions>> = {
		"for its recipients": { recipients: [] },
		"for an address": { sender: "\ud800" },
		"for its size": { size: -1 },
		"for its encoding": { encoding: "utf-8" as "lf" },
	};
	test.each(Object.keys(refused))("%s", async (why) => {
		const server = await acceptingServer();
		const source = hangingSource("ReadableStream", []);
		const call = server.client().send(mail({ message: source.message, ...refused[why] }));
		await expect(call).rejects.toMatchObject({ name: "UsageError" });
		await source.released;
	});

	test("since the client is closed", async () => {
		const server = await acceptingServer();
		const client = server.client();
		await client.close();
		const source = hangingSource("Readable", []);
		await expect(client.send(mail({ message: source.message }))).rejects.toMatchObject({
			code: "ERR_QMTP_CLIENT_CLOSED",
		});
		await source.released;
	});

	test("since there is no server", async () => {
		const server = await acceptingServer();
		server.stopListening();
		const source = hangingSource("ReadableStream", [CHUNK]);
		await expect(server.client().send(mail({ message: source.message, size: 99 }))).rejects.toMatchObject({
			code: "ERR_QMTP_CONNECT",
		});
		await source.released;
	});
});
