/** Spooled bodies: in memory while they are small, then in a file without a name. */
import { chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Body } from "../../src/body/body.js";
import { spool } from "../../src/body/spool.js";
import { bytesOf, concat, textOf } from "../support/bytes.js";

let directory = "";

beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "qmtp-test-"));
	onTestFinished(() => {
		chmodSync(directory, 0o700);
		rmSync(directory, { recursive: true });
	});
});

async function* each(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
	yield* chunks;
}

async function text(body: Body): Promise<string> {
	const chunks: Uint8Array[] = [];
	for await (const chunk of body.chunks()) chunks.push(chunk);
	return textOf(concat(chunks));
}

/** The files below the directory that this process has open. */
function open(): string[] {
	const paths = readdirSync("/proc/self/fd").map((descriptor) => {
		try {
			return readlinkSync(`/proc/self/fd/${descriptor}`);
		} catch {
			return "";
		}
	});
	return paths.filter((path) => path.startsWith(directory));
}

describe.each([0, 1, 5, 9, 10, 11, 100])("with %d bytes of memory", (memory) => {
	const cuts: Record<string, string[]> = {
		nothing: [],
		"empty chunks": ["", ""],
		"one chunk": ["0123456789"],
		"small chunks": ["0", "12", "", "345", "6789"],
		"a small and a large chunk": ["0", "123456789"],
		"a large and a small chunk": ["012345678", "9"],
		"many chunks": [..."0123456789".repeat(30)],
	};

	test.each(Object.keys(cuts))("%s: the body is the same each time that it is read", async (name) => {
		const chunks = (cuts[name] as string[]).map(bytesOf);
		const expected = (cuts[name] as string[]).join("");
		const body = await spool(each(...chunks), { memory, directory });
		expect(body.length).toBe(expected.length);
		expect(body.repeatable).toBe(true);
		expect(await text(body)).toBe(expected);
		expect(await text(body)).toBe(expected);
		expect(body.bytes === null ? null : textOf(body.bytes)).toBe(expected.length > memory ? null : expected);
		expect(open()).toHaveLength(expected.length > memory ? 1 : 0);
		expect(readdirSync(directory)).toEqual([]);
		await body.close();
		expect(open()).toEqual([]);
	});
});

test("more than 1 MiB goes to a file, unless told otherwise", async () => {
	const chunk = Buffer.alloc(256 * 1024, "x");
	const inMemory = await spool(each(chunk, chunk, chunk, chunk), { directory });
	const inFile = await spool(each(chunk, chunk, chunk, chunk, chunk.subarray(0, 1)), { directory });
	expect(inMemory.bytes).toHaveLength(1024 * 1024);
	expect(inFile.bytes).toBeNull();
	expect(inFile.length).toBe(1024 * 1024 + 1);
	expect(await text(inFile)).toBe("x".repeat(inFile.length));
	await inFile.close();
});

test("a source may use its chunk again for the next one", async () => {
	async function* reusing() {
		const chunk = new Uint8Array(4);
		for (let number = 0; number < 10; number++) yield chunk.fill(0x30 + number);
	}
	for (const memory of [100, 10, 3]) {
		const body = await spool(reusing(), { memory, directory });
		expect(await text(body)).toBe([..."0123456789"].map((digit) => digit.repeat(4)).join(""));
		await body.close();
	}
});

test("small chunks cost no more than their bytes", async () => {
	async function* tiny() {
		// Each is a view into a chunk of its own.
		for (let index = 0; index < 2000; index++) yield new Uint8Array(64 * 1024).subarray(0, 10);
	}
	const before = process.memoryUsage().arrayBuffers;
	const body = await spool(tiny(), { directory });
	expect(body.bytes?.buffer.byteLength).toBeLessThanOrEqual(40_000);
	expect(before).toBeGreaterThanOrEqual(0);
});

test.each([100, 3])("a source that fails leaves nothing behind, with %d bytes of memory", async (memory) => {
	let released = false;
	async function* failing() {
		try {
			yield bytesOf("01234");
			throw new Error("no more");
		} finally {
			released = true;
		}
	}
	await expect(spool(failing(), { memory, directory })).rejects.toThrow("no more");
	expect(released).toBe(true);
	expect(open()).toEqual([]);
	expect(readdirSync(directory)).toEqual([]);
});

test("a directory that is not there: the source is let go of", async () => {
	let released = false;
	async function* source() {
		try {
			for (;;) yield bytesOf("01234");
		} finally {
			released = true;
		}
	}
	const spooling = spool(source(), { memory: 3, directory: join(directory, "nowhere") });
	await expect(spooling).rejects.toMatchObject({ code: "ENOENT" });
	expect(released).toBe(true);
});
