/** The body arrives: as SMTP lines, whole, and with no end of data inside it. */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { type Body, bytesBody, streamBody } from "../../src/body/body.js";
import { fileBody, openBody } from "../../src/body/file.js";
import type { SmtpClient } from "../../src/smtp/client.js";
import { WireLines } from "../../src/smtp/wire-lines.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { withDirectory } from "../support/program.js";
import { onceBody, SmtpTestServer, smtpMail, summaries } from "../support/smtp-peer.js";

noUnhandledRejections();

/** What a body has to arrive as. */
function onTheWire(body: string): string {
	const lines = body.replace(/\r\n/g, "\n").replace(/\r/g, " ").replace(/\n/g, "\r\n");
	return lines.endsWith("\r\n") ? lines : `${lines}\r\n`;
}

/** Sends a body and tells what arrived. */
async function arrived(client: SmtpClient, server: SmtpTestServer, body: Body | string): Promise<string> {
	const before = server.messages.length;
	const encoding = before % 2 === 0 ? "lf" : "crlf"; // which makes no difference
	const [result] = await client.send(smtpMail({ body, encoding }));
	expect(result?.status).toBe("K");
	expect(server.messages.length).toBe(before + 1);
	return server.messages.at(-1)?.data ?? "";
}

const BODIES: Readonly<Record<string, readonly [body: string, arrives: string]>> = {
	"an empty body is an empty line": ["", "\r\n"],
	"the last line gets its end": ["a", "a\r\n"],
	"LF is CR LF": ["a\nb\n", "a\r\nb\r\n"],
	"CR LF stays": ["a\r\nb\r\n", "a\r\nb\r\n"],
	"LF and CR LF may be mixed": ["a\r\nb\nc", "a\r\nb\r\nc\r\n"],
	"a CR that ends no line is a space, and no line end": ["a\rb\n", "a b\r\n"],
	"a CR before CR LF is a space": ["a\r\r\nb\r\n", "a \r\nb\r\n"],
	"a CR at the end is a space": ["a\r", "a \r\n"],
	"dots at the front of lines": [".\n..\n.a\n\n.", ".\r\n..\r\n.a\r\n\r\n.\r\n"],
	"an end of data between LFs": ["a\n.\nMAIL FROM:<x>\n", "a\r\n.\r\nMAIL FROM:<x>\r\n"],
	"an end of data between CRs": ["a\r.\rb", "a . b\r\n"],
	"an end of data of LF dot CR LF": ["a\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"],
	"an end of data of CR LF dot LF": ["a\r\n.\nb\r\n", "a\r\n.\r\nb\r\n"],
	"an end of data of CR dot CR LF": ["a\r.\r\nb\r\n", "a .\r\nb\r\n"],
	"NUL and 8-bit bytes": ["\u0000\u0080\u00ff\n", "\u0000\u0080\u00ff\r\n"],
};

for (const [name, [body, arrives]] of Object.entries(BODIES)) {
	test(name, async () => {
		expect(onTheWire(body)).toBe(arrives); // the reference itself
		const server = await SmtpTestServer.start({});
		expect(await arrived(server.client(), server, body)).toBe(arrives);
	});
}

test("any body arrives, in whichever chunks it is read", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client({ maxMessages: 1000 });
	const piece = fc.constantFrom(
		"\r",
		"\n",
		"\r\n",
		".",
		"\r\n.\r\n",
		"\n.\n",
		"\r.\r",
		"a",
		"\u0000",
		"\u00ff",
		"MAIL",
	);
	const pieces = fc.array(fc.array(piece, { maxLength: 8 }), { maxLength: 6 });
	await fc.assert(
		fc.asyncProperty(pieces, async (chunks) => {
			const buffers = chunks.map((chunk) => Buffer.from(chunk.join(""), "latin1"));
			const whole = Buffer.concat(buffers);
			const body = streamBody(chunksOf(buffers), whole.length);
			const data = await arrived(client, server, body);
			expect(data).toBe(onTheWire(whole.toString("latin1")));
			expect(data.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
		}),
		{ numRuns: 150 },
	);
	expect(server.peers).toHaveLength(1);
});

test("the lines are the same wherever the chunks are cut", () => {
	fc.assert(
		fc.property(
			fc.array(fc.constantFrom("\r", "\n", ".", "a"), { maxLength: 12 }),
			fc.nat(12),
			(bytes, at) => {
				const text = bytes.join("");
				const lines = new WireLines();
				const encoded = [text.slice(0, at), text.slice(at)].map((part) => lines.encode(Buffer.from(part)));
				const whole = Buffer.concat([...encoded, lines.end()]).toString();
				expect(whole === "" || whole.endsWith("\r\n") ? whole : `${whole}\r\n`).toBe(
					text === "" ? "" : onTheWire(text),
				);
			},
		),
	);
});

test("a chunk that needs no change is passed on as it is", () => {
	const chunk = Buffer.from("nothing to change");
	expect(new WireLines().encode(chunk)).toBe(chunk);
});

test("5 MB of random bytes arrive, from memory and from a file", async () => {
	const bytes = randomBytes(5_000_000);
	const server = await SmtpTestServer.start({});
	const client = server.client();
	const expected = onTheWire(bytes.toString("latin1"));
	expect((await arrived(client, server, bytesBody(bytes))) === expected).toBe(true);
	await withDirectory(async (directory) => {
		const path = join(directory, "message");
		await writeFile(path, bytes);
		const { file, length } = await openBody(path);
		const body = fileBody(file, length);
		expect((await arrived(client, server, body)) === expected).toBe(true);
		await body.close();
	});
});

test("a body that fails is never a whole message, and the call rejects", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client();
	async function* failing() {
		yield Buffer.from("begun\n");
		throw new Error("disk on fire");
	}
	await expect(client.send(smtpMail({ body: onceBody(100, failing) }))).rejects.toMatchObject({
		name: "UsageError",
		code: "ERR_QMTP_MESSAGE_SOURCE",
		cause: { message: "disk on fire" },
	});
	await (await server.peer()).gone();
	expect(server.messages).toEqual([]);
	expect(summaries(await client.send(smtpMail()))).toEqual(["K250 2.0.0 queued"]); // on a new connection
	expect(server.peers).toHaveLength(2);
});

test("a body that is shorter or longer than it said is never a whole message", async () => {
	const server = await SmtpTestServer.start({});
	const client = server.client();
	for (const length of [3, 5]) {
		const body = onceBody(length, () => chunksOf([Buffer.from("four")]));
		await expect(client.send(smtpMail({ body }))).rejects.toMatchObject({
			code: "ERR_QMTP_MESSAGE_SIZE",
			message: `the message has 4 bytes where ${length} were announced`,
		});
	}
	expect(server.messages).toEqual([]);
});

test("a body is let go of, and not read, if the server wants none of it", async () => {
	const server = await SmtpTestServer.start({ RCPT: "550 no" });
	let read = false;
	const body = onceBody(3, () => {
		read = true;
		return chunksOf([Buffer.from("abc")]);
	});
	await server.client().send(smtpMail({ body }));
	expect(read).toBe(false);
});

test("a body that hangs is let go of when the server gives up", async () => {
	let released = false;
	const hanging: AsyncIterable<Uint8Array> = {
		[Symbol.asyncIterator]: () => ({
			next: () => new Promise(() => {}),
			return: async () => {
				released = true;
				return { done: true, value: undefined };
			},
		}),
	};
	const server = await SmtpTestServer.start({
		DATA: (peer) => {
			setImmediate(() => peer.socket.destroy());
			return "354 go on";
		},
	});
	onTestFinished(() => expect(released).toBe(true));
	expect(summaries(await server.client().send(smtpMail({ body: onceBody(9, () => hanging) })))).toEqual([
		expect.stringMatching(
			/^Zthe (server closed|connection was lost).* \| ERR_QMTP_CONNECTION_(CLOSED|LOST)$/,
		),
	]);
});

async function* chunksOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
	yield* chunks;
}
