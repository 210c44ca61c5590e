/** Stand-ins for qmail-queue: shell scripts in a directory of their own, which is also where they run. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";
import { type QmailQueue, type QmailQueueOptions, qmailQueue } from "../../src/queue/qmail-queue.js";
import type { QueueUnderTest, StoredCopy } from "./queue-contract.js";

/** Reads message and envelope, with nothing but what the shell has built in: it starts no other process. */
export const READ_ALL = "while read -r line; do :; done; while read -r line <&1; do :; done";

/** A home directory for stand-ins. */
export class QmailHome {
	readonly path: string = realpathSync(mkdtempSync(join(tmpdir(), "qmail-queue-")));
	readonly #queues: QmailQueue[] = [];

	/** Writes a script. @returns Its path. */
	script(name: string, text: string, mode = 0o755): string {
		const path = join(this.path, name);
		writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode });
		return path;
	}

	/** A queue that runs this script, or else the command of the options. */
	queue(text: string, options: QmailQueueOptions = {}): QmailQueue {
		// Each has a file of its own: a shell that has just been started reads its script later.
		const command = options.command ?? this.script(`qmail-queue${this.#queues.length || ""}`, text);
		const queue = qmailQueue({ ...options, command, home: this.path });
		this.#queues.push(queue);
		return queue;
	}

	/** A file that a script reads a line of, which it gets when the gate is opened. */
	gate(name: string): { open(): Promise<void> } {
		const path = join(this.path, name);
		execFileSync("mkfifo", [path]);
		return { open: () => writeFile(path, "\n") };
	}

	/** What a script has written. */
	async text(name: string): Promise<string> {
		return await readFile(join(this.path, name), "latin1");
	}

	/** The first line of what a script writes, when it is there. */
	async line(name: string): Promise<string> {
		return await vi.waitFor(
			async () => {
				const text = await this.text(name);
				if (!text.endsWith("\n")) throw new Error(`${name} is not complete`);
				return text.substring(0, text.indexOf("\n"));
			},
			{ interval: 5, timeout: 50_000 },
		);
	}

	/** Waits for the queues and removes all. */
	async remove(): Promise<void> {
		for (const queue of this.#queues) await queue.close();
		await rm(this.path, { recursive: true });
	}
}

/** A queue whose stand-in stores each message in two files, and cleans up like qmail-queue. */
export function storingQueue(options: QmailQueueOptions = {}): QueueUnderTest {
	const home = new QmailHome();
	const queue = home.queue(STORE, options);
	const names = (end: string) => readdirSync(home.path).filter((name) => name.endsWith(end));
	return {
		queue,
		stored: async () => names(".stored").flatMap((name) => copiesIn(home.path, name)),
		leftOvers: async () => names(".tmp"),
		dispose: async () => rmSync(home.path, { recursive: true }),
	};
}

/** True while there is such a process, and it is no zombie. */
export function isAlive(pid: number): boolean {
	return stateOf(pid) !== null && stateOf(pid) !== "Z";
}

/** The processes that this one has started and not reaped. */
export function children(): number[] {
	return readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name) && statOf(Number(name))?.[1] === String(process.pid))
		.map(Number);
}

/** How many descriptors this process has. */
export function descriptors(): number {
	return readdirSync("/proc/self/fd").length;
}

function stateOf(pid: number): string | null {
	return statOf(pid)?.[0] ?? null;
}

/** A process's state, parent and so on. */
function statOf(pid: number): string[] | null {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
		return stat.substring(stat.lastIndexOf(")") + 2).split(" ");
	} catch {
		return null;
	}
}

function copiesIn(home: string, name: string): StoredCopy[] {
	const body = readFileSync(join(home, name));
	const envelope = readFileSync(join(home, name.replace(".stored", ".envelope")), "utf8");
	const [sender = "", ...recipients] = envelope.split("\0");
	if (!envelope.endsWith("\0\0")) throw new Error("the envelope does not end as it should");
	return recipients
		.slice(0, -2)
		.map((field) => ({ sender: sender.substring(1), recipient: field.substring(1), body }));
}

const STORE = `
cat >$$.body.tmp
cat <&1 >$$.envelope.tmp
test -s $$.envelope.tmp || { rm $$.body.tmp $$.envelope.tmp; exit 54; }
mv $$.envelope.tmp $$.envelope
mv $$.body.tmp $$.stored`;
