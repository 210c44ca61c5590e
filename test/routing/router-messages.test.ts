/** What the router makes of a message: whatever it is, each exchange gets the same bytes, and it is read once. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Body, bytesBody } from "../../src/body/body.js";
import type { Message } from "../../src/client/message.js";
import { memoryQueue } from "../../src/queue/memory.js";
import type { DeliverOptions } from "../../src/routing/router.js";
import { textOf } from "../support/bytes.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { freshAddress, outcomes, qmtpHost, routed, routerFor, smtpHost } from "../support/router-hosts.js";
import { onceBody } from "../support/smtp-peer.js";
import { CountingSource, countingStream } from "../support/sources.js";

noUnhandledRejections();

const THREE = ["a@a.example", "b@b.example", "c@c.example"];

/** Two exchanges by QMTP and one by SMTP, for the recipients of THREE. */
async function threeHosts(options: Parameters<typeof routerFor>[1] = {}) {
	const addresses = [freshAddress(), freshAddress(), freshAddress()] as const;
	const queue = memoryQueue();
	const [one, two] = [await qmtpHost(addresses[0], { queue }), await qmtpHost(addresses[1], { queue })];
	const smtp = await smtpHost(addresses[2], {});
	const { router } = routerFor(
		{
			mx: { "a.example": ["12801 a"], "b.example": ["12801 b"], "c.example": ["10 c"] },
			addresses: { a: [addresses[0]], b: [addresses[1]], c: [addresses[2]] },
		},
		options,
	);
	return {
		router,
		smtp,
		one,
		two,
		/** The three bodies as they came; that of SMTP with LF. */
		bodies: () => [
			...queue.messages.map(({ body }) => textOf(body)),
			...smtp.messages.map(({ data }) => data.replaceAll("\r\n", "\n")),
		],
	};
}

/** Descriptors of files without a name. */
function spoolFiles(): number {
	const targets = readdirSync("/proc/self/fd").map((descriptor) => {
		try {
			return readlinkSync(`/proc/self/fd/${descriptor}`);
		} catch {
			return "";
		}
	});
	return targets.filter((target) => /\/qmtp-[^/]* \(deleted\)$/.test(target)).length;
}

function file(bytes: string | Uint8Array): string {
	const directory = mkdtempSync(join(tmpdir(), "qmtp-test-"));
	onTestFinished(() => rmSync(directory, { recursive: true }));
	const path = join(directory, "message");
	writeFileSync(path, bytes);
	return path;
}

async function* cut(text: string): AsyncGenerator<Uint8Array> {
	for (let at = 0; at < text.length; at += 3) yield Buffer.from(text.slice(at, at + 3), "latin1");
}

const KINDS: Record<string, (text: string) => Partial<DeliverOptions>> = {
	"a string": (text) => ({ message: text }),
	bytes: (text) => ({ message: Buffer.from(text) }),
	"a file": (text) => ({ message: { path: file(text) } }),
	"a Readable": (text) => ({ message: Readable.from(cut(text)) }),
	"a Readable of known size": (text) => ({ message: Readable.from(cut(text)), size: text.length }),
	"a ReadableStream": (text) => ({ message: new Blob([text]).stream() }),
	"a generator": (text) => ({ message: cut(text) }),
	"a Body in memory": (text) => ({
		message: bytesBody(Buffer.from(text)),
		encoding: text.includes("\r\n") ? "crlf" : "lf",
	}),
	"a Body that can be read once": (text) => ({
		message: onceBody(text.length, () => cut(text)),
		encoding: text.includes("\r\n") ? "crlf" : "lf",
	}),
	"a Body that can be read again": (text) => ({
		message: { ...onceBody(text.length, () => cut(text)), repeatable: true },
		encoding: text.includes("\r\n") ? "crlf" : "lf",
	}),
};

describe.each(Object.keys(KINDS))("%s", (kind) => {
	const make = KINDS[kind] as (typeof KINDS)[string];

	test.each([
		["LF lines", "Subject: a\n\nb\n.\n\nc\n", "Subject: a\n\nb\n.\n\nc\n"],
		["CRLF lines", "Subject: a\r\n\r\nb\r\n.\r\n", "Subject: a\n\nb\n.\n"],
	])("with %s arrives the same at three exchanges", async (_, text, arrives) => {
		const { router, bodies } = await threeHosts();
		expect((await router.deliver(routed({ recipients: THREE, ...make(text) }))).accepted).toEqual(THREE);
		expect(bodies()).toEqual([arrives, arrives, arrives]);
	});

	test("that is empty arrives", async () => {
		const { router, bodies } = await threeHosts();
		expect((await router.deliver(routed({ recipients: THREE, ...make("") }))).accepted).toEqual(THREE);
		expect(bodies()).toEqual(["", "", "\n"]); // SMTP has a line end at least
	});
});

describe("5 MB for three exchanges", () => {
	const text = `${randomBytes(3_750_000).toString("hex").slice(0, 5_000_000).replace(/.{70}/g, "$&\n")}\n`;
	const chunks: Buffer[] = [];
	for (let at = 0; at < text.length; at += 65_536) chunks.push(Buffer.from(text.slice(at, at + 65_536)));

	const sources: Record<string, () => { message: Message; reads: () => number; repeatable: boolean }> = {
		"an iterable": () => {
			const source = new CountingSource(chunks);
			return { message: source, reads: () => source.pulled / chunks.length, repeatable: false };
		},
		"a ReadableStream": () => {
			const { stream, counted } = countingStream(chunks);
			return { message: stream, reads: () => counted.pulled / chunks.length, repeatable: false };
		},
		"a Body that can be read once": () => {
			const source = new CountingSource(chunks);
			return {
				message: onceBody(text.length, () => source),
				reads: () => source.pulled / chunks.length,
				repeatable: false,
			};
		},
	};
	test.each(Object.keys(sources))("%s is read once, into a file that is gone afterwards", async (name) => {
		const { message, reads } = (sources[name] as (typeof sources)[string])();
		const { router, bodies, smtp } = await threeHosts();
		const before = spoolFiles();
		const call = router.deliver(routed({ recipients: THREE, message }));
		await Promise.race([call, smtp.changes.until(() => smtp.peers.length > 0)]);
		expect(spoolFiles()).toBe(before + 1);
		expect((await call).accepted).toEqual(THREE);
		expect(bodies().map((body) => body === text)).toEqual([true, true, true]);
		expect(reads()).toBe(1);
		expect(spoolFiles()).toBe(before);
	});

	test("a file is opened once, and stays the same file though another takes its name", async () => {
		const path = file(text);
		const { router, bodies, smtp } = await threeHosts({
			isOurself: () => {
				writeFileSync(`${path}.new`, "another\n");
				renameSync(`${path}.new`, path);
				return false;
			},
		});
		expect((await router.deliver(routed({ recipients: THREE, message: { path } }))).accepted).toEqual(THREE);
		expect(bodies().map((body) => body === text)).toEqual([true, true, true]);
		expect(smtp.messages).toHaveLength(1);
	});

	test("a Body stays the caller's: it is not closed", async () => {
		let closed = 0;
		const body: Body = { ...bytesBody(Buffer.from(text)), close: async () => void closed++ };
		const { router } = await threeHosts();
		expect((await router.deliver(routed({ recipients: THREE, message: body }))).accepted).toEqual(THREE);
		expect(closed).toBe(0);
	});
});

describe("a message that cannot be read", () => {
	const failure = new Error("disk on fire");
	async function* failing(): AsyncGenerator<Uint8Array> {
		yield Buffer.alloc(2_000_000, "x\n");
		throw failure;
	}
	const hello = Buffer.from("hello\n");
	const messages: Record<string, [options: Partial<DeliverOptions>, code: string]> = {
		"a stream that fails": [{ message: failing() }, "ERR_QMTP_MESSAGE_SOURCE"],
		"a stream that fails, of a size": [
			{ message: failing(), size: 3_000_000, encoding: "lf" },
			"ERR_QMTP_MESSAGE_SOURCE",
		],
		"a Body that fails": [{ message: onceBody(5, failing) }, "ERR_QMTP_MESSAGE_SIZE"],
		"a Body that fails before its end": [
			{ message: onceBody(3_000_000, failing) },
			"ERR_QMTP_MESSAGE_SOURCE",
		],
		"a Body with CRLF that fails": [
			{ message: onceBody(3_000_000, failing), encoding: "crlf" },
			"ERR_QMTP_MESSAGE_SOURCE",
		],
		"a Body that fails when it is looked at": [
			{ message: { ...onceBody(3_000_000, failing), repeatable: true } },
			"ERR_QMTP_MESSAGE_SOURCE",
		],
		"a Body that cannot be begun": [
			{
				message: onceBody(5, () => {
					throw failure;
				}),
			},
			"ERR_QMTP_MESSAGE_SOURCE",
		],
		"a Body that is shorter than it said": [
			{ message: onceBody(7, () => cut("hello\n")) },
			"ERR_QMTP_MESSAGE_SIZE",
		],
		"a Body that is longer than it said": [
			{ message: onceBody(5, () => cut("hello\n")) },
			"ERR_QMTP_MESSAGE_SIZE",
		],
		"a stream that is shorter than was said": [
			{ message: Readable.from([hello]), size: 7 },
			"ERR_QMTP_MESSAGE_SIZE",
		],
		"a stream that is longer than was said": [
			{ message: Readable.from([hello]), size: 5 },
			"ERR_QMTP_MESSAGE_SIZE",
		],
		"a stream of texts": [{ message: Readable.from(["hello\n"]) }, "ERR_QMTP_MESSAGE"],
		"a file that is not there": [{ message: { path: "/nonexistent/message" } }, "ERR_QMTP_MESSAGE_SOURCE"],
		"a directory": [{ message: { path: "/" } }, "ERR_QMTP_MESSAGE_SOURCE"],
	};
	test.each(Object.keys(messages))("is refused before anything is looked up: %s", async (name) => {
		const [options, code] = messages[name] as (typeof messages)[string];
		const { router, resolver } = routerFor({});
		const before = spoolFiles();
		const call = router.deliver(routed(options));
		await expect(call).rejects.toMatchObject({ name: "UsageError", code });
		if (code === "ERR_QMTP_MESSAGE_SOURCE" && "chunks" in (options.message as object)) {
			await expect(call).rejects.toMatchObject({ cause: failure });
		}
		expect(resolver.questions).toEqual([]);
		expect(spoolFiles()).toBe(before);
	});

	test("half-way is a Z with the reason, and no exchange takes the half of it", async () => {
		const { router, bodies } = await threeHosts();
		let reads = 0;
		const message: Body = {
			...onceBody(3_000_000, async function* () {
				reads++;
				yield Buffer.from("\n");
				if (reads === 1) return; // the look for Received fields
				yield Buffer.alloc(1_000_000, "x\n");
				throw failure;
			}),
			repeatable: true,
		};
		const { responses } = await router.deliver(routed({ recipients: THREE, message }));
		expect(responses.map(({ status, error }) => [status, error?.code])).toEqual(
			THREE.map(() => ["Z", "ERR_QMTP_MESSAGE_SOURCE"]),
		);
		expect(bodies()).toEqual([]);
	});
});

describe("Received fields", () => {
	const message = (count: number, end = "\n") =>
		`${`Received: from a by b${end}\tfor c${end}`.repeat(count)}Subject: a${end}${end}Received: not a field${end}`;

	test.each(["\n", "\r\n"])(
		"are no loop up to a hundred, and one from a hundred and one, with %j",
		async (end) => {
			const address = freshAddress();
			const qmtp = await qmtpHost(address);
			const { router, resolver } = routerFor({
				mx: { "example.com": ["12801 a"] },
				addresses: { a: [address] },
			});
			for (const make of [
				(text: string) => text,
				(text: string) => cut(text),
				(text: string) => ({ path: file(text) }),
			]) {
				expect(outcomes(await router.deliver(routed({ message: make(message(100, end)) })))).toEqual([
					`K qmtp ${address}`,
				]);
				const asked = resolver.questions.length;
				const { responses } = await router.deliver(
					routed({ message: make(message(101, end)), recipients: ["a@example.com", "nobody"] }),
				);
				expect(responses).toEqual(
					["a@example.com", "nobody"].map((recipient) => ({
						recipient,
						status: "D",
						description: "too many hops, this message is looping (#5.4.6)",
						tried: [],
					})),
				);
				expect(resolver.questions).toHaveLength(asked);
			}
			expect(qmtp.mail).toHaveLength(3);
		},
	);

	test("may be fewer or more if the router is told so", async () => {
		const zone = { mx: { "example.com": ["0 "] } };
		const codes = async (maxReceived: number, count: number) => {
			const { responses } = await routerFor(zone, { maxReceived }).router.deliver(
				routed({ message: message(count) }),
			);
			return /#[\d.]+/.exec(responses[0]?.description ?? "")?.[0];
		};
		expect(await codes(1, 1)).toBe("#5.1.10");
		expect(await codes(1, 2)).toBe("#5.4.6");
		expect(await codes(Number.POSITIVE_INFINITY, 5000)).toBe("#5.1.10");
	});
});
