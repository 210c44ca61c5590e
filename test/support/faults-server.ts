/**
 * A server over a maildir on a disk that fails, all in this process, and clients over sockets. Each K is held against
 * the disk at the moment at which the client has it.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type MaildirQueue, maildirQueue } from "../../src/queue/maildir.js";
import { QmtpServer } from "../../src/server/server.js";
import { Disk } from "./faults-disk.js";
import { copiesOf, copyIn, type FaultMail, packageOf } from "./faults-mails.js";
import { type Call, WatchedFileSystem } from "./queue-file-system.js";
import { TestMaildir } from "./queue-maildir.js";
import { Signal } from "./queue-signal.js";
import { TestClient } from "./server-client.js";
import { turns } from "./server-signal.js";

/** What each copy was told, by its name. */
export type Told = Map<string, string>;

/** The server, its disk, and who talks to it. */
export class FaultyServer {
	readonly maildir: TestMaildir;
	readonly fileSystem: WatchedFileSystem;
	readonly disk: Disk;
	readonly #queue: MaildirQueue;
	readonly #server: QmtpServer;
	#port = 0;
	#held: Call[] = [];
	#gate = new Signal();

	private constructor(maildir: TestMaildir) {
		this.maildir = maildir;
		this.fileSystem = new WatchedFileSystem();
		this.disk = new Disk(this.fileSystem);
		// With minFree it also asks how much room there is.
		this.#queue = maildirQueue({ path: maildir.path, fileSystem: this.disk, minFree: 1 });
		this.#server = new QmtpServer({ queue: this.#queue, hooks: { recipient: () => undefined } });
		this.#server.on("fault", () => {}); // else it writes them to stderr
	}

	/** Starts one over a maildir with a left-over in tmp/, which the queue has not looked at yet. */
	static async start(): Promise<FaultyServer> {
		const maildir = await TestMaildir.create();
		onTestFinished(() => maildir.remove());
		await mkdir(join(maildir.path, "tmp"), { recursive: true });
		await writeFile(join(maildir.path, "tmp", LEFT_OVER), "cut sho");
		const started = new FaultyServer(maildir);
		const { port } = await started.#server.listen({ host: "127.0.0.1", port: 0 });
		started.#port = port;
		return started;
	}

	/** Ends it before the test does. */
	async stop(): Promise<void> {
		this.release();
		await this.#server.close();
		await this.#queue.close();
		await this.maildir.remove();
	}

	/**
	 * Sends the mail of each list over a connection of its own, pipelined.
	 *
	 * @param told - Filled as the answers come.
	 * @throws Error at the first K whose copy a crash would take away.
	 */
	async send(lists: readonly (readonly FaultMail[])[], told: Told = new Map()): Promise<Told> {
		await Promise.all(lists.map((mails) => this.#sendOver(mails, told)));
		return told;
	}

	async #sendOver(mails: readonly FaultMail[], told: Told): Promise<void> {
		const copies = mails.flatMap(copiesOf);
		const client = await TestClient.connect(this.#port);
		client.end(mails.map(packageOf).join(""));
		let seen = 0;
		await client.changes.until(() => {
			for (; seen < client.responses.length; seen++) {
				const copy = copies[seen] as string;
				const response = client.responses[seen] as string;
				told.set(copy, response);
				if (response.startsWith("K") && !this.disk.survivors().map(copyIn).includes(copy)) {
					throw new Error(`a crash would take ${copy} away, which had: ${response}`);
				}
			}
			if (client.error !== null) throw client.error;
			return client.ended;
		});
		if (seen !== copies.length) throw new Error(`${seen} answers to ${copies.length} copies`);
	}

	/** Holds back the calls that `which` picks. */
	hold(which: (call: Call) => boolean): void {
		this.fileSystem.watch({
			before: (call) => {
				if (!which(call)) return;
				this.#held.push(call);
				return this.#gate.given;
			},
		});
	}

	/** Lets the calls go that are held back. Later ones are not held. */
	release(): void {
		this.fileSystem.watch({});
		this.#gate.give();
		this.#gate = new Signal();
		this.#held = [];
	}

	/** Resolves with the calls that are held back, when nothing moves any more; so all was told if there are none. */
	async quiet(told: Told, copies: number): Promise<readonly Call[]> {
		for (let still = 0, before = -1; still < 3; ) {
			await turns(20);
			const now = this.fileSystem.calls * 1000 + told.size;
			const waits = this.#held.length > 0 || told.size === copies;
			still = waits && now === before && this.disk.inFlight === this.#held.length ? still + 1 : 0;
			before = now;
		}
		return this.#held;
	}
}

/** The name of a file that was in tmp/ before. No process has its number: the largest that Linux gives is 4194304. */
export const LEFT_OVER: string = `1.M000000P99999999Q1.${hostname()}`;
