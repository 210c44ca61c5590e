/** Files of messages, the caller's and those of spooled streams, are closed however a call ends. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { QmtpClient } from "../../src/client/client.js";
import { mail, recipients } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer, ScriptedServer } from "../support/client-server.js";
import { hangingSource } from "../support/client-sources.js";
import { Gate, turns } from "../support/server-signal.js";

noUnhandledRejections();

const CHUNK = Buffer.alloc(50_000, "x");
const SIZE = 2_000_000;
let folder = ""; // os.tmpdir() for one test, in which only `message` is

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "qmtp-test-"));
	writeFileSync(join(folder, "message"), Buffer.alloc(SIZE, "x"));
	vi.stubEnv("TMPDIR", folder);
	onTestFinished(() => {
		vi.unstubAllEnvs();
		rmSync(folder, { recursive: true, maxRetries: 10 }); // a spool that was given up may just be opening its file
	});
});

/** What this process has open below the folder, files without a name included. */
function open(): string[] {
	return readdirSync("/proc/self/fd").flatMap((descriptor) => {
		try {
			const path = readlinkSync(`/proc/self/fd/${descriptor}`);
			return path.startsWith(folder) ? [path] : [];
		} catch {
			return []; // closed meanwhile: the descriptor by which the list was read
		}
	});
}

/** Waits until nothing is open. What leaked is closed by the garbage collector, with a warning, or never. */
async function expectAllClosed(): Promise<void> {
	const warnings: string[] = [];
	const note = ({ message }: Error) => warnings.push(message);
	process.on("warning", note);
	while (open().length > 0) await new Promise((resolve) => setImmediate(resolve));
	await turns();
	process.off("warning", note);
	expect(warnings).toEqual([]);
	expect(readdirSync(folder)).toEqual(["message"]);
}

const messages = {
	"a stream that is spooled to a file": () => large(),
	"a file": () => ({ path: join(folder, "message") }),
	"a file that is converted": () => ({ path: join(folder, "message") }),
};
type Kind = keyof typeof messages;

describe.each(Object.keys(messages) as Kind[])("%s", (kind) => {
	const message = () => ({
		message: messages[kind](),
		...(kind.includes("converted") ? { encoding: "crlf" as const } : {}),
	});

	test("open while it is sent, closed when it was answered", async () => {
		const server = await acceptingServer();
		const seen: number[] = [];
		const onProgress = () => seen.push(open().length);
		const result = await server.client().send(mail({ ...message(), onProgress }));
		expect(result.accepted).toHaveLength(1);
		expect(seen[0]).toBe(1);
		expect(server.bodies[0]).toHaveLength(SIZE);
		await expectAllClosed();
	});

	const endings: Record<string, (client: QmtpClient, server: ScriptedServer) => Promise<unknown>> = {
		"there is no server": (client, server) => {
			server.stopListening();
			return client.send(mail(message()));
		},
		"the client is destroyed": async (client, server) => {
			const call = client.send(mail(message()));
			await (await server.connection()).receivedBytes(1);
			client.destroy();
			return call;
		},
		"the call is given up while it is prepared": async (client) => {
			const controller = new AbortController();
			const call = client.send(mail(message()), controller);
			while (open().length === 0) await new Promise((resolve) => setImmediate(resolve));
			controller.abort();
			return call;
		},
		"the call is given up while it is sent": async (client) => {
			const controller = new AbortController();
			return client.send(mail({ ...message(), onProgress: () => controller.abort() }), controller);
		},
		"the client is destroyed while it is prepared": async (client) => {
			const call = client.send(mail(message()));
			while (open().length === 0) await new Promise((resolve) => setImmediate(resolve));
			client.destroy();
			return call;
		},
		"the server closes in the middle": async (client, server) => {
			const call = client.send(mail(message()));
			for (let number = 0; number < 2; number++) {
				const connection = await server.connection(number);
				await connection.receivedBytes(1);
				connection.socket.destroy();
			}
			return call;
		},
	};
	test.each(Object.keys(endings))("%s", async (ending) => {
		const server = await ScriptedServer.start(({ socket }) => {
			socket.once("data", () => socket.pause());
		});
		await endings[ending]?.(server.client(), server).catch(() => {});
		await expectAllClosed();
	});
});

test("a stream that fails after a part of it was spooled to a file", async () => {
	const server = await acceptingServer();
	const source = hangingSource("generator", Array(30).fill(CHUNK));
	const call = server.client().send(mail({ message: source.message }));
	await source.asked;
	expect(open()).toHaveLength(1);
	source.more.fail(new Error("no more"));
	await expect(call).rejects.toMatchObject({ code: "ERR_QMTP_MESSAGE_SOURCE" });
	await expectAllClosed();
});

test("a stream that is spooled since the server answers once a package", async () => {
	const server = await ScriptedServer.start((connection) => connection.answerAll(() => "1:K,"));
	const client = server.client({ timeouts: { response: 60 } });
	const first = client.send(mail({ recipients: recipients(2) }));
	const options = { size: SIZE, encoding: "lf", recipients: recipients(2) } as const;
	const second = client.send(mail({ message: large(), ...options }));
	const third = new Gate();
	const controller = new AbortController();
	const given = client.send(mail({ message: large(third), ...options }), controller);
	await first;
	expect((await second).accepted).toHaveLength(2);
	await third.promise.then(() => controller.abort());
	await given.catch(() => {});
	await expectAllClosed();
});

async function* large(half?: Gate): AsyncGenerator<Uint8Array> {
	for (let given = 0; given < SIZE; given += CHUNK.length) {
		if (given === SIZE / 2) half?.open();
		yield CHUNK;
	}
}
