/** Bodies in memory and in files. */
import {
	appendFileSync,
	mkdtempSync,
	renameSync,
	rmSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { type Body, bytesBody, CHUNK_BYTES, streamBody } from "../../src/body/body.js";
import { fileBody, openBody } from "../../src/body/file.js";
import { concat, textOf } from "../support/bytes.js";

let path = "";

beforeEach(() => {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-test-"));
	onTestFinished(() => rmSync(folder, { recursive: true }));
	path = join(folder, "message");
});

async function chunksOf(body: Body): Promise<Uint8Array[]> {
	const chunks: Uint8Array[] = [];
	for await (const chunk of body.chunks()) chunks.push(chunk);
	return chunks;
}

async function openFile(text: string): Promise<Body> {
	writeFileSync(path, text);
	const { file, length } = await openBody(path);
	const body = fileBody(file, length);
	onTestFinished(() => body.close());
	return body;
}

test("bytes in memory come as views, in pieces of at most 256 KiB", async () => {
	const bytes = new Uint8Array(CHUNK_BYTES * 2 + 1);
	const body = bytesBody(bytes);
	const chunks = await chunksOf(body);
	expect(chunks.map(({ length }) => length)).toEqual([CHUNK_BYTES, CHUNK_BYTES, 1]);
	expect(chunks.every(({ buffer }) => buffer === bytes.buffer)).toBe(true);
	expect(body).toMatchObject({ length: bytes.length, repeatable: true });
	expect(body.bytes).toBe(bytes);
	expect(await chunksOf(bytesBody(new Uint8Array(0)))).toEqual([]);
	await body.close();
});

test("a stream is read once", async () => {
	async function* source() {
		yield Buffer.from("once");
	}
	const body = streamBody(source(), 4);
	expect(body).toMatchObject({ length: 4, bytes: null, repeatable: false });
	expect(textOf(concat(await chunksOf(body)))).toBe("once");
	await body.close();
});

test("a file is read again and again, also by two readers at once", async () => {
	const text = "0123456789".repeat(60_000);
	const body = await openFile(text);
	expect(body).toMatchObject({ length: text.length, bytes: null, repeatable: true });
	const readings = await Promise.all([chunksOf(body), chunksOf(body)]);
	for (const chunks of readings) expect(textOf(concat(chunks)) === text).toBe(true);
	expect(await chunksOf(await openFile(""))).toEqual([]);
});

test("a file that was replaced meanwhile is the one that was opened", async () => {
	const body = await openFile("old");
	writeFileSync(`${path}.new`, "new");
	renameSync(`${path}.new`, path);
	expect(textOf(concat(await chunksOf(body)))).toBe("old");
});

test("a file that grew has the length that it had; one that shrank has less", async () => {
	const body = await openFile("0123456789");
	appendFileSync(path, "more");
	expect(textOf(concat(await chunksOf(body)))).toBe("0123456789");
	truncateSync(path, 4);
	expect(textOf(concat(await chunksOf(body)))).toBe("0123");
	truncateSync(path, 0);
	expect(await chunksOf(body)).toEqual([]);
});

test("a link to a file is that file", async () => {
	writeFileSync(path, "text");
	symlinkSync(path, `${path}.link`);
	const { file, length } = await openBody(`${path}.link`);
	await file.close();
	expect(length).toBe(4);
});

test.each(["/dev/null", tmpdir()])("%s is no regular file", async (special) => {
	await expect(openBody(special)).rejects.toThrow(`${special} is no regular file`);
});
