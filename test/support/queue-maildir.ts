/** Maildirs in a temporary folder, and what is in them, read as serialqmtp reads it. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MaildirQueue, maildirQueue } from "../../src/queue/maildir.js";
import type { StoredCopy } from "./queue-contract.js";
import { WatchedFileSystem } from "./queue-file-system.js";

/** A path for a maildir that does not exist yet. */
export class TestMaildir {
	readonly path: string;
	readonly #folder: string;

	private constructor(folder: string) {
		this.#folder = folder;
		this.path = join(folder, "mail");
	}

	static async create(): Promise<TestMaildir> {
		return new TestMaildir(await mkdtemp(join(tmpdir(), "qmtp-maildir-")));
	}

	/** The names in one of its folders; those that sort first were made first. */
	async names(folder: "tmp" | "new" | "cur"): Promise<string[]> {
		try {
			return (await readdir(join(this.path, folder))).sort();
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
			throw error;
		}
	}

	/** The files of new/, whole. */
	async files(): Promise<Buffer[]> {
		const names = await this.names("new");
		return await Promise.all(names.map((name) => readFile(join(this.path, "new", name))));
	}

	/** What is in new/, as serialqmtp sends it. */
	async stored(): Promise<StoredCopy[]> {
		return (await this.files()).map(readCopy);
	}

	/** Removes the mail, and leaves the folders. */
	async empty(): Promise<void> {
		const names = await this.names("new");
		await Promise.all(names.map((name) => rm(join(this.path, "new", name))));
	}

	async remove(): Promise<void> {
		await rm(this.#folder, { recursive: true, force: true });
	}
}

/** A maildir with its folders, a queue that stores in it, and the file system that the queue uses. */
export async function watchedMaildir(): Promise<{
	maildir: TestMaildir;
	fileSystem: WatchedFileSystem;
	queue: MaildirQueue;
}> {
	const maildir = await TestMaildir.create();
	const fileSystem = new WatchedFileSystem();
	const queue = maildirQueue({ path: maildir.path, fileSystem });
	await queue.prepare();
	return { maildir, fileSystem, queue };
}

/** Reads a file as serialqmtp does, which passes over files that begin in any other way. */
export function readCopy(file: Buffer): StoredCopy {
	const first = file.indexOf("\n");
	const second = file.indexOf("\n", first + 1);
	const returnPath = /^Return-Path: <(.*)>$/s.exec(file.toString("utf8", 0, first));
	const deliveredTo = /^Delivered-To: (.*)$/s.exec(file.toString("utf8", first + 1, second));
	if (first < 0 || second < 0 || returnPath === null || deliveredTo === null) {
		throw new Error(`no mail for serialqmtp: ${file.toString("latin1", 0, 200)}`);
	}
	return {
		sender: returnPath[1] as string,
		recipient: deliveredTo[1] as string,
		body: file.subarray(second + 1),
	};
}
