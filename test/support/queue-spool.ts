/** Spools in a temporary folder, and what is in them. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PackageDecoder } from "../../src/protocol/package-decoder.js";
import { loadLmdb, type RootTable } from "../../src/queue/spool/lmdb.js";
import { Tables } from "../../src/queue/spool/tables.js";
import {
	type SpooledMessage,
	type SpoolQueue,
	type SpoolQueueOptions,
	spoolQueue,
} from "../../src/queue/spool.js";
import type { StoredCopy } from "./queue-contract.js";

/** The file of a program that takes messages out of a spool. */
export const TAKER: string = fileURLToPath(new URL("spool-taker.mjs", import.meta.url));

/** The file of a program that stores messages and settles others at a time. */
export const MIXER: string = fileURLToPath(new URL("spool-mixer.mjs", import.meta.url));

/** A path for a spool that does not exist yet, and the queues over it. */
export class TestSpool {
	readonly path: string;
	readonly #folder: string;
	readonly #queues: SpoolQueue[] = [];

	private constructor(folder: string) {
		this.#folder = folder;
		this.path = join(folder, "spool");
	}

	static async create(): Promise<TestSpool> {
		return new TestSpool(await mkdtemp(join(tmpdir(), "qmtp-spool-")));
	}

	/** A queue over it. */
	queue(options: Partial<SpoolQueueOptions> = {}): SpoolQueue {
		const queue = spoolQueue({ path: this.path, minFree: 0, poll: 20, ...options });
		this.#queues.push(queue);
		return queue;
	}

	/** Makes what is known of a message in one of the tables unreadable. No queue may be open. */
	async damage(id: string, table: "messages" | "states"): Promise<void> {
		await this.#change((root) => new Tables(root)[table].table.put(id, Buffer.from("nonsense")));
	}

	/** Gives its database a table of a form that there is no more. No queue may be open. */
	async remake(): Promise<void> {
		await this.#change((root) => root.openDB("packages", { encoding: "binary" }));
	}

	/** The names of the files with bodies. */
	async bodies(): Promise<string[]> {
		return await readdir(join(this.path, "bodies")).catch(() => []);
	}

	/** What is in it: messages in the order in which they came, and of those the recipients who are left. */
	async stored(queue: SpoolQueue = this.queue()): Promise<StoredCopy[]> {
		const copies: StoredCopy[] = [];
		for (const message of await all(queue)) {
			const body = await bodyOf(message);
			copies.push(...message.recipients.map((recipient) => ({ sender: message.sender, recipient, body })));
		}
		return copies;
	}

	/** The bodies that no message names. */
	async leftOvers(queue: SpoolQueue = this.queue()): Promise<string[]> {
		const ids = (await all(queue)).map(({ id }) => id);
		return (await this.bodies()).filter((name) => !ids.includes(name.split(".")[0] as string));
	}

	async remove(): Promise<void> {
		for (const queue of this.#queues) await queue.close();
		await rm(this.#folder, { recursive: true, force: true });
	}

	async #change(change: (root: RootTable) => unknown): Promise<void> {
		for (const queue of this.#queues) await queue.close();
		const root = loadLmdb().open({
			path: join(this.path, "spool.mdb"),
			overlappingSync: false,
			encoding: "binary",
			mapSize: 2 ** 30,
			maxDbs: 5,
			permissionsMode: 0o600,
		});
		await change(root);
		await root.close();
	}
}

/** All messages of a spool, in the order in which they came. */
export async function all(queue: SpoolQueue): Promise<SpooledMessage[]> {
	const messages: SpooledMessage[] = [];
	for await (const message of queue.list()) messages.push(message);
	return messages.sort((a, b) => Number(a.id) - Number(b.id));
}

/** The body of a message, out of its package, which must be the same as its body. */
export async function bodyOf({ body, package: chunks }: SpooledMessage): Promise<Buffer> {
	const decoder = new PackageDecoder({
		messageBytes: 2 ** 30,
		addressBytes: 2 ** 20,
		recipientBytes: 2 ** 24,
	});
	const parts: Uint8Array[] = [];
	let ended = false;
	for await (const chunk of chunks) {
		if (ended) throw new Error("something stands behind the package");
		decoder.receive(chunk);
		for (let event = decoder.next(); event !== null; event = decoder.next()) {
			if (event.type === "body") parts.push(event.bytes);
			ended = event.type === "end";
		}
	}
	const whole = Buffer.concat(parts);
	if (!ended || !whole.equals(await readAll(body))) throw new Error("the package is not whole");
	return whole;
}

/** Everything that is in a stream. */
export async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
	const chunks: Uint8Array[] = [];
	for await (const chunk of stream) chunks.push(chunk);
	return Buffer.concat(chunks);
}
