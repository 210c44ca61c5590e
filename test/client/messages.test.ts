/** The kinds of messages: what arrives is what was given, LF-encoded unless told otherwise. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Message } from "../../src/client/message.js";
import { textOf } from "../support/bytes.js";
import { mail, recipients, statuses } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer, ScriptedServer } from "../support/client-server.js";

noUnhandledRejections();

/** A text in all the ways to give it. */
const kinds: Record<string, (text: string) => Message> = {
	"a string": (text) => text,
	"a Uint8Array": (text) => new Uint8Array(Buffer.from(text)),
	"a Buffer": (text) => Buffer.from(text),
	"a view into a larger buffer": (text) =>
		Buffer.from(`xx${text}yy`).subarray(2, 2 + Buffer.byteLength(text)),
	"a Readable": (text) => Readable.from(pieces(text), { objectMode: false }),
	"a Readable of objects": (text) => Readable.from(pieces(text)),
	"an async generator": (text) => generate(pieces(text)),
	"a ReadableStream": (text) => new Blob(pieces(text)).stream(),
	"a ReadableStream piece by piece": (text) => Readable.toWeb(Readable.from(pieces(text))) as ReadableStream,
	"a file": (text) => ({ path: file(text) }),
};
const isStream = (kind: string) => /Readable|generator/.test(kind);

const texts: Record<string, { text: string; body: string }> = {
	nothing: { text: "", body: "" },
	"LF lines": { text: "a\nb\n\n", body: "a\nb\n\n" },
	"CRLF lines": { text: "a\r\nb\r\n\r\n", body: "a\nb\n\n" },
	"CRLF lines with other CR and LF between": { text: "a\r\n\rb\nc\r\r\nd\r", body: "a\n\rb\nc\r\nd\r" },
	"LF lines with CR LF behind the first": { text: "a\nb\r\nc", body: "a\nb\r\nc" },
	"no line end": { text: "no line end\r", body: "no line end\r" },
	"an empty first line": { text: "\nb\r\n", body: "\nb\r\n" },
	"8-bit text": { text: "gr\u00fc\u00df\r\n\u20ac\0\r\n", body: "gr\u00fc\u00df\n\u20ac\0\n" },
};

describe.each(Object.keys(kinds))("%s", (kind) => {
	const make = kinds[kind] as (text: string) => Message;

	test.each(Object.keys(texts))("with %s", async (name) => {
		const { text, body } = texts[name] as (typeof texts)[string];
		const server = await acceptingServer();
		const client = server.client();
		expect(statuses(await client.send(mail({ message: make(text) })))).toBe("K");
		if (isStream(kind)) await client.send(mail({ message: make(text), size: Buffer.byteLength(text) }));
		const packages = server.connections[0]?.packages ?? [];
		expect(packages).toHaveLength(isStream(kind) ? 2 : 1);
		for (const { encoding, body: received } of packages) {
			expect(encoding).toBe("lf");
			expect(utf8(received)).toBe(body);
		}
	});

	test.each([
		["as-is", undefined, "a\r\nb\n", "crlf", "a\r\nb\n"],
		["as-is", undefined, "a\nb\r\n", "lf", "a\nb\r\n"],
		["as-is", "crlf", "a\nb\r\n", "crlf", "a\nb\r\n"],
		["as-is", "lf", "a\r\nb\n", "lf", "a\r\nb\n"],
		["lf", "lf", "a\r\nb\n", "lf", "a\r\nb\n"],
		["lf", "crlf", "a\nb\r\n", "lf", "a\nb\n"],
	] as const)("transmit %s, encoding %s, of %j: %s and %j", async (transmit, encoding, text, wire, body) => {
		const server = await acceptingServer();
		const client = server.client();
		const options = { transmit, ...(encoding === undefined ? {} : { encoding }) };
		await client.send(mail({ message: make(text), ...options }));
		if (isStream(kind)) await client.send(mail({ message: make(text), size: text.length, ...options }));
		for (const received of server.connections[0]?.packages ?? []) {
			expect(received).toMatchObject({ encoding: wire, body });
		}
	});

	test("with 3 MiB and two recipients in packages of their own", async () => {
		const server = await acceptingServer();
		const client = server.client({ maxRecipientsPerPackage: 1 });
		const text = "0123456789abcde\r\n".repeat(185_000);
		const options = { recipients: recipients(2), encoding: "crlf", transmit: "as-is" } as const;
		expect(statuses(await client.send(mail({ message: make(text), ...options })))).toBe("KK");
		expect(server.bodies.map((body) => body === text)).toEqual([true, true]);
	});
});

describe("the encoding is that of the first line end within 64 KiB", () => {
	const limit = 64 * 1024;
	const far: Record<string, [before: number, encoding: string]> = {
		"whose LF is the last byte of them": [limit - 2, "crlf"],
		"whose LF is the first byte behind them": [limit - 1, "lf"],
		"far behind them": [limit + 1000, "lf"],
	};
	const forms: Record<string, (bytes: Uint8Array) => Message> = {
		"in memory": (bytes) => bytes,
		"in a stream of one chunk": (bytes) => generate([bytes]),
		"in a stream of small chunks": (bytes) =>
			generate(Array.from({ length: 200 }, (_, at) => bytes.subarray(at * 1000, at * 1000 + 1000))),
		"in a file": (bytes) => ({ path: file(textOf(bytes)) }),
	};
	describe.each(Object.keys(forms))("%s", (form) => {
		test.each(Object.keys(far))("a CR LF %s", async (where) => {
			const [before, encoding] = far[where] as [number, string];
			const bytes = Buffer.from(`${"x".repeat(before)}\r\nmore\r\n`);
			const server = await acceptingServer();
			await server.client().send(mail({ message: forms[form]?.(bytes) as Message, transmit: "as-is" }));
			expect(server.connections[0]?.packages[0]?.encoding).toBe(encoding);
			expect(server.bodies[0] === textOf(bytes)).toBe(true);
		});
	});

	test("a CR LF that is cut between two chunks, with an empty one between them", async () => {
		const server = await acceptingServer();
		const message = generate([Buffer.from("a\r"), Buffer.alloc(0), Buffer.from("\nb\r"), Buffer.from("\n")]);
		await server.client().send(mail({ message }));
		expect(server.bodies).toEqual(["a\nb\n"]);
	});
});

describe("a file", () => {
	test.each(["missing", "a directory", "a pipe"])("that is %s", async (what) => {
		const folder = temporaryFolder();
		const path = join(folder, "message");
		if (what === "a directory") mkdirSync(path);
		if (what === "a pipe") (await import("node:child_process")).execFileSync("mkfifo", [path]);
		const server = await acceptingServer();
		await expect(server.client().send(mail({ message: { path } }))).rejects.toMatchObject({
			name: "UsageError",
			code: "ERR_QMTP_MESSAGE_SOURCE",
		});
		expect(server.connections).toHaveLength(0);
	});

	test("that shrinks while it is sent: the call rejects, and others go on", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			if (connection.number > 0) return connection.answerAll();
			await connection.end();
			connection.socket.end("1:K,");
		});
		const path = file("x".repeat(3_000_000));
		const client = server.client();
		const first = client.send(mail({ message: "first" }));
		const shrink = () => writeFileSync(path, "short");
		const second = client.send(mail({ message: { path }, onProgress: shrink }));
		await expect(second).rejects.toMatchObject({ code: "ERR_QMTP_MESSAGE_SIZE" });
		expect(statuses(await first)).toBe("K");
		expect(statuses(await client.send(mail({ message: "third" })))).toBe("K");
		expect(server.bodies).toEqual(["first", "third"]);
	});

	test("that is converted, and has fewer CR LF when it is sent than when they were counted", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.end();
			connection.socket.end();
		});
		const path = file("x\r\n".repeat(1_000_000));
		const change = () => writeFileSync(path, "x".repeat(3_000_000));
		const call = server.client().send(mail({ message: { path }, onProgress: change }));
		await expect(call).rejects.toMatchObject({ code: "ERR_QMTP_MESSAGE_SIZE" });
		expect(server.bodies).toEqual([]);
	});

	test("that grows while it is sent has the length that it had", async () => {
		const server = await acceptingServer();
		const text = "x".repeat(300_000);
		const path = file(text);
		const grow = () => appendFileSync(path, "more");
		expect(statuses(await server.client().send(mail({ message: { path }, onProgress: grow })))).toBe("K");
		expect(server.bodies[0] === text).toBe(true);
	});
});

test("progress is told up to the whole body, once for each package", async () => {
	const server = await acceptingServer();
	const told: number[][] = [];
	const message = Buffer.alloc(600_000, "x");
	const onProgress = (...args: number[]) => told.push(args);
	const client = server.client({ maxRecipientsPerPackage: 1 });
	await client.send(mail({ message, recipients: recipients(2), onProgress }));
	const once = [262_144, 524_288, 600_000].map((bytes) => [bytes, 600_000]);
	expect(told).toEqual([...once, ...once]);
});

function pieces(text: string): Buffer[] {
	const bytes = Buffer.from(text);
	const size = Math.max(1, Math.ceil(bytes.length / 40));
	return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
		bytes.subarray(index * size, (index + 1) * size),
	);
}

async function* generate(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
	yield* chunks;
}

function utf8(text: string): string {
	return Buffer.from(text, "latin1").toString();
}

function file(text: string): string {
	const path = join(temporaryFolder(), "message");
	writeFileSync(path, text);
	return path;
}

function temporaryFolder(): string {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-test-"));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	return folder;
}
